"""What the counts of conservation grew by since the last look, which is what each footer carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from capture.conservation import Conservation

__all__ = ["Growth"]


class Growth:
    """counts: gives the totals so far. Summed over all footers, what `take` returned is the total again."""

    __slots__ = ("_counts", "_taken")

    def __init__(self, counts: Callable[[], Conservation]) -> None:
        self._counts = counts
        self._taken = Conservation()

    def take(self) -> dict[str, Any]:
        """Plain values of the growth since the last call; a count that was corrected downwards is negative."""
        total = Conservation.from_dict(self._counts().as_dict())
        grown = Conservation.from_dict(total.as_dict())
        for name in ("seen", "kept", "sampled_out", "opaque"):
            setattr(grown, name, getattr(total, name) - getattr(self._taken, name))
        grown.shed.subtract(self._taken.shed)
        grown.incomplete.subtract(self._taken.incomplete)
        self._taken = total
        return grown.as_dict()
