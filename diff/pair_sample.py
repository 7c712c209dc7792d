"""Which facts come together: those of some hundred pairs of each route and place, chosen by hash, in bounded memory.

The pairs with the smallest hashes are kept (bottom-k sampling; Cohen and Kaplan, 2007). One hash of a pair serves its
route and its places: so every affected pair in the route's sample is also in its place's, and the others in the route's
sample are a fair sample of the unaffected. Which pairs are kept depends neither on order nor on who observed them.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

from diff.explain import Dimension

__all__ = ["PairSamples", "pair_hash"]

Owner = TypeVar("Owner", bound=Hashable)
Facts = tuple[Dimension, ...]

_PAIRS_MAX = 400
_PAIRS_LEAST = 50
_FACTS_MAX = 900_000
_INTERNED_MAX = 20_000


def pair_hash(exchange: str, position: int) -> int:
    """64 bits that choose a pair as if by chance, the same in every process."""
    text = f"{exchange}\0{position}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())


class _Sample:
    """The pairs of the smallest hashes; worst: minus each hash, as a heap."""

    __slots__ = ("pairs", "worst")

    def __init__(self) -> None:
        self.pairs: dict[int, Facts] = {}
        self.worst: list[int] = []


class PairSamples(Generic[Owner]):
    """A sample of `pairs_max` pairs for each owner, a route or a place, of at most `facts_max` facts in all.

    Where that is not enough, all samples are halved, down to some fifty pairs; after that, an owner whose sample would
    go beyond it is left without any, for good.
    """

    __slots__ = ("_cut", "_interned", "_left", "_pairs_max", "_samples")

    def __init__(self, *, facts_max: int = _FACTS_MAX, pairs_max: int = _PAIRS_MAX) -> None:
        self._samples: dict[Owner, _Sample] = {}
        self._cut: set[Owner] = set()
        self._left = facts_max
        self._pairs_max = pairs_max
        self._interned: dict[Dimension, Dimension] = {}

    def observe(self, of: Owner, number: int, facts: Sequence[Dimension]) -> None:
        """Take in one pair; number: its `pair_hash`."""
        sample = self._samples.get(of)
        if sample is None:
            if of in self._cut:
                return
            sample = self._samples[of] = _Sample()
        if len(sample.worst) >= self._pairs_max and number > -sample.worst[0]:
            return
        self._take(of, sample, number, self._shared(facts))

    def _shared(self, facts: Iterable[Dimension]) -> Facts:
        """The same facts, of objects that other pairs have too."""
        interned = self._interned
        if len(interned) > _INTERNED_MAX:
            interned.clear()
        return tuple([interned.setdefault(fact, fact) for fact in facts])

    def _take(self, of: Owner, sample: _Sample, number: int, facts: Facts) -> None:
        if number in sample.pairs:
            return
        sample.pairs[number] = facts
        self._left -= len(facts)
        heapq.heappush(sample.worst, -number)
        if len(sample.worst) > self._pairs_max:
            self._left += len(sample.pairs.pop(-heapq.heappop(sample.worst)))
        while self._left < 0 and self._pairs_max >= 2 * _PAIRS_LEAST:
            self._shrink(self._pairs_max // 2)
        if self._left < 0:
            self._drop(of)

    def _shrink(self, pairs_max: int) -> None:
        """Keep the smallest hashes alone: what this bound would have kept from the start."""
        self._pairs_max = pairs_max
        for sample in self._samples.values():
            while len(sample.worst) > pairs_max:
                self._left += len(sample.pairs.pop(-heapq.heappop(sample.worst)))

    def _drop(self, of: Owner) -> None:
        self._cut.add(of)
        sample = self._samples.pop(of, None)
        if sample is not None:
            self._left += sum(map(len, sample.pairs.values()))

    def merge(self, mine: Owner, other: PairSamples[Owner], theirs: Owner) -> None:
        """Add what another has of `theirs` to `mine`."""
        if other._pairs_max < self._pairs_max:
            self._shrink(other._pairs_max)
        if theirs in other._cut:
            self._drop(mine)
        found = other._samples.get(theirs)
        if found is None or mine in self._cut:
            return
        sample = self._samples.setdefault(mine, _Sample())
        for number in sorted(found.pairs):
            if mine in self._cut or (len(sample.worst) >= self._pairs_max and number > -sample.worst[0]):
                return
            self._take(mine, sample, number, self._shared(found.pairs[number]))

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self._interned = {}

    def apart(self, route: Owner, place: Owner) -> tuple[list[Facts], list[Facts]]:
        """The facts of affected pairs of a place, and of pairs of its route that are not affected; ([], []) if unknown.

        Each in the order of the hashes. All pairs there are, where these are not more than are kept.
        """
        everything, affected = self._samples.get(route), self._samples.get(place)
        if everything is None or affected is None:
            return [], []
        rest = [everything.pairs[number] for number in sorted(everything.pairs) if number not in affected.pairs]
        return [affected.pairs[number] for number in sorted(affected.pairs)], rest
