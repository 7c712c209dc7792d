"""Formats that pack texts and numbers into bytes: where each of them stands, and how another is put there. Pure."""
