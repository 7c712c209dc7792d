"""Exchanges from files of other tools: one module for each format, recognised by content, never by the file's name."""
