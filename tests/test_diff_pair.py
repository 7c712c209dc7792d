from __future__ import annotations

import msgspec
import pytest

from capture.errors import Damaged
from diff.options import DEFAULT_OPTIONS
from diff.pair import Pair
from diff.process import ProcessFacts
from diff.subject import Subject
from replay.outcome import Performance
from tests.support.service import run


def pair_of(performance: Performance, reference: str | None) -> Pair:
    subject = Subject(lambda: [performance], current="current", candidates=["candidate"], reference=reference)
    return Pair(performance, "GET /", 1, subject, DEFAULT_OPTIONS, False, ProcessFacts())


def test_the_reference_is_the_witness_and_without_one_the_recorded_response_is() -> None:
    performance = run(1, requests=1, rare=0)[0]
    with_reference, without = pair_of(performance, "reference"), pair_of(performance, None)
    assert not with_reference.has_recorded
    assert without.has_recorded
    assert with_reference.witness_seen is not None
    assert without.witness_seen is not None


def test_a_recorded_response_that_was_cut_is_no_witness() -> None:
    performance = run(1, requests=1, rare=0)[0]
    response = performance.exchange.response
    assert response is not None
    cut = msgspec.structs.replace(
        performance,
        exchange=msgspec.structs.replace(
            performance.exchange, response=msgspec.structs.replace(response, truncated=True)
        ),
    )
    assert pair_of(cut, None).witness_seen is None


def test_a_record_without_the_current_build_is_refused() -> None:
    performance = run(1, requests=1, rare=0)[0]
    without = msgspec.structs.replace(performance, outcomes=performance.outcomes[1:])
    with pytest.raises(Damaged, match="no outcome of the current build 'current'"):
        pair_of(without, None)


def test_timings_count_after_the_warm_up_which_may_be_longer_than_a_loop() -> None:
    (performance,) = run(1, requests=1, rare=0)
    counted = {}
    for place in [(0, 0), (0, 9), (1, 3), (1, 4), (2, 0)]:
        one = msgspec.structs.replace(performance, iteration=place[0], position=place[1])
        subject = Subject(list, current="current", candidates=["candidate"], timed_from=(1, 4))
        counted[place] = Pair(one, "GET /", 1, subject, DEFAULT_OPTIONS, False, ProcessFacts()).counts_for_timing
    assert counted == {(0, 0): False, (0, 9): False, (1, 3): False, (1, 4): True, (2, 0): True}
