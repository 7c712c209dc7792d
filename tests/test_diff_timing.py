from __future__ import annotations

import random

import pytest

from diff.settings import DiffConfig
from diff.timing import RouteTimes, Span, TimingRow, judge_timing

MS = 1_000_000


def times(
    seed: int, pairs: int, *, slower_ms: float = 0.0, tail_ms: float = 0.0, sessions: int = 30, reference: bool = True
) -> RouteTimes:
    chance = random.Random(seed)
    found = RouteTimes()
    for number in range(pairs):
        took = [int((4 + chance.expovariate(1.0)) * MS) for _ in range(3)]
        extra = slower_ms + (tail_ms if chance.random() < 0.1 else 0)
        found.add(took[0], took[1] + int(extra * MS), took[2] if reference else None, number % sessions)
    return found


def rows(seed: int, found: RouteTimes, withheld: str | None = None) -> dict[str, TimingRow]:
    judged = judge_timing({"GET /a": found}, DiffConfig(), withheld=withheld, chance=random.Random(seed))
    return {row.quantile: row for row in judged}


def test_twenty_milliseconds_on_five_are_seen_with_forty_pairs() -> None:
    for seed in range(10):
        row = rows(seed, times(seed, 40, slower_ms=20))["p50"]
        assert row.verdict == "slower"
        assert row.low is not None
        assert row.high is not None
        assert row.ratio is not None
        assert row.low < row.ratio < row.high
        assert 4 < row.ratio < 6


def test_a_slow_tail_is_seen_at_the_tail() -> None:
    found = rows(1, times(1, 1000, tail_ms=60))
    assert found["p95"].verdict == "slower"
    assert found["p50"].verdict == "same"


def test_equal_builds_are_never_slower_or_faster() -> None:
    verdicts = {row.verdict for seed in range(60) for row in rows(seed, times(seed, 250)).values()}
    assert verdicts == {"same", "unknown"}


def test_a_faster_candidate_is_faster() -> None:
    found = RouteTimes()
    slow = times(1, 200, slower_ms=20)
    for current, candidate, reference in zip(slow.candidate, slow.current, slow.reference, strict=True):
        found.add(int(current), int(candidate), int(reference) + 20 * MS, 0)
    assert rows(1, found)["p50"].verdict == "faster"


def test_less_than_a_millisecond_does_not_count() -> None:
    found = RouteTimes()
    for number in range(300):
        found.add(200_000 + number, 400_000 + number, 200_000 + number, number)
    row = rows(1, found)["p50"]
    assert row.ratio == pytest.approx(2, abs=0.01)
    assert row.verdict == "same"


def test_a_difference_that_the_reference_has_too_is_no_news() -> None:
    found = RouteTimes()
    chance = random.Random(1)
    for number in range(300):
        base = int((5 + chance.random()) * MS)
        found.add(base, base * 2, base * 2, number % 30)
    assert rows(1, found)["p50"].verdict == "same"


def test_too_few_pairs_are_unknown_and_say_so() -> None:
    row = rows(1, times(1, 19))["p50"]
    assert (row.verdict, row.reason) == ("unknown", "19 pairs, at least 20 are needed")


def test_a_withheld_timing_is_unknown_with_its_reason() -> None:
    found = rows(1, times(1, 300, slower_ms=50), withheld="the generator was late")
    assert {(row.verdict, row.reason) for row in found.values()} == {("unknown", "the generator was late")}


@pytest.mark.parametrize(("slower_ms", "verdict"), [(50, "slower"), (12, "slower"), (8, "unknown"), (0, "unknown")])
def test_a_late_generator_hides_what_it_delayed_and_not_what_lies_far_beyond(slower_ms: float, verdict: str) -> None:
    found = judge_timing(
        {"GET /a": times(1, 300, slower_ms=slower_ms)},
        DiffConfig(),
        withheld="the generator was late",
        chance=random.Random(1),
        lag_ns=(10 * MS, 20 * MS),
    )
    tail = "slower" if slower_ms > 40 else "unknown"
    assert [(row.quantile, row.verdict) for row in found] == [("p50", verdict), ("p95", tail)]


def test_a_tail_far_beyond_what_a_late_generator_delayed_is_told() -> None:
    found = judge_timing(
        {"GET /a": times(1, 1000, tail_ms=60)},
        DiffConfig(),
        withheld="late",
        chance=random.Random(1),
        lag_ns=(2 * MS, 8 * MS),
    )
    assert [(row.quantile, row.verdict) for row in found] == [("p50", "unknown"), ("p95", "slower")]


def test_a_generator_that_delays_answers_at_random_makes_no_build_slower() -> None:
    for seed in range(30):
        chance, found = random.Random(seed), RouteTimes()
        for number in range(300):
            lags = [chance.expovariate(0.1) + (60 if chance.random() < 0.05 else 0) for _ in range(3)]
            took = [int((2 + chance.expovariate(1.0) + lag) * MS) for lag in lags]
            found.add(took[0], took[1], took[2], number % 30)
        told = judge_timing(
            {"GET /a": found}, DiffConfig(), withheld="late", chance=random.Random(seed), lag_ns=(MS, 2 * MS)
        )
        assert {row.verdict for row in told} == {"unknown"}


def test_without_a_reference_the_row_says_what_is_missing() -> None:
    row = rows(1, times(1, 60, slower_ms=20, reference=False))["p50"]
    assert row.verdict == "slower"
    assert row.reason is not None
    assert "no reference" in row.reason


