"""A run in shares: whoever observes them, the merged report is the same; and merging loses nothing that is counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import diff.judge
from diff.judge import Subject, judge
from diff.odd import Odd
from diff.report.json import as_json, as_plain
from diff.route import RouteLearner
from diff.run_shares import observe_in_processes
from diff.settings import DiffConfig
from diff.share import PairFate, Share, Task, observe_shares
from diff.subject import subject_of
from replay.outcome import Performance
from replay.run import open_run
from tests.support.accounts import assert_ledger_closes
from tests.support.defects import DEFECTS, on, put
from tests.support.judging import TODAY, write_run
from tests.support.service import run

DEFECT = next(defect for defect in DEFECTS if defect.name == "a field missing in every row")


@pytest.fixture(scope="module")
def performances() -> list[Performance]:
    return run(3, requests=900, sessions=90, defect=DEFECT.defect)


@pytest.fixture
def small_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff.judge, "_PAIRS_A_SHARE", 120)


def subject(performances: list[Performance]) -> Subject:
    return Subject(lambda: performances, current="current", candidates=["candidate"], reference="reference")


def test_a_run_in_shares_gives_the_same_bytes_with_any_number_of_processes(
    performances: list[Performance], small_shares: None, tmp_path: Path
) -> None:
    where = write_run(tmp_path / "run", performances)
    config = DiffConfig()
    reports = {
        workers: as_json(judge(subject_of(open_run(where)), config, [], TODAY, observe=observe_in_processes(workers)))
        for workers in (1, 2, 3)
    }
    assert len(set(reports.values())) == 1
    watched: list[PairFate] = []
    assert as_json(judge(subject_of(open_run(where)), config, [], TODAY, watched.append)) == reports[1]
    assert [fate.performance.position for fate in watched] == [one.position for one in performances]


def test_a_run_in_shares_has_the_same_findings_and_counts_as_in_one(
    performances: list[Performance], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = as_plain(judge(subject(performances), DiffConfig(), [], TODAY))
    monkeypatch.setattr(diff.judge, "_PAIRS_A_SHARE", 120)
    shared = as_plain(judge(subject(performances), DiffConfig(), [], TODAY))
    assert_ledger_closes(shared)
    assert shared["ledger"] == whole["ledger"]
    mine, theirs = shared["candidates"]["candidate"], whole["candidates"]["candidate"]
    assert mine["totals"] == theirs["totals"]
    assert mine["coverage"] == theirs["coverage"]

    def counted(candidate: dict[str, object]) -> list[tuple[object, ...]]:
        findings = candidate["findings"]
        assert isinstance(findings, list)
        return [(one["id"], one["count"], one["pairs"], one["share"], one["explained_by"]) for one in findings]

    assert counted(mine) == counted(theirs)
    assert [(one["route"], one["path"], one["count"]) for one in mine["suppressed"]] == [
        (one["route"], one["path"], one["count"]) for one in theirs["suppressed"]
    ]
    assert mine["timing"] == theirs["timing"]


def test_facts_that_explain_together_are_the_same_in_shares_and_with_any_number_of_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    defect = on("/search", put("internal", 1), when=lambda call: call.language == "tr" and "page=" in call.target)
    performances = run(5, requests=3600, sessions=300, defect=defect, pages=3)
    where = write_run(tmp_path / "run", performances)
    (whole,) = judge(subject_of(open_run(where)), DiffConfig(), [], TODAY).candidates["candidate"].findings
    assert whole.explained_by[0].predicate == "header:accept-language: tr and query:page present"
    monkeypatch.setattr(diff.judge, "_PAIRS_A_SHARE", 900)
    reports = [
        judge(subject_of(open_run(where)), DiffConfig(), [], TODAY, observe=observe_in_processes(n)) for n in (1, 3)
    ]
    assert as_json(reports[0]) == as_json(reports[1])
    (shared,) = reports[0].candidates["candidate"].findings
    assert shared.explained_by == whole.explained_by


def test_each_pair_of_a_run_in_shares_is_told_as_the_totals_count_it(
    performances: list[Performance], small_shares: None
) -> None:
    fates: list[PairFate] = []
    report = judge(subject(performances), DiffConfig(), [], TODAY, fates.append)
    candidate = report.candidates["candidate"]
    verdicts = [fate.verdict(candidate)[0] for fate in fates]
    assert verdicts.count("different") == candidate.totals.different
    assert verdicts.count("noisy") == candidate.totals.noisy
    assert verdicts.count("same") == candidate.totals.same


def test_places_beyond_the_bound_are_counted_together_after_merging(
    performances: list[Performance], small_shares: None
) -> None:
    fates: list[PairFate] = []
    report = judge(subject(performances), DiffConfig(paths_max=4), [], TODAY, fates.append)
    candidate = report.candidates["candidate"]
    assert candidate.totals.same + candidate.totals.noisy + candidate.totals.different == len(performances)
    assert [fate.verdict(candidate)[0] for fate in fates].count("different") == candidate.totals.different


def test_every_session_is_in_one_share_and_shares_add_up(performances: list[Performance]) -> None:
    learner = RouteLearner()
    for performance in performances:
        learner.add(performance.exchange.request.target, 200)
    task = Task(subject(performances), DiffConfig(), (), TODAY, learner.finish(), 4)
    shares = observe_shares(task, [0, 1, 2, 3])
    assert sum(share.ledger.planned for share in shares) == len(performances)
    assert all(share.ledger.planned for share in shares)
    apart = observe_shares(task, [2])
    assert apart[0].ledger.planned == shares[2].ledger.planned
    whole = Share(task.whole())
    for share in shares:
        whole.merge(share)
    assert whole.ledger.planned == len(performances)
    assert dataclasses.replace(task, count=1) == task.whole()


def test_units_of_tallies_of_other_sessions_add_up_also_where_a_set_of_sessions_is_full() -> None:
    full, few = Odd(), Odd()
    for session in range(300):
        full.add(0, session)
    for session in range(300, 320):
        few.add(0, session)
    few.merge_apart(full)
    assert few.candidate == 320
    assert few.p_value(5000, three_way=True)[1] == pytest.approx((1 / 3) ** 320, rel=1e-6)
