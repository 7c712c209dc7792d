"""Many segments as one sequence in time order, in bounded memory however many segments and however late the stragglers.

A block knows the least and the greatest time in it. Blocks are opened when their least time is due; of an open block
only as many records are held as its share of the budget allows, and it is read again for the rest. In a usual log one
or two blocks a segment are open at once and each is read exactly once. Records of one instant come in the order of the
log, segment after segment and in each as they were written, so that it does not matter how they were cut into blocks.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from capture.exchange import Exchange

__all__ = ["MERGE_BUDGET_BYTES", "Slice", "merge"]

MERGE_BUDGET_BYTES = 24 << 20
"""Bytes of encoded records that are held decoded at once, over all open blocks."""
_HELD_MIN = 16
_FIRST_NS, _NEVER_NS = -(1 << 63), 1 << 63
"""Beyond all times that a log can have. Not infinity: a float cannot tell two instants of this century apart."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One block as the merge sees it. read: decodes it, in any order, ids filled in; raw_bytes: about its size."""

    first_ns: int
    last_ns: int
    raw_bytes: int
    read: Callable[[], Sequence[Exchange]]


_start = attrgetter("times.request_start")


class _Cursor:
    """Where the merge stands in one open block."""

    __slots__ = ("_block", "_done", "_more", "held", "number", "place")

    def __init__(self, block: Slice, number: int) -> None:
        self._block = block
        self.number = number
        self._done = 0
        self._more = True
        self.held: list[Exchange] = []
        self.place = 0

    def fill(self, open_blocks: int) -> bool:
        """Hold the next records; False where there are no more."""
        self.held, self.place = [], 0
        if not self._more:
            return False
        records = sorted(self._block.read(), key=_start)  # stable: records of one instant keep the order of the log
        share = MERGE_BUDGET_BYTES // max(1, open_blocks)
        fits = max(_HELD_MIN, len(records) * share // max(1, self._block.raw_bytes))
        self.held = records[self._done : self._done + fits] if self._done or fits < len(records) else records
        self._done += len(self.held)
        self._more = self._done < len(records)
        return bool(self.held)

    def take(self, bound_ns: int) -> Iterator[Exchange]:
        """The held records up to the first that is later than the bound; at least one."""
        end = bisect_left(self.held, bound_ns, self.place + 1, key=_start)
        taken = islice(self.held, self.place, end)
        self.place = end
        return taken


def merge(blocks: list[Slice], start_ns: int | None = None, end_ns: int | None = None) -> Iterator[Exchange]:
    """Exchanges of the blocks whose request began in [start_ns, end_ns), by that time and then in the blocks' order."""
    low = _FIRST_NS if start_ns is None else start_ns
    high = _NEVER_NS if end_ns is None else end_ns
    due = [
        (block.first_ns, number)
        for number, block in enumerate(blocks)
        if block.last_ns >= low and block.first_ns < high
    ]
    due.sort(reverse=True)  # the next to be opened is at the end
    ahead: list[tuple[int, int, _Cursor]] = []
    while due or ahead:
        while due and (not ahead or due[-1][0] <= ahead[0][0]):
            number = due.pop()[1]
            cursor = _Cursor(blocks[number], number)
            if cursor.fill(len(ahead) + 1):
                heapq.heappush(ahead, (_start(cursor.held[0]), number, cursor))
        if not ahead:
            return
        cursor = heapq.heappop(ahead)[2]
        bound_ns = min(ahead[0][0] if ahead else _NEVER_NS, due[-1][0] if due else _NEVER_NS)
        for exchange in cursor.take(bound_ns):
            at_ns = exchange.times.request_start
            if at_ns >= high:
                break
            if at_ns >= low:
                yield exchange
        if cursor.place < len(cursor.held) or cursor.fill(len(ahead) + 1):
            at_ns = _start(cursor.held[cursor.place])
            if at_ns < high:
                heapq.heappush(ahead, (at_ns, cursor.number, cursor))
