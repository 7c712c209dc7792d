from __future__ import annotations

from collections import Counter

import pytest

from diff.coverage import Coverage
from diff.findings import rule_finding
from diff.ledger import Ledger, Refusals, Totals
from diff.odd import GroupKey
from diff.settings import DiffConfig
from diff.significance import Doubt
from diff.timing import TimingRow
from diff.verdict import EXIT_CODES, Circumstances, Verdict, judge_candidate, worst

COVERAGE = Coverage(5, 5, 0.01, 0.0, 0.02)
FINDING = rule_finding("expect[0]", 0, 100, exceeded=False)
SLOWER = TimingRow("GET /a", "p50", 100, 2.0, 1.8, 2.2, 1.2, "slower", 5.0, 10.0)


def ledger(sent: int = 100, planned: int | None = None, **failed: int) -> Ledger:
    planned = sent if planned is None else planned
    answered = Counter({build: sent - failed.get(build, 0) for build in ("current", "reference", "next")})
    kinds = {build: Counter({"reset": failed.get(build, 0)}) for build in answered}
    return Ledger(planned, sent, Counter({"unsafe_method": planned - sent} if planned > sent else {}), answered, kinds)


def judged(
    book: Ledger,
    *,
    findings: int = 0,
    doubts: tuple[Doubt, ...] = (),
    rows: tuple[TimingRow, ...] = (),
    partial: str | None = None,
    reference: str | None = "reference",
    refusals: Refusals | None = None,
    held_up: str | None = None,
    overtaxed: tuple[str, ...] = (),
    **settings: object,
) -> tuple[Verdict, str]:
    verdict, reasons = judge_candidate(
        "next",
        Circumstances(
            book,
            "current",
            reference,
            partial,
            refusals=refusals or Refusals(),
            held_up=held_up,
            overtaxed=frozenset(overtaxed),
        ),
        Totals(same=book.sent),
        [FINDING] * findings,
        doubts,
        rows,
        COVERAGE,
        DiffConfig(**settings),  # type: ignore[arg-type]
    )
    return verdict, "; ".join(reasons)


def test_nothing_found_and_nothing_missing_is_promoted() -> None:
    verdict, reasons = judged(ledger())
    assert verdict == "promote"
    assert "100 pairs compared" in reasons


def test_a_finding_holds_even_where_evidence_is_missing_too() -> None:
    verdict, reasons = judged(ledger(), findings=1, partial="ended by SIGINT")
    assert verdict == "hold"
    assert "1 finding" in reasons
    assert "the run is partial: ended by SIGINT" in reasons


def test_a_candidate_that_failed_holds() -> None:
    verdict, reasons = judged(ledger(next=3))
    assert verdict == "hold"
    assert "next: no answer to 3 of 100 requests (reset 3)" in reasons


@pytest.mark.parametrize("build", ["current", "reference"])
def test_a_current_or_reference_build_that_failed_is_inconclusive(build: str) -> None:
    verdict, reasons = judged(ledger(**{build: 1}))
    assert verdict == "inconclusive"
    assert f"the {build} build '{build}' gave no answer to 1 of 100 requests" in reasons


def test_a_slower_route_holds_unless_timing_does_not_count() -> None:
    assert judged(ledger(), rows=(SLOWER,))[0] == "hold"
    assert judged(ledger(), rows=(SLOWER,), timing=False)[0] == "promote"


def test_a_candidate_that_cannot_keep_the_current_builds_pace_holds_also_where_no_latency_counts() -> None:
    how = "for 5.6 s nothing was begun, as many requests as may wait did, for 'next'"
    verdict, reasons = judged(ledger(), held_up=how, overtaxed=("next",))
    assert verdict == "hold"
    assert reasons.startswith(f"next: does not keep up with a pace that the current build keeps: {how}")
    verdict, reasons = judged(ledger(), held_up=how)
    assert verdict == "promote"
    assert f"the builds did not keep up with the pace: {how}" in reasons
    assert judged(ledger(), held_up=how, overtaxed=("other",))[0] == "promote"
    assert judged(ledger(), held_up=how, overtaxed=("next",), timing=False)[0] == "promote"


def test_a_grave_doubt_is_inconclusive_and_a_mild_one_is_not() -> None:
    key = GroupKey("GET /a", "status")
    assert judged(ledger(), doubts=(Doubt(key, "value", 1, "why"),))[0] == "promote"
    verdict, reasons = judged(ledger(), doubts=(Doubt(key, "value", 1, "why", "GET /a status: once 500"),))
    assert verdict == "inconclusive"
    assert "GET /a status: once 500" in reasons


def test_an_empty_run_and_one_where_nothing_was_sent_are_inconclusive() -> None:
    assert judged(ledger(0))[0] == "inconclusive"
    verdict, reasons = judged(ledger(0, planned=20))
    assert verdict == "inconclusive"
    assert "all 20 planned requests were skipped (unsafe_method 20)" in reasons


