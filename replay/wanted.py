"""Which values somebody asks for, so that a reader of answers may leave out all others."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Wanted"]


class Wanted(Protocol):
    """What is asked for; it may also say so of what nobody asks for."""

    def __contains__(self, value: str) -> bool:
        """False where nobody asks for the value."""

    def holds(self, text: str) -> bool:
        """False where nobody asks for a part of the text."""
