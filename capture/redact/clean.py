"""A memory of field names that are nobody's secret, so that a body which has no other passes without being read."""

from __future__ import annotations

from capture.redact.names import Names

__all__ = ["CleanNames"]

_NAMES_MAX = 8192
_NAME_BYTES_MAX = 128


class CleanNames:
    """Answers for all names of a body at once; bounded, and forgets everything when it is full."""

    __slots__ = ("_clean", "_names", "_pairs", "_pairs_clean")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._clean: set[bytes] = set()
        self._pairs: set[bytes] = set()
        self._pairs_clean: dict[frozenset[bytes], bool] = {}

    def covers(self, names: set[bytes]) -> bool:
        """True where none of the names (UTF-8) is a secret's, alone or inside an object named by another of them."""
        if names <= self._clean:
            return True
        halves = names - self._clean
        for name in halves - self._pairs:
            text = name.decode("utf-8", "replace")
            if self._names.field(text) or len(name) > _NAME_BYTES_MAX or text in ("value", "val", "values"):
                return False
            known = self._pairs if self._names.may_pair(text) else self._clean
            if len(known) >= _NAMES_MAX:
                known.clear()
            known.add(name)
        together = frozenset(halves - self._clean)
        found = self._pairs_clean.get(together)
        if found is None:
            found = not self._names.pairs([name.decode("utf-8", "replace") for name in together])
            if len(self._pairs_clean) >= _NAMES_MAX:
                self._pairs_clean.clear()
            self._pairs_clean[together] = found
        return found
