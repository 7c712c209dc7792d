"""Pairs that were admitted and are not finished: what each waits for, which may begin, and how much they hold."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from replay.pair import Pair

__all__ = ["Waiting"]


class Waiting:
    """pairs: those under way, by key. ready: those that may begin, or go on, now; the caller takes them from there.

    split: those that some builds are ready for and others are not. held_bytes: what all of them hold. splits,
    held_back_ns: how often a build went on without another, and after how long at most. slip_max_ns: where the requests
    have a schedule, how long a build may be held back in it, over all requests of a session together; None where they
    have none, and each is waited for on its own.
    """

    __slots__ = ("_builds", "_slip_max_ns", "_split", "held_back_ns", "held_bytes", "pairs", "ready", "splits")

    def __init__(self, builds: int, slip_max_ns: int | None = None) -> None:
        self._slip_max_ns = slip_max_ns
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
        asked = positions if len(positions) == 1 else tuple(dict.fromkeys(positions))
        waits = [other for position in asked if (other := pairs.get((iteration, position))) is not None]
        if not waits:
            return True
        blocked = pair.blocked = [0] * self._builds
        for other in waits:
            if other.dependents is None:
                other.dependents = []
            other.dependents.append(pair)
            for index, outcome in enumerate(other.outcomes):
                if outcome is None and other.is_open_to(pair, index):
                    _free(other, pair, index)
                else:
                    blocked[index] += outcome is None
        if not any(blocked):
            pair.blocked = None
            return True
        if not all(blocked):
            self._split[pair.key] = pair
        return False

    def release(self, pair: Pair, index: int, now_ns: int) -> None:
        """Build `index` has answered `pair`: let go what waited for it."""
        freed = pair.freed
        for other in pair.dependents or ():
            if freed is None or (other, index) not in freed:
                other.carried_ns = max(other.carried_ns, pair.slip_ns)
                self._let(other, index, now_ns)

    def stir(self, pair: Pair, stir: Callable[[Pair], None]) -> None:
        """Call `stir` with each stream that is open and has not given `pair` all that it waits for."""
        for position in pair.waits_for:
            other = self.pairs.get((pair.iteration, position))
            if other is not None and other.opened is not None:
                stir(other)

    def release_beside(self, stream: Pair, index: int, now_ns: int, has_all: Callable[[Pair, Pair, int], bool]) -> None:
        """Build `index` has begun to answer `stream`, or said more on it: let go what production sent meanwhile.

        has_all: whether that build has given all values that a pair carries of the stream.
        """
        for other in list(stream.dependents or ()):
            if (stream.freed is not None and (other, index) in stream.freed) or not stream.is_before_leaving(other):
                continue
            if has_all(stream, other, index):
                _free(stream, other, index)
                self._let(other, index, now_ns)

    def _let(self, pair: Pair, index: int, now_ns: int) -> None:
        """`pair` waits for one thing less on build `index`."""
        blocked = pair.blocked
        if blocked is None:
            return  # it was given up while this build was behind
        blocked[index] -= 1
        if blocked[index]:
            return
        if pair.begun is not None:
            self.ready.append(pair)
        elif not any(blocked):
            self._go(pair, now_ns)
        elif pair.key not in self._split:
            pair.ready_ns = now_ns
            self._split[pair.key] = pair
            if self._slip_max_ns is not None and now_ns - self._since(pair) >= self._slip_max_ns:
                self._go_alone(pair, now_ns)

    def _since(self, pair: Pair) -> int:
        """When the builds that are ready for a pair would have gone on, had they never been held back."""
        if self._slip_max_ns is None or pair.begun is not None:
            return max(pair.ready_ns, pair.due_ns)
        return max(pair.ready_ns - pair.carried_ns, pair.due_ns)

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
        if self._split.pop(pair.key, None) is None:
            pair.ready_ns = now_ns
        pair.blocked = None
        if pair.alone and pair.begun is None:
            return  # `part` has let it go a moment ago
        pair.slip_ns = max(now_ns - self._since(pair), 0)
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
        """`pair` is finished, or given up."""
        del self.pairs[pair.key]
        pair.blocked = None
        if self._split:
            self._split.pop(pair.key, None)
        self.held_bytes -= pair.bytes

    def part(self, now_ns: int, bound_ns: int, begun_only: bool = False) -> None:
        """Let the builds that are ready go on where the others have kept them waiting for bound_ns."""
        for pair in list(self._split.values()):
            if begun_only and pair.begun is None:
                continue
            if now_ns - self._since(pair) >= bound_ns:
                self._go_alone(pair, now_ns)

    def _go_alone(self, pair: Pair, now_ns: int) -> None:
        """Let the builds that are ready for a pair go on without the others."""
        del self._split[pair.key]
        pair.alone = True
        pair.slip_ns = now_ns - self._since(pair)
        self.splits += 1
        self.held_back_ns = max(self.held_back_ns, pair.slip_ns)
        pair.ready_ns = now_ns  # that it was held back is not the doing of who begins it
        self.ready.append(pair)


def _free(stream: Pair, pair: Pair, index: int) -> None:
    """Note that on this build `pair` waits for `stream` no longer; forget it where that holds for all builds."""
    freed = stream.freed
    if freed is None:
        freed = stream.freed = set()
    freed.add((pair, index))
    if all((pair, other) in freed or outcome is not None for other, outcome in enumerate(stream.outcomes)):
        freed.difference_update([(pair, other) for other in range(len(stream.outcomes))])
        if stream.dependents is not None:
            stream.dependents.remove(pair)
