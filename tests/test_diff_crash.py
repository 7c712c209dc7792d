from __future__ import annotations

from diff.crash import Failed, causes_of_failures
from tests.support.judging import judged
from tests.support.service import Call, run


def test_refusals_that_begin_with_a_reset_follow_from_it() -> None:
    failed = {"a": Failed("reset", [40]), "b": Failed("refused", range(41, 300))}
    assert causes_of_failures(failed) == {"b": "a"}


def test_what_was_under_way_on_another_route_follows_too() -> None:
    failed = {
        "ping": Failed("reset", [41, 203]),
        "crash": Failed("reset", [40, 200, 400]),
        "gone": Failed("refused", [42, 43, 201, 202, 401]),
    }
    assert causes_of_failures(failed) == {"ping": "crash", "gone": "crash"}


def test_resets_elsewhere_are_a_finding_of_their_own() -> None:
    failed = {
        "crash": Failed("reset", [400]),
        "other": Failed("reset", [10, 90, 170, 250]),
        "gone": Failed("refused", range(401, 500)),
    }
    assert causes_of_failures(failed) == {"gone": "crash"}


def test_refusals_without_a_break_before_them_follow_from_nothing() -> None:
    assert causes_of_failures({"a": Failed("reset", [400]), "b": Failed("refused", [10, 200, 300])}) == {}
    assert causes_of_failures({"b": Failed("refused", range(9))}) == {}
    assert causes_of_failures({"a": Failed("reset", range(9))}) == {}
    assert causes_of_failures({"a": Failed("reset", []), "b": Failed("refused", [1])}) == {}


def crashed(call: Call) -> str | None:
    return None if call.number < 120 else "reset" if call.number == 120 else "refused"


def test_one_crash_is_one_finding_with_what_follows_under_it() -> None:
    for reference in (True, False):
        report = judged(run(1, requests=300, failure=crashed), reference=reference)
        first, *others = report.candidates["candidate"].findings
        assert (first.path, first.to_class, first.count) == ("outcome", "reset", 1)
        assert {(other.to_class, other.caused_by) for other in others} == {("refused", first.id)}
        assert report.verdict == "hold"
        assert any("1 finding, 1 breaking, and 1 that follow from them" in reason for reason in report.reasons)
