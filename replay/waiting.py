"""Pairs that were admitted and are not finished: what each waits for, which may begin, and how much they hold."""

from __future__ import annotations

from collections import deque

from replay.pair import Pair

__all__ = ["Waiting"]


class Waiting:
    """pairs: those under way, by key. ready: those that may begin, or go on, now; the caller takes them from there.

    split: those that some builds are ready for and others are not. held_bytes: what all of them hold. splits,
    held_back_ns: how often a build went on without another, and after how long at most.
    """

    __slots__ = ("_builds", "_split", "held_back_ns", "held_bytes", "pairs", "ready", "splits")

    def __init__(self, builds: int) -> None:
        self.ready: deque[Pair] = deque()
        self.held_bytes = 0
        self.splits = 0
        self.held_back_ns = 0
        self._builds = builds
        self.pairs: dict[tuple[int, int], Pair] = {}
        self._split: dict[tuple[int, int], Pair] = {}

    def admit(self, pair: Pair) -> bool:
        """Take a pair in, in plan order; True where it waits for nothing."""
        pairs = self.pairs
        iteration = pair.iteration
        pairs[pair.key] = pair
        self.held_bytes += pair.bytes
        positions = pair.waits_for
        if not positions:
            return True
        waits = [other for position in positions if (other := pairs.get((iteration, position))) is not None]
        if not waits:
            return True
        blocked = pair.blocked = [0] * self._builds
        for other in waits:
            if other.dependents is None:
                other.dependents = []
            other.dependents.append(pair)
            for index, outcome in enumerate(other.outcomes):
                blocked[index] += outcome is None
        if not all(blocked):
            self._split[pair.key] = pair
        return False

    def release(self, pair: Pair, index: int, now_ns: int) -> None:
        """Build `index` has answered `pair`: let go what waited for it."""
        for other in pair.dependents or ():
            blocked = other.blocked
            assert blocked is not None
            blocked[index] -= 1
            if blocked[index]:
                continue
            if other.begun is not None:
                self.ready.append(other)
            elif not any(blocked):
                self._go(other, now_ns)
            elif other.key not in self._split:
                other.ready_ns = now_ns
                self._split[other.key] = other

    def release_all(self, pair: Pair, now_ns: int) -> None:
        """`pair` will not be sent: let go what waited for it, on every build that it had no outcome of."""
        for other in pair.dependents or ():
            blocked = other.blocked
            if blocked is None:
                continue
            for index in range(len(blocked)):
                blocked[index] -= pair.outcomes[index] is None
            if not any(blocked):
                self._go(other, now_ns)

    def _go(self, pair: Pair, now_ns: int) -> None:
        self._split.pop(pair.key, None)
        pair.blocked = None
        pair.ready_ns = now_ns
        self.ready.append(pair)

    def hold(self, pair: Pair, now_ns: int) -> None:
        """`pair` was begun, and one of its builds waits for the answer of its twin."""
        pair.ready_ns = now_ns
        self._split[pair.key] = pair

    def go_on(self, pair: Pair) -> None:
        """The twin has answered."""
        self._split.pop(pair.key, None)

    def forget(self, pair: Pair) -> None:
        """`pair` is finished."""
        del self.pairs[pair.key]
        if self._split:
            self._split.pop(pair.key, None)
        self.held_bytes -= pair.bytes

    def part(self, now_ns: int, bound_ns: int, begun_only: bool = False) -> None:
        """Let the builds that are ready go on where the others have kept them waiting for bound_ns."""
        for key, pair in list(self._split.items()):
            if begun_only and pair.begun is None:
                continue
            if now_ns - max(pair.ready_ns, pair.due_ns) >= bound_ns:
                del self._split[key]
                pair.alone = True
                self.splits += 1
                self.held_back_ns = max(self.held_back_ns, now_ns - pair.ready_ns)
                self.ready.append(pair)
