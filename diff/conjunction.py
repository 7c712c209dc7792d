"""Facts that separate affected pairs from the rest only together: "accept-language: tr and query:page present".

Candidates are the facts that nearly all affected pairs have. A beam search joins two, then three of them; what it finds
has to be worth its length: far fewer pairs told wrongly than by any shorter predicate, by an exact test too. Pure.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import NamedTuple

from diff.explain import SHARE_APART_MIN, SHARE_INSIDE_MIN, SIGNIFICANT, Dimension, Explanation, words
from diff.statistics import fisher_tail

__all__ = ["conjunction"]

_PAIRS_MIN = 5
_CANDIDATES_MAX = 12
_BEAM = 6
_PARTS_MAX = 3
_BETTER = 0.5
"""A conjunction tells at most this share of the pairs wrong that any shorter predicate does."""


class _Predicate(NamedTuple):
    """Facts that hold together; inside, outside: of which sampled pairs, a bit for each."""

    facts: tuple[Dimension, ...]
    inside: int
    outside: int

    def __and__(self, other: _Predicate) -> _Predicate:
        return _Predicate(self.facts + other.facts, self.inside & other.inside, self.outside & other.outside)


class _Sample(NamedTuple):
    """How many pairs of each kind were sampled, how many there are, and how many different facts the affected have."""

    affected: int
    rest: int
    affected_pairs: int
    rest_pairs: int
    facts: int

    def shares(self, one: _Predicate) -> tuple[float, float]:
        return one.inside.bit_count() / self.affected, one.outside.bit_count() / self.rest

    def wrong(self, one: _Predicate) -> float:
        """About how many pairs the predicate tells wrongly: affected ones without it, others with it."""
        inside, outside = self.shares(one)
        return (1 - inside) * self.affected_pairs + outside * self.rest_pairs

    def worth(self, one: _Predicate) -> tuple[float, list[tuple[bool, int, Dimension]]]:
        """What predicates are sorted by: the least wrong first, then the plainest."""
        return self.wrong(one), [_plain(fact) for fact in one.facts]


def _plain(fact: Dimension) -> tuple[bool, int, Dimension]:
    """Less for what reads better: one field rather than a list of all, then the shorter."""
    return fact[0].endswith(" fields"), len(words(fact)), fact


def conjunction(
    affected: Sequence[tuple[Dimension, ...]],
    rest: Sequence[tuple[Dimension, ...]],
    affected_pairs: int,
    rest_pairs: int,
) -> Explanation | None:
    """The shortest conjunction of two or three facts that separates clearly better than all that is shorter, or None.

    affected, rest: the facts of the pairs of a fair sample, each at most once; affected_pairs, rest_pairs: how many it
    was drawn from.
    """
    if min(len(affected), len(rest)) < _PAIRS_MIN:
        return None
    candidates, facts = _candidates(affected, rest)
    if len(candidates) < 2:
        return None
    sample = _Sample(len(affected), len(rest), affected_pairs, rest_pairs, facts)
    candidates.sort(key=sample.worth)
    del candidates[_CANDIDATES_MAX:]
    best, wrong = None, sample.wrong(candidates[0])
    beam = candidates
    for parts in range(2, _PARTS_MAX + 1):
        beam = sorted(_joined(beam, candidates), key=sample.worth)
        found = next((one for one in beam if _holds(one, parts, wrong, candidates, sample)), None)
        if found is not None:
            best, wrong = found, sample.wrong(found)
        del beam[_BEAM:]
    return None if best is None else _explanation(best, sample)


def _candidates(
    affected: Sequence[tuple[Dimension, ...]], rest: Sequence[tuple[Dimension, ...]]
) -> tuple[list[_Predicate], int]:
    """The facts that may be a part, of those of the very same pairs the plainest; and how many facts there are."""
    counted = Counter(fact for facts in affected for fact in facts)
    inside = _bits(affected, (fact for fact, count in counted.items() if count >= SHARE_INSIDE_MIN * len(affected)))
    outside = _bits(rest, inside)
    by_pairs: dict[tuple[int, int], _Predicate] = {}
    for fact in sorted(inside, key=_plain):
        one = _Predicate((fact,), inside[fact], outside[fact])
        if one.inside.bit_count() * len(rest) > one.outside.bit_count() * len(affected):
            by_pairs.setdefault(one[1:], one)
    return list(by_pairs.values()), len(counted)


def _bits(pairs: Sequence[tuple[Dimension, ...]], wanted: Iterable[Dimension]) -> dict[Dimension, int]:
    bits = dict.fromkeys(wanted, 0)
    for number, facts in enumerate(pairs):
        for fact in facts:
            if fact in bits:
                bits[fact] |= 1 << number
    return bits


def _joined(beam: Sequence[_Predicate], candidates: Sequence[_Predicate]) -> list[_Predicate]:
    """Each of the beam with each candidate that it has not, once; the parts in the order of the candidates."""
    order = {one.facts[0]: number for number, one in enumerate(candidates)}
    found: dict[tuple[Dimension, ...], _Predicate] = {}
    for one in beam:
        for other in candidates:
            if other.facts[0] not in one.facts:
                joined = one & other
                facts = tuple(sorted(joined.facts, key=order.__getitem__))
                found[facts] = joined._replace(facts=facts)
    return list(found.values())


def _holds(one: _Predicate, parts: int, wrong: float, candidates: Sequence[_Predicate], sample: _Sample) -> bool:
    """Whether a conjunction separates, and better than the best that is shorter and than itself without any part.

    What is without a part is better by a Fisher test of that part among the pairs that have all others; corrected for
    all conjunctions of that length, for which ones were tried was chosen by looking at the pairs.
    """
    inside, outside = sample.shares(one)
    if inside < SHARE_INSIDE_MIN or inside - outside < SHARE_APART_MIN or sample.wrong(one) > _BETTER * wrong:
        return False
    looked_at = math.comb(sample.facts, parts)
    by_fact = {candidate.facts[0]: candidate for candidate in candidates}
    for fewer in combinations(one.facts, parts - 1):
        without = by_fact[fewer[0]]
        for fact in fewer[1:]:
            without &= by_fact[fact]
        if sample.wrong(one) > _BETTER * sample.wrong(without):
            return False
        p = fisher_tail(
            one.inside.bit_count(),
            without.inside.bit_count(),
            one.outside.bit_count(),
            without.outside.bit_count(),
        )
        if p * looked_at >= SIGNIFICANT:
            return False
    return True


def _explanation(one: _Predicate, sample: _Sample) -> Explanation:
    inside, outside = sample.shares(one)
    names, values = zip(*one.facts, strict=True)
    return Explanation(" and ".join(names), " and ".join(values), round(inside, 4), round(outside, 4), one.facts)
