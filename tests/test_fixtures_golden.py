"""The golden cases: a recorded run and its rules give the expected report, byte for byte."""

from __future__ import annotations

import json

import pytest

from fixtures.golden import CASES, ROOT, report_of
from tests.support.accounts import assert_ledger_closes


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_recorded_run_gives_the_expected_report(name: str) -> None:
    folder = ROOT / name
    report = report_of(folder)
    assert report == (folder / "expected.json").read_bytes()
    assert_ledger_closes(json.loads(report))


def test_every_folder_is_a_case_and_every_case_a_folder() -> None:
    assert sorted(path.name for path in ROOT.iterdir() if path.is_dir()) == sorted(CASES)


def _expected(name: str) -> dict[str, object]:
    values: dict[str, object] = json.loads((ROOT / name / "expected.json").read_bytes())
    return values


def test_the_cases_show_what_they_say() -> None:
    verdicts = {name: _expected(name)["verdict"] for name in CASES}
    assert verdicts == {
        "quiet": "promote",
        "planted": "hold",
        "intended": "hold",
        "alone": "promote",
        "gone": "hold",
    }
