"""The third room: from a run to what behaves differently, how sure that is, and a verdict."""
