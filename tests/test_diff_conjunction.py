from __future__ import annotations

import random
from collections.abc import Callable

from diff.conjunction import conjunction
from diff.explain import Dimension, Explanation, words

Facts = tuple[Dimension, ...]
TURKISH: Dimension = ("header:accept-language", "tr")
PAGE: Dimension = ("query:page", "(present)")
BETA: Dimension = ("cookie:beta", "(present)")


def traffic(pairs: int, *, seed: int = 1, turkish: float = 0.3) -> list[Facts]:
    """Requests with some facts by chance, and others that all have or that each has alone."""
    chance = random.Random(seed)
    found = []
    for number in range(pairs):
        facts: list[Dimension] = [("method", "GET"), ("target", f"/items/{number}")]
        facts.append(TURKISH if chance.random() < turkish else ("header:accept-language", "de"))
        if chance.random() < 0.5:
            facts += [PAGE, ("query fields", "page"), ("query:page", str(chance.randrange(2, 9)))]
        else:
            facts.append(("query fields", "q"))
        if chance.random() < 0.5:
            facts.append(BETA)
        facts.append(("hour (UTC)", f"{chance.randrange(24):02d}"))
        found.append(tuple(facts))
    return found


def explained(pairs: list[Facts], affected: Callable[[Facts], bool]) -> Explanation | None:
    inside = [facts for facts in pairs if affected(facts)]
    outside = [facts for facts in pairs if not affected(facts)]
    return conjunction(inside, outside, len(inside), len(outside))


def test_two_facts_that_separate_only_together_are_told_together() -> None:
    found = explained(traffic(300), lambda facts: TURKISH in facts and PAGE in facts)
    assert found is not None
    assert found.predicate == "header:accept-language: tr and query:page present"
    assert (found.dimension, found.value) == ("header:accept-language and query:page", "tr and (present)")
    assert (found.inside, found.outside) == (1.0, 0.0)


def test_three_facts_are_told_where_two_do_not_separate() -> None:
    found = explained(traffic(500), lambda facts: TURKISH in facts and PAGE in facts and BETA in facts)
    assert found is not None
    assert set(found.parts) == {TURKISH, PAGE, BETA}
    assert found.outside == 0.0


def test_what_one_fact_tells_needs_no_second_one() -> None:
    assert explained(traffic(300), lambda facts: TURKISH in facts) is None
    chance = random.Random(5)
    assert explained(traffic(300), lambda facts: TURKISH in facts and chance.random() < 0.98) is None


def test_a_second_fact_that_hides_some_unaffected_by_chance_is_not_told() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        assert explained(traffic(200, seed=seed), lambda facts, c=chance: c.random() < 0.1) is None  # type: ignore[misc]
        assert explained(traffic(200, seed=seed), lambda facts, c=chance: TURKISH in facts and c.random() < 0.5) is None  # type: ignore[misc]


def test_a_rare_fact_is_worth_a_second_one_where_half_of_those_who_have_it_are_not_affected() -> None:
    found = explained(traffic(800, turkish=0.1), lambda facts: TURKISH in facts and PAGE in facts)
    assert found is not None
    assert set(found.parts) == {TURKISH, PAGE}


def test_some_affected_pairs_by_another_cause_do_not_hide_the_facts() -> None:
    chance = random.Random(3)
    found = explained(traffic(600), lambda facts: (TURKISH in facts and PAGE in facts) or chance.random() < 0.01)
    assert found is not None
    assert set(found.parts) == {TURKISH, PAGE}
    assert 0.9 < found.inside < 1.0


def test_too_few_pairs_are_not_explained() -> None:
    assert (
        explained(traffic(20), lambda facts: TURKISH in facts and PAGE in facts and ("target", "/items/3") in facts)
        is None
    )
    assert conjunction([], [], 0, 0) is None


def test_pairs_without_any_fact_in_common_are_not_explained() -> None:
    single = [(("target", f"/{number}"),) for number in range(40)]
    assert conjunction(single[:20], single[20:], 20, 20) is None


def test_the_order_of_the_pairs_changes_nothing() -> None:
    pairs = traffic(300)
    expected = explained(pairs, lambda facts: TURKISH in facts and PAGE in facts)
    random.Random(2).shuffle(pairs)
    assert explained(pairs, lambda facts: TURKISH in facts and PAGE in facts) == expected


def test_a_fact_reads_as_words() -> None:
    assert words(PAGE) == "query:page present"
    assert words(TURKISH) == "header:accept-language: tr"
