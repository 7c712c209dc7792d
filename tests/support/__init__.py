"""Helpers that several test files share; they have tests of their own."""
