"""Gathers the differences, notes and limits of one comparison, up to the bound on how many are listed."""

from __future__ import annotations

from typing import Any

from diff.difference import MISSING, Difference, Kind, Path, Place

__all__ = ["Collector", "TooManyDifferences"]


class TooManyDifferences(Exception):
    """Raised by `Collector.add` when the bound is met; the comparison stops and says so, it never reaches a user."""


class Collector:
    """What one comparison has found so far.

    place: put into every difference added. prefix: put before every path, for a body within a body. differences_max:
    the next one raises TooManyDifferences, and `limits` then has the reason. notes and limits keep their order and are
    not repeated.
    """

    __slots__ = ("_differences_max", "differences", "limits", "notes", "place", "prefix")

    def __init__(self, differences_max: int, place: Place = "body") -> None:
        self._differences_max = differences_max
        self.place: Place = place
        self.prefix: Path = ()
        self.differences: list[Difference] = []
        self.notes: list[str] = []
        self.limits: list[str] = []

    def add(self, path: Path, kind: Kind, left: Any = MISSING, right: Any = MISSING) -> None:
        """Keep one more difference at `place`. Raises TooManyDifferences."""
        if len(self.differences) >= self._differences_max:
            self.limit(f"more than {self._differences_max} differences; the rest are not listed")
            raise TooManyDifferences
        place = (*self.prefix, *path) if self.prefix else path
        self.differences.append(Difference(self.place, place, kind, left, right))

    def note(self, text: str) -> None:
        """Keep a short fact, once."""
        if text not in self.notes:
            self.notes.append(text)

    def limit(self, text: str) -> None:
        """Keep a bound that bit, once."""
        if text not in self.limits:
            self.limits.append(text)

    def rewind(self, differences: int) -> None:
        """Forget the differences after the first `differences`, for a comparison that must begin again."""
        del self.differences[differences:]
