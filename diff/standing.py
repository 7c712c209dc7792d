"""Differences that stand: what a request shows again and again because builds came apart once, in what they keep.

Where sessions write at the same time, two builds may give two orders the next two numbers the other way round. From
then on every answer about them differs, which is one event and not as many as there are answers. Pure, bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

__all__ = ["Standing"]

_REQUESTS_MAX = 50_000


class Standing:
    """For each request, word for word, what of its answer differed when it was first asked, and the last time.

    A difference of the same values that was there the last time, and was not at first, began with something that was
    written in between. One that was there from the first answer on may be the build's own, and so may one that comes
    and goes.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[int, tuple[frozenset[int], frozenset[int]]] = OrderedDict()

    def observe(self, request: int, found: Mapping[str, int]) -> frozenset[str]:
        """Take in one answer; the places of what has been told of this request before.

        request: a number for method, target and body together. found: place to a number for what differs there.
        """
        now = frozenset(found.values())
        first, last = self._known.pop(request, (now, frozenset()))
        self._known[request] = (first, now)
        if len(self._known) > _REQUESTS_MAX:
            self._known.popitem(last=False)
        again = (now & last) - first
        return frozenset(place for place, mark in found.items() if mark in again) if again else frozenset()

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self._known.clear()
