"""Differences that stand: what a request shows again and again because builds came apart once, in what they keep.

Where sessions write at the same time, two builds may give two orders the next two numbers the other way round. From
then on every answer about them differs, which is one event and not as many as there are answers. Where no two writes
were under way at the same time, nothing of the kind can have happened. Pure, bounded.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Asked", "Races", "Standing"]

_REQUESTS_MAX = 50_000
_RACES_MAX = 4096


class Asked(NamedTuple):
    """When a request was under way, on any build: first sent and last answered, ns on the run's clock."""

    sent_ns: int
    done_ns: int


class Races:
    """When writes were under way together, on any build: then builds may have taken them in different orders.

    unseen: not all writes of the run are seen here, so that any may have been one of two.
    """

    __slots__ = ("_done_ns", "_known", "_lost_ns", "_unseen")

    def __init__(self, *, unseen: bool = False) -> None:
        self._known: deque[Asked] = deque()
        self._done_ns = 0
        self._lost_ns = -1
        self._unseen = unseen

    def write(self, write: Asked) -> None:
        """Take in one write, in the order in which they were done."""
        if write.sent_ns < self._done_ns:
            self._known.append(write)
            if len(self._known) > _RACES_MAX:
                self._lost_ns = max(self._lost_ns, self._known.popleft().done_ns)
        self._done_ns = max(self._done_ns, write.done_ns)

    def between(self, since_ns: int, until_ns: int) -> bool:
        """Whether two writes were, or may have been, under way together within that time."""
        if self._unseen or since_ns <= self._lost_ns:
            return True
        return any(race.sent_ns <= until_ns and race.done_ns >= since_ns for race in self._known)


class _Request(NamedTuple):
    """What differed of an answer when it was first asked for, and the last time; since when, for what came later.

    own: of that, what began while there was no race.
    """

    first: frozenset[int]
    last: frozenset[int]
    asked: Asked
    since: dict[int, Asked]
    own: frozenset[int]


class Standing:
    """For each request, word for word, what of its answer differed when it was first asked, and the last time.

    A difference of the same values that was there the last time, and was not at first, began with something that was
    written in between. One that was there from the first answer on may be the build's own, and so may one that comes
    and goes, and one that began while no two writes were under way together.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: OrderedDict[int, _Request] = OrderedDict()

    def observe(self, request: int, found: Mapping[str, int], asked: Asked, races: Races) -> frozenset[str]:
        """Take in one answer; the places of what has been told of this request before.

        request: a number for method, target and body together. found: place to a number for what differs there.
        """
        now = frozenset(found.values())
        before = self._known.pop(request, None)
        if before is None:
            before = _Request(now, frozenset(), asked, {}, frozenset())
        # From the last answer that was equal there to the first one that was not.
        since = {
            mark: before.since.get(mark, Asked(before.asked.sent_ns, asked.done_ns)) for mark in now - before.first
        }
        again = (now & before.last) - before.first
        own = before.own & now
        own |= {mark for mark in again - own if not races.between(*since[mark])}
        self._known[request] = _Request(before.first, now, asked, since, own)
        if len(self._known) > _REQUESTS_MAX:
            self._known.popitem(last=False)
        told = again - own
        return frozenset(place for place, mark in found.items() if mark in told) if told else frozenset()

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self._known.clear()
