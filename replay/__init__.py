"""The second room: the exchanges of a log performed on several builds at once, and a run of what came of it."""