def test_where_all_requests_wait_for_what_a_write_hands_out_the_reason_says_how_to_send_it() -> None:
    waiting = Ledger(20, 0, Counter({"unsafe_method": 2, "unresolved_binding": 18}), Counter(), {})
    verdict, reasons = judged(waiting)
    assert verdict == "inconclusive"
    assert "which --allow-writes sends" in reasons
    assert "--allow-writes" not in judged(ledger(sent=0, planned=20))[1]


def test_a_run_of_which_too_much_could_not_be_sent_is_inconclusive() -> None:
    def lost(reason: str, count: int, **chosen: int) -> Ledger:
        skipped = Counter({reason: count, **chosen})
        book = ledger(90)
        return Ledger(90 + skipped.total(), book.sent, skipped, book.answered, book.failed)

    assert judged(lost("unresolved_binding", 10))[0] == "promote"
    verdict, reasons = judged(lost("unresolved_binding", 11))
    assert verdict == "inconclusive"
    assert (
        "10.9% of the requests could not be sent (unresolved_binding 11), more than unreplayable_max = 10.0%" in reasons
    )
    assert judged(lost("hook_failed", 11))[0] == "inconclusive"
    assert judged(lost("unsafe_method", 900))[0] == "promote"
    assert judged(lost("unresolved_binding", 900, unsafe_method=1))[0] == "promote"
    assert judged(lost("unresolved_binding", 900), unreplayable_max=1.0)[0] == "promote"
    assert judged(lost("unresolved_binding", 1), unreplayable_max=0.0)[0] == "inconclusive"


def answers(*statuses: tuple[int, int, int]) -> Refusals:
    counted, apart = Refusals(), Refusals()
    for recorded, current, times in statuses:
        for number in range(times):
            (counted if number % 2 else apart).add(recorded, current)
    counted.merge(apart)
    return counted


def test_a_part_of_what_production_answered_that_the_builds_refuse_is_told() -> None:
    verdict, reasons = judged(ledger(), refusals=answers((200, 401, 12), (200, 404, 1), (200, 200, 88)))
    assert verdict == "promote"
    told = (
        "the current build answered 13 of 101 requests with an error that production had answered without "
        "(200 -> 401 12, 200 -> 404 1): of these only the errors were compared"
    )
    assert told in reasons
    for few in (answers((200, 404, 1), (200, 200, 500)), answers((404, 404, 9)), answers()):
        assert "of these only" not in judged(ledger(), refusals=few)[1]


def test_builds_that_refuse_alike_what_production_answered_are_inconclusive() -> None:
    verdict, reasons = judged(
        ledger(), refusals=answers((200, 401, 40), (201, 404, 11), (200, 200, 49), (404, 404, 500))
    )
    assert verdict == "inconclusive"
    assert "answered 51 of 100 requests with an error that production had answered without" in reasons
    assert "(200 -> 401 40, 201 -> 404 11), more than refused_max = 50%" in reasons
    assert "[build.current.headers]" in reasons
    half = answers((200, 401, 50), (200, 304, 50), (500, 503, 100))
    assert judged(ledger(), refusals=half)[0] == "promote"
    assert judged(ledger(), refusals=half, refused_max=0.4)[0] == "inconclusive"
    assert judged(ledger(), refusals=answers((200, 500, 9)), refused_max=1.0)[0] == "promote"
    assert judged(ledger(), refusals=answers((200, 500, 9)), findings=1)[0] == "hold"


def test_a_run_that_covers_too_little_is_inconclusive_where_a_bound_is_set() -> None:
    assert judged(ledger(), unseen_max=0.02)[0] == "promote"
    verdict, reasons = judged(ledger(), unseen_max=0.005)
    assert verdict == "inconclusive"
    assert "more than unseen_max" in reasons


def test_a_promotion_says_what_it_excludes_and_may_ask_for_a_minimum_of_pairs() -> None:
    assert "1 pair compared" in judged(ledger(1))[1]
    assert "one in more than 95.0% of requests is excluded" in judged(ledger(1))[1]
    assert "one in more than 3.0% of requests is excluded" in judged(ledger(100))[1]
    assert judged(ledger(100), pairs_min=100)[0] == "promote"
    verdict, reasons = judged(ledger(99), pairs_min=100)
    assert verdict == "inconclusive"
    assert "next: 99 pairs compared, fewer than pairs_min = 100" in reasons


def test_without_a_reference_the_reasons_say_what_cannot_be_told() -> None:
    verdict, reasons = judged(ledger(), reference=None)
    assert verdict == "promote"
    assert "replay with --reference" in reasons


def test_the_worst_verdict_counts() -> None:
    assert worst(["promote", "inconclusive", "hold"]) == "hold"
    assert worst(["promote", "inconclusive"]) == "inconclusive"
    assert worst(["promote"]) == "promote"
    assert worst([]) == "inconclusive"


def test_each_verdict_has_its_exit_code() -> None:
    assert EXIT_CODES == {"promote": 0, "hold": 1, "inconclusive": 3}
