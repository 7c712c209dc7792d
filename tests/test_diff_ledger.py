from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.errors import RunFailed
from capture.exchange import Exchange, Request, Response, Times
from diff.ledger import Ledger, Totals
from replay.outcome import FAILURE_KINDS, Failure, Outcome, Performance

EXCHANGE = Exchange("x", "s", "relay", 1.0, Request("GET", "/", "HTTP/1.1", ()), None, Times(0))


def outcome(build: str, kind: str | None) -> Outcome:
    response = Response(200, "OK", "HTTP/1.1", ()) if kind is None else None
    failure = Failure(kind, "body") if kind is not None else None  # type: ignore[arg-type]
    return Outcome(build, "current", 0, 0, 0, 1, response, failure)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(["unsafe method", "truncated"]), st.tuples(*[st.sampled_from([None, *FAILURE_KINDS])] * 2)
        )
    )
)
def test_the_ledger_adds_up_for_every_mix(fates: list[str | tuple[str | None, str | None]]) -> None:
    ledger = Ledger()
    for position, fate in enumerate(fates):
        if isinstance(fate, str):
            ledger.add(Performance(position, EXCHANGE, skipped=fate))
        else:
            ledger.add(Performance(position, EXCHANGE, (outcome("current", fate[0]), outcome("next", fate[1]))))
    ledger.check()
    assert ledger.planned == len(fates)
    assert ledger.failures("next") == sum(1 for fate in fates if not isinstance(fate, str) and fate[1] is not None)


def test_a_performance_without_one_builds_outcome_refuses_to_become_a_report() -> None:
    ledger = Ledger()
    ledger.add(Performance(0, EXCHANGE, (outcome("current", None), outcome("next", None))))
    ledger.add(Performance(1, EXCHANGE, (outcome("current", None),)))
    with pytest.raises(RunFailed, match="does not add up for build 'next': 2 sent, 1 answered, 0 failed"):
        ledger.check()


def test_builds_to_which_nothing_was_sent_are_named_with_zeros() -> None:
    ledger = Ledger(builds=("current", "next"))
    ledger.add(Performance(0, EXCHANGE, skipped="unsafe_method"))
    assert ledger.as_dict() == {
        "planned": 1,
        "sent": 0,
        "skipped": {"unsafe_method": 1},
        "answered": {"current": 0, "next": 0},
        "failed": {"current": {}, "next": {}},
    }


def test_totals_that_do_not_sum_to_what_was_sent_refuse_to_become_a_report() -> None:
    totals = Totals(same=3, noisy=1)
    totals.check("next", 4)
    with pytest.raises(RunFailed, match="4 pairs judged of 5 sent"):
        totals.check("next", 5)


@pytest.mark.parametrize(
    ("kinds", "alike"),
    [
        (("timeout", "timeout", "timeout"), 1),
        ((None, None, "timeout"), 0),  # it alone
        (("timeout", None, "timeout"), 0),  # the same code did answer
        (("reset", "reset", "reset"), 0),  # what is dead alike is not late alike
        (("timeout", "timeout", None), 0),
    ],
)
def test_a_candidate_is_late_alike_where_the_current_build_and_its_reference_are(
    kinds: tuple[str | None, ...], alike: int
) -> None:
    names, roles = ("current", "reference", "next"), ("current", "reference", "candidate")
    outcomes = tuple(
        msgspec.structs.replace(outcome(name, kind), role=role)
        for name, role, kind in zip(names, roles, kinds, strict=True)
    )
    ledger = Ledger()
    ledger.add(Performance(0, EXCHANGE, outcomes))
    other = Ledger()
    other.merge(ledger)
    assert (other.alike["next"], other.unheard, other.left.total()) == (alike, 0, 0)
    left = tuple(msgspec.structs.replace(one, left=True) for one in outcomes)
    ledger.add(Performance(1, EXCHANGE, left))
    ledger.check()
    assert ledger.unheard == (set(kinds) == {"timeout"})
    assert ledger.left.total() == kinds.count(None)
    assert ("left" in ledger.as_dict()) is (None in kinds)
