"""The second room: the exchanges of a log performed on several builds at once, and a run directory of what came of it."""
