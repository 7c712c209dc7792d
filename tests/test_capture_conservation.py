"""Conservation: the sum closes, or says that it does not."""

from __future__ import annotations

import pytest

from capture.conservation import Conservation
from tests.support.accounts import assert_conserved, assert_ledger_closes, parse_conservation_line


def _sample() -> Conservation:
    counts = Conservation()
    counts.seen, counts.kept, counts.sampled_out, counts.opaque = 1042, 998, 39, 1
    counts.shed["queue_full"] = 1
    counts.incomplete.update({"reset": 2, "cut": 1})
    return counts


def test_the_line_is_the_one_of_the_contract() -> None:
    assert _sample().line() == (
        "conservation seen=1042 kept=998 sampled_out=39 shed=1 incomplete=3 opaque=1"
        " shed:queue_full=1 incomplete:cut=1 incomplete:reset=2"
    )
    assert Conservation().line() == "conservation seen=0 kept=0 sampled_out=0 shed=0 incomplete=0 opaque=0"


def test_the_sum_closes_and_one_lost_exchange_opens_it() -> None:
    counts = _sample()
    assert counts.balanced()
    counts.seen += 1
    assert not counts.balanced()


def test_merging_adds_every_count() -> None:
    counts = _sample()
    counts.merge(_sample())
    assert counts.seen == 2084
    assert counts.incomplete == {"reset": 4, "cut": 2}
    assert counts.balanced()


def test_plain_values_read_back() -> None:
    counts = Conservation.from_dict(_sample().as_dict() | {"unknown": 3})
    assert counts.as_dict() == _sample().as_dict()


def test_the_helper_reads_the_line_and_refuses_one_that_does_not_close() -> None:
    assert parse_conservation_line(_sample().line()).as_dict() == _sample().as_dict()
    assert_conserved(_sample().line())
    with pytest.raises(AssertionError):
        assert_conserved("conservation seen=2 kept=1 sampled_out=0 shed=0 incomplete=0 opaque=0")
    with pytest.raises(AssertionError):
        assert_conserved("kept=1")


def test_the_ledger_helper_refuses_totals_that_do_not_close() -> None:
    report = {
        "ledger": {
            "planned": 3,
            "sent": 2,
            "skipped": {"unsafe_method": 1},
            "answered": {"current": 2, "candidate": 1},
            "failed": {"candidate": {"refused": 1}},
        },
        "candidates": {
            "candidate": {"totals": {"same": 1, "expected": 0, "noisy": 0, "different": 1, "not_comparable": {}}}
        },
    }
    assert_ledger_closes(report)
    report["candidates"]["candidate"]["totals"]["same"] = 2  # type: ignore[index]
    with pytest.raises(AssertionError):
        assert_ledger_closes(report)


def test_what_was_lost_after_it_was_accepted_is_shed_and_the_sum_stays() -> None:
    counts = Conservation()
    counts.seen, counts.kept = 10, 7
    counts.incomplete["reset"] = 3
    counts.lose({"redactor_error": 2, "log_error": 1}, {"reset": 1})
    assert (counts.kept, counts.incomplete["reset"]) == (5, 2)
    assert counts.shed == {"redactor_error": 2, "log_error": 1}
    assert counts.balanced()
    counts.lose({"log_error": 1})
    assert (counts.kept, counts.shed["log_error"]) == (4, 2)
    assert counts.balanced()


def test_what_has_no_fate_yet_is_under_way() -> None:
    counts = Conservation()
    counts.seen, counts.kept, counts.sampled_out = 10, 4, 3
    counts.shed["rate"] = 1
    assert counts.under_way == 2
