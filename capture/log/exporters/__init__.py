"""Exchanges in the formats of other tools: one module for each, a function from exchanges to pieces of bytes."""
