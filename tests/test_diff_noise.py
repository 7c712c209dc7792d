from __future__ import annotations

from typing import Any

import pytest

from diff.difference import MISSING, Difference, Kind
from diff.facets import Renamings
from diff.noise import PathTally
from diff.odd import Change, Odd, Seen, redacted_paths, seen_of

NOW_NS = 1_790_000_000_000_000_000
UUIDS = [f"3f2b8c1e-7a60-4d6e-a9be-{number:012x}" for number in range(100)]


def seen(left: Any, right: Any, kind: Kind = "value") -> list[Seen]:
    return [seen_of(Difference("body", ("a",), kind, left, right), NOW_NS)]


def observe(tally: PathTally, candidate: list[Seen], witness: list[Seen] | None, number: int = 0) -> bool:
    return tally.observe(candidate, witness, Renamings(), session=number, weight=1.0, position=number)


def test_a_candidate_that_stands_apart_alone_is_counted_as_odd() -> None:
    tally = PathTally()
    assert observe(tally, seen(1, 2), [])
    assert (tally.odd.candidate, tally.odd.witness, tally.odd.current) == (1, 0, 0)
    assert tally.count == 1


def test_a_witness_that_stands_apart_alone_is_noise() -> None:
    tally = PathTally()
    assert not observe(tally, [], seen(1, 2))
    assert (tally.odd.candidate, tally.odd.witness, tally.odd.current) == (0, 1, 0)
    assert tally.count == 0


def test_where_candidate_and_witness_agree_the_current_build_is_the_odd_one() -> None:
    tally = PathTally()
    assert not observe(tally, seen(1, 2), seen(1, 2))
    assert (tally.odd.candidate, tally.odd.witness, tally.odd.current) == (0, 0, 1)


def test_where_all_three_disagree_the_value_tells_nothing() -> None:
    tally = PathTally()
    assert not observe(tally, seen(UUIDS[0], UUIDS[1]), seen(UUIDS[0], UUIDS[2]))
    assert not tally.odd.seen
    assert tally.agreed_differ == 1


def test_readings_of_the_clock_say_nothing_however_the_ticks_fell() -> None:
    first, later = "2026-09-21T14:13:20.101Z", "2026-09-21T14:13:20.117Z"
    assert seen(first, later)[0].momentary
    for candidate, witness in ((seen(first, later), []), ([], seen(first, later))):
        tally = PathTally()
        assert not observe(tally, candidate, witness)
        assert not tally.odd.seen
        assert not any(change.odd.seen for change in tally.changes.values())
        assert tally.witnessed == 1


def test_a_time_that_is_not_now_or_no_longer_a_time_is_still_seen() -> None:
    for other in ("2026-09-21T16:13:20.101Z", "2026-09-21T14:13:20Z", 1_790_000_000, ""):
        tally = PathTally()
        assert observe(tally, seen("2026-09-21T14:13:20.101Z", other), [])
        assert tally.odd.candidate == 1


def test_a_change_of_class_is_seen_where_all_three_disagree() -> None:
    tally = PathTally()
    observe(tally, seen(UUIDS[0], ""), seen(UUIDS[0], UUIDS[2]))
    assert tally.changes[Change("value", "uuid", "empty")].odd.candidate == 1


def test_a_current_build_of_another_class_than_both_is_odd_in_the_reverse_change() -> None:
    tally = PathTally()
    observe(tally, seen("", UUIDS[1]), seen("", UUIDS[2]))
    assert tally.changes[Change("value", "uuid", "empty")].odd.current == 1


def test_the_reverse_of_missing_is_extra() -> None:
    assert Change("missing", "int", "absent").reverse() == Change("extra", "absent", "int")
    tally = PathTally()
    observe(tally, seen(MISSING, 1, "extra"), seen(MISSING, 1, "extra"))
    assert tally.changes[Change("missing", "int", "absent")].odd.current == 1


def test_a_value_that_repeats_on_the_candidate_alone_is_counted() -> None:
    tally = PathTally()
    for number in range(20):
        observe(tally, seen(UUIDS[number], UUIDS[99]), seen(UUIDS[number], UUIDS[40 + number]), number)
    assert (tally.facets.repeats.candidate, tally.facets.repeats.witness, tally.facets.repeats.current) == (19, 0, 0)


def test_without_a_witness_nothing_is_called_odd() -> None:
    tally = PathTally()
    assert observe(tally, seen(1, 2), None)
    assert not tally.odd.seen
    assert tally.untested == 1


def test_five_odd_candidates_of_five_have_a_chance_of_three_to_the_fifth() -> None:
    odd = Odd()
    for session in range(5):
        odd.add(0, session)
    assert odd.p_value(5, three_way=True) == pytest.approx((3**-5, 3**-5))
    assert odd.p_value(5, three_way=False) == pytest.approx((2**-5, 2**-5))


def test_requests_of_one_session_count_once_where_there_are_many_sessions() -> None:
    odd = Odd()
    for _ in range(50):
        odd.add(0, 7)
    assert odd.p_value(19, three_way=True)[0] < 1e-20
    assert odd.p_value(20, three_way=True)[0] == pytest.approx(1 / 3)


def test_noise_that_is_equal_on_both_sides_is_not_significant() -> None:
    odd = Odd()
    for session in range(900):
        odd.add(session % 3, session)
    assert odd.p_value(900, three_way=True)[0] > 0.3


def test_sessions_beyond_the_bound_are_counted_in_proportion() -> None:
    odd = Odd()
    for session in range(3000):
        odd.add(0, session)
        odd.add(1, session)
    assert odd.p_value(3000, three_way=False)[0] == pytest.approx(0.5, abs=0.02)


def test_many_changes_at_one_place_are_bounded_and_counted() -> None:
    tally = PathTally()
    for number in range(200):
        observe(tally, seen("x", "0123456789abcdef" + "0" * number), [], number)
    assert len(tally.changes) <= 65
    assert tally.overflowed > 0
    assert tally.odd.candidate == 200


def test_the_status_is_its_own_class() -> None:
    one = seen_of(Difference("status", (), "value", 200, 503), NOW_NS)
    assert one.path == "status"
    assert one.change == Change("value", "200", "503")


def test_redacted_places_of_a_response_are_named_as_differences_are() -> None:
    redacted = (
        "request.cookie:sid",
        "response.cookie:sid",
        "response.json:$['a'][3]['token']",
        "response.header:x-key",
    )
    assert redacted_paths(redacted) == {"cookie:sid", "$['a'][*]['token']", "header:x-key"}


def gauge(values: int) -> PathTally:
    """A number that each process holds on to: all disagree, but current and witness agree by chance for a while."""
    tally = PathTally()
    for number in range(60):
        mine = 57_000_000 + 4096 * (number % values)
        observe(tally, seen(mine, mine + 900), [] if number % 3 == 0 else seen(mine, mine + 4), number)
    return tally


def test_a_value_that_a_process_holds_on_to_agrees_by_chance_once_not_every_time() -> None:
    tally = gauge(3)
    assert tally.odd.candidate == 20
    assert tally.given.values() == (1, 0, 0)
    assert gauge(60).given.values() == (20, 0, 0)