def test_what_could_have_been_seen_shrinks_with_the_number_of_pairs() -> None:
    few, many = rows(1, times(1, 40))["p50"], rows(1, times(1, 1500))["p50"]
    assert few.detectable is not None
    assert many.detectable is not None
    assert few.detectable > many.detectable > 1.05


def test_a_build_that_had_half_the_load_is_not_called_faster() -> None:
    routes = {"GET /": times(1, 200, slower_ms=-3.5)}
    alone, beside = (
        judge_timing(routes, DiffConfig(), withheld=None, chance=random.Random(1), one_process=one_process)[0]
        for one_process in (False, True)
    )
    assert (alone.verdict, beside.verdict) == ("faster", "unknown")
    assert "twice the load" in (beside.reason or "")


def test_the_same_seed_gives_the_same_rows() -> None:
    assert rows(3, times(1, 100)) == rows(3, times(1, 100))


def test_memory_is_bounded_and_every_pair_is_counted() -> None:
    found = RouteTimes()
    for number in range(50_000):
        found.add(MS, MS, MS, number)
    assert found.pairs == 50_000
    assert len(found.current) == len(found.sessions) < 20_000


def bursts(seed: int, pairs: int, extra_ms: float) -> RouteTimes:
    """A busy machine: now and then all that is under way waits for tens of milliseconds, together or not."""
    chance = random.Random(seed)
    found = RouteTimes()
    for number in range(pairs):
        shared = chance.choice((0.0, 0.0, 40.0, 120.0))
        took = [4 + chance.expovariate(1.0) + shared + chance.choice((0.0, 0.0, 0.0, 60.0)) for _ in range(3)]
        took[1] += extra_ms
        found.add(*(int(ms * MS) for ms in took), number % 40)
    return found


def test_fifteen_milliseconds_are_seen_on_a_busy_machine() -> None:
    for seed in range(20):
        assert rows(seed, bursts(seed, 130, 15))["p50"].verdict == "slower", seed


def test_a_process_that_was_starved_for_a_while_is_not_slower() -> None:
    for seed in range(10):
        chance = random.Random(seed)
        found = RouteTimes()
        for number in range(120):
            took = [1 + chance.expovariate(2.0) for _ in range(3)]
            took[1] += 14 if 20 <= number < 90 else 0
            found.add(*(int(ms * MS) for ms in took), chance.randrange(40))
        row = rows(seed, found)["p50"]
        assert row.verdict == "unknown", (seed, row)
        assert row.reason is not None
        assert "cannot exclude" in row.reason


def test_a_busy_machine_alone_is_never_slower_or_faster() -> None:
    verdicts = {rows(seed, bursts(seed, 130, 0))["p50"].verdict for seed in range(60)}
    assert verdicts == {"same"}


def everywhere_slower(routes: int) -> dict[str, RouteTimes]:
    found = {}
    for number in range(routes):
        chance = random.Random(number)
        found[f"GET /{number}"] = times = RouteTimes()
        for pair in range(60):
            times.add(int((1 + chance.random()) * MS), int((15 + chance.random()) * MS), 2 * MS, pair)
    return found


def test_a_build_that_is_slower_everywhere_for_a_moment_may_only_have_been_held_up() -> None:
    def verdicts(routes: int, span_ns: int) -> set[str]:
        judged = judge_timing(
            everywhere_slower(routes), DiffConfig(), withheld=None, chance=random.Random(1), span_ns=span_ns
        )
        return {row.verdict for row in judged if row.quantile == "p50"}

    assert verdicts(4, 700 * MS) == {"unknown"}
    assert verdicts(4, 3000 * MS) == {"slower"}
    assert verdicts(1, 700 * MS) == {"slower"}


def test_the_span_is_from_the_first_send_to_the_last_byte() -> None:
    span = Span()
    assert span.length_ns == 0
    span.add(50, 60)
    span.add(20, 55)
    assert span.length_ns == 40


def test_a_build_that_is_last_on_every_route_of_a_busy_machine_may_only_have_been_held_up() -> None:
    def judged(extra_ms: dict[str, float]) -> TimingRow:
        found = {route: bursts(number, 130, extra) for number, (route, extra) in enumerate(extra_ms.items())}
        found_rows = judge_timing(found, DiffConfig(), withheld=None, chance=random.Random(1), span_ns=9000 * MS)
        return next(row for row in found_rows if (row.route, row.quantile) == ("GET /a", "p50"))

    assert judged({"GET /a": 8, "GET /b": 0, "GET /c": 0}).verdict == "slower"
    everywhere = judged({"GET /a": 8, "GET /b": 8, "GET /c": 8})
    assert (everywhere.verdict, "on other routes" in (everywhere.reason or "")) == ("unknown", True)


def test_the_order_of_the_three_tells_beside_a_late_generator_too_where_other_routes_have_another() -> None:
    def judged(extra_ms: dict[str, float], lag_ms: int) -> str:
        found = {route: bursts(number, 130, extra) for number, (route, extra) in enumerate(extra_ms.items())}
        told = judge_timing(
            found, DiffConfig(), withheld="late", chance=random.Random(1), lag_ns=(lag_ms * MS, 2 * lag_ms * MS)
        )
        return next(row.verdict for row in told if (row.route, row.quantile) == ("GET /a", "p50"))

    assert judged({"GET /a": 8, "GET /b": 0, "GET /c": 0}, 2) == "slower"
    assert judged({"GET /a": 8, "GET /b": 0, "GET /c": 0}, 30) == "unknown"
    assert judged({"GET /a": 8, "GET /b": 8, "GET /c": 8}, 2) == "unknown"
    assert judged({"GET /a": 8}, 2) == "unknown"
