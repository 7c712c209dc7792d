"""The log: a directory of segments that survives its writer, its disk and its years."""
