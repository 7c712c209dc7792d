from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from diff.difference import Difference
from diff.facets import Facets, Renamings
from diff.odd import Seen, seen_of

NOW_NS = 1_790_000_000_000_000_000
Make = Callable[[random.Random, int], Any]


def moment(chance: random.Random, number: int, hours: int = 0) -> str:
    at = 1_790_000_000 + number + chance.random() / 100 + 3600 * hours
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds")


def seen(left: Any, right: Any) -> list[Seen]:
    return [seen_of(Difference("body", ("a",), "value", left, right), NOW_NS)]


def facets(candidate: Make, current: Make, witness: Make | None = None, count: int = 60) -> dict[str, tuple[int, int]]:
    """Facet name to how often the candidate and how often the witness showed it alone."""
    found, renamings = Facets(), Renamings()
    chances = [random.Random(name) for name in ("candidate", "current", "witness")]
    for number in range(count):
        mine = candidate(chances[0], number)
        ours = current(chances[1], number)
        theirs = (witness or current)(chances[2], number)
        found.observe(seen(ours, mine), seen(ours, theirs), number % 10, number, renamings)
    return {name: (odd.candidate, odd.witness) for name, _, odd in found.tests()}


def test_a_time_two_hours_ahead_is_shifted() -> None:
    assert facets(lambda c, n: moment(c, n, 2), moment)["shift"] == (60, 0)


def test_times_of_one_clock_are_not_shifted() -> None:
    assert "shift" not in facets(moment, moment)


def test_a_greater_float_is_shifted_where_the_jitter_is_small() -> None:
    found = facets(lambda c, n: 4.4 + c.random() / 100, lambda c, n: 4 + c.random() / 100)
    assert found["shift"] == (60, 0)


def test_counters_that_began_apart_are_not_called_shifted() -> None:
    found = facets(lambda c, n: 9000 + n, lambda c, n: 100 + n, lambda c, n: 500 + n)
    assert "shift" not in found


def test_processes_that_drift_apart_are_not_called_shifted() -> None:
    drift = {"at": 0.0}

    def walk(chance: random.Random, number: int) -> float:
        drift["at"] += chance.gauss(0, 1)
        return 1000 + number + drift["at"]

    assert "shift" not in facets(lambda c, n: 5000.0 + n, lambda c, n: 1000.0 + n, walk)


def test_a_value_that_turned_constant_repeats() -> None:
    assert facets(lambda c, n: "x" * 40, lambda c, n: f"{c.getrandbits(128):032x}").get("repeats") is None
    found = facets(lambda c, n: "0" * 31 + "a", lambda c, n: f"{c.getrandbits(128):032x}")
    assert found["repeats"] == (59, 0)


def test_identifiers_that_changed_places_break_the_renaming() -> None:
    found, renamings = Facets(), Renamings()
    for session in range(12):
        for visit in range(2):
            for line in range(2):
                swapped = line if visit == 0 else 1 - line
                current, candidate, witness = (f"{name}{session}l{line}" for name in ("c", "k", "r"))
                candidate = f"k{session}l{swapped}"
                found.observe(seen(current, candidate), seen(current, witness), session, session, renamings)
    (test,) = [odd for name, _, odd in found.tests() if name == "renamed"]
    assert (test.candidate, test.witness) == (24, 0)


def test_a_value_of_the_whole_process_breaks_the_renaming_once_for_all_sessions() -> None:
    found, later, renamings = Facets(), Facets(), Renamings()
    for session in range(40):  # the memory in use stands still in two builds, and grows in the candidate
        for visit in range(2):
            memory = 1_000_000 + session // 20
            one = found if session % 2 else later
            one.observe(
                seen(memory, 2_000_000 + 2 * session + visit),
                seen(memory, 3_000_000 + session // 20),
                session,
                0,
                renamings,
            )
    found.merge(later)
    (test,) = [odd for name, _, odd in found.tests() if name == "renamed"]
    assert (test.candidate, test.witness) == (2, 0)


def test_a_consistent_renaming_is_no_facet() -> None:
    def make(prefix: str) -> Make:
        return lambda _chance, number: f"{prefix}{number % 7}"

    assert "renamed" not in facets(make("k"), make("c"), make("r"))


def test_two_times_that_are_one_moment_in_one_build_alone_break_no_renaming() -> None:
    found, renamings = Facets(), Renamings()
    for session in range(12):
        for second in (0, 1):  # started and last_activity of one answer: the same moment but for the candidate
            current, candidate = f"2026-11-27T02:01:{10 + session}Z", f"2026-11-27T02:02:{10 + session + second}Z"
            found.observe(
                seen(current, candidate), seen(current, f"2026-11-27T02:03:{10 + session}Z"), session, 0, renamings
            )
    assert "renamed" not in {name for name, _, _ in found.tests()}


def test_a_counter_that_goes_up_by_two_counts_otherwise() -> None:
    assert facets(lambda c, n: 9000 + 2 * n, lambda c, n: 100 + n, lambda c, n: 500 + n)["step"] == (59, 0)


def test_numbers_that_two_processes_hold_on_to_are_no_steps() -> None:
    found = facets(lambda c, n: 9000 + n, lambda c, n: 100, lambda c, n: 500)
    assert "step" not in found


def test_a_jitter_that_has_grown_is_scattered() -> None:
    found = facets(lambda c, n: 4 + (c.random() - 0.5) / 10, lambda c, n: 4 + (c.random() - 0.5) / 100)
    assert found["spread"] == (10, 0)
    assert "shift" not in found
    assert "spread" not in facets(lambda c, n: 4 + c.random(), lambda c, n: 4 + c.random())


def test_a_uuid_of_another_version_is_written_otherwise() -> None:
    def made(version: str) -> Make:
        return lambda c, n: f"{c.getrandbits(32):08x}-7a60-{version}d6e-a9be-{n:012x}"

    assert facets(made("1"), made("4"))["form"] == (60, 0)
    assert "form" not in facets(made("4"), made("4"))


def test_a_value_that_comes_again_now_and_then_repeats() -> None:
    def token(chance: random.Random, number: int) -> str:
        return f"{chance.getrandbits(128):032x}"

    found = facets(lambda c, n: "0123456789abcdef" * 2 if n % 40 == 3 else token(c, n), token, count=200)
    assert found["repeats"] == (4, 0)
