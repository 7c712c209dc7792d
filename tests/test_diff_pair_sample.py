from __future__ import annotations

import random

from diff.explain import Dimension
from diff.pair_sample import PairSamples, pair_hash

Facts = tuple[Dimension, ...]


def facts_of(position: int) -> Facts:
    return (("target", f"/{position}"), ("parity", str(position % 2)))


def samples_of(positions: list[int], *, pairs_max: int = 50, facts_max: int = 10_000) -> PairSamples[str]:
    """A route of these pairs, of which every tenth is affected at a place."""
    samples: PairSamples[str] = PairSamples(pairs_max=pairs_max, facts_max=facts_max)
    for position in positions:
        number = pair_hash("x", position)
        samples.observe("route", number, facts_of(position))
        if position % 10 == 0:
            samples.observe("place", number, facts_of(position))
    return samples


def test_all_pairs_are_kept_where_they_are_few() -> None:
    affected, rest = samples_of(list(range(40))).apart("route", "place")
    assert sorted(affected) == sorted(facts_of(position) for position in range(0, 40, 10))
    assert sorted(rest) == sorted(facts_of(position) for position in range(40) if position % 10)


def test_of_many_pairs_a_fair_sample_is_kept_in_which_no_affected_pair_passes_for_another() -> None:
    affected, rest = samples_of(list(range(5000))).apart("route", "place")
    assert len(affected) == 50
    assert 30 <= len(rest) < 50
    assert not any(int(facts[0][1][1:]) % 10 == 0 for facts in rest)


def test_the_order_of_the_pairs_does_not_matter() -> None:
    positions = list(range(3000))
    expected = samples_of(positions).apart("route", "place")
    random.Random(1).shuffle(positions)
    assert samples_of(positions).apart("route", "place") == expected


def test_merged_samples_are_those_of_all_pairs_together() -> None:
    whole = samples_of(list(range(3000))).apart("route", "place")
    for shares in (2, 5):
        merged: PairSamples[str] = PairSamples(pairs_max=50)
        for share in range(shares):
            other = samples_of(list(range(share, 3000, shares)))
            other.settle()
            for owner in ("route", "place"):
                merged.merge(owner, other, owner)
        assert merged.apart("route", "place") == whole


def test_an_owner_beyond_the_bound_on_facts_has_no_sample_for_good() -> None:
    samples = samples_of(list(range(100)), facts_max=60)
    assert samples.apart("route", "place") == ([], [])
    merged: PairSamples[str] = PairSamples(pairs_max=50)
    for other in (samples_of(list(range(100, 130))), samples, samples_of(list(range(200, 230)))):
        for owner in ("route", "place"):
            merged.merge(owner, other, owner)
    assert merged.apart("route", "place") == ([], [])


def test_what_an_owner_gave_up_others_may_use() -> None:
    samples: PairSamples[str] = PairSamples(pairs_max=50, facts_max=60)
    for position in range(40):
        samples.observe("greedy", pair_hash("x", position), facts_of(position))
    for position in range(20):
        samples.observe("route", pair_hash("x", position), facts_of(position))
    samples.observe("place", pair_hash("x", 3), facts_of(3))
    affected, rest = samples.apart("route", "place")
    assert (len(affected), len(rest)) == (1, 19)


def test_samples_beyond_the_bound_on_facts_are_halved_before_any_is_given_up() -> None:
    halved = samples_of(list(range(3000)), pairs_max=200, facts_max=450)
    assert halved.apart("route", "place") == samples_of(list(range(3000)), pairs_max=100).apart("route", "place")
    merged: PairSamples[str] = PairSamples(pairs_max=200)
    for other in (samples_of(list(range(3000, 4000)), pairs_max=200), halved):
        for owner in ("route", "place"):
            merged.merge(owner, other, owner)
    assert merged.apart("route", "place") == samples_of(list(range(4000)), pairs_max=100).apart("route", "place")
