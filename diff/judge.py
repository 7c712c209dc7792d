"""Judge a run: one streaming pass over its performances, from pairs to findings, verdicts and the report. Pure.

The run is read twice, once to learn the routes and their lists and once to compare; nothing of it is kept but counts,
bounded examples and the latencies. A large run is judged in shares of its sessions, as many as its size asks for,
whoever observes them. So the same run gives the same report, byte for byte, with any number of processes.
"""

from __future__ import annotations

import datetime
import random
import re
from collections.abc import Callable, Sequence

from capture.errors import Damaged
from diff.coverage import Coverage
from diff.findings import build_findings, rule_finding
from diff.ledger import Ledger, Totals
from diff.list_learner import ListLearner
from diff.report.model import CandidateReport, Report
from diff.route import RouteLearner, Routes
from diff.rules import Rule
from diff.settings import DiffConfig
from diff.share import CandidateShare, PairFate, Share, Task, Watch, observe_shares
from diff.significance import decide
from diff.subject import Subject
from diff.timing import judge_timing
from diff.verdict import Circumstances, judge_candidate, worst
from replay.outcome import Performance

__all__ = ["Observe", "PairFate", "Subject", "judge", "learn_routes"]

Observe = Callable[[Task], list[Share]]

_SEGMENT = re.compile(r"path\[(\d+)\]")
_PAIRS_A_SHARE = 10_000
_SHARES_MAX = 16


def judge(
    subject: Subject,
    config: DiffConfig,
    rules: Sequence[Rule],
    today: datetime.date,
    watch: Watch | None = None,
    observe: Observe | None = None,
    described: Sequence[str] = (),
) -> Report:
    """The report of a run.

    today: rules that expire on or before it no longer hold. watch: is told of every pair as it is judged, in the order
    of the run. observe: does the pass that compares, in its own way; not together with `watch`. described: route
    templates of the API's description. Raises RunFailed where the run's totals do not close.
    """
    lists = ListLearner(subject.current, subject.reference)
    routes, planned = learn_routes(subject, config, described, lists)
    count = max(1, min(_SHARES_MAX, planned // _PAIRS_A_SHARE))
    task = Task(subject, config, tuple(rules), today, routes, count, lists.finish(routes))
    shares = observe_shares(task, range(count), watch) if observe is None or watch is not None else observe(task)
    whole = shares[0] if count == 1 else _merged(task, shares)
    ledger = whole.ledger
    ledger.check()
    circumstances = Circumstances(
        ledger, subject.current, subject.reference, _partial(subject, ledger), subject.timing_withheld, whole.recorded,
        subject.one_process, whole.refusals, subject.held_up, subject.overtaxed, subject.lag_ns,
    )  # fmt: skip
    covered = whole.coverage.result()
    reports = {}
    reasons: list[str] = []
    for candidate in whole.candidates:
        report, why = _conclude(candidate, circumstances, covered, config)
        reports[candidate.name] = report
        reasons += [reason for reason in why if reason not in reasons]
    if not reports:
        reasons.append("the run has no candidate")
    return Report(worst(report.verdict for report in reports.values()), tuple(reasons), ledger, reports)


def _merged(task: Task, shares: list[Share]) -> Share:
    whole = Share(task.whole())
    for number, share in enumerate(shares):
        whole.merge(share)
        shares[number] = whole  # What was merged need not be kept.
    return whole


def _partial(subject: Subject, ledger: Ledger) -> str | None:
    """Why the run is not whole. Raises Damaged where it should be whole and records are missing."""
    if subject.planned is None or subject.planned == ledger.planned:
        return subject.partial
    lost = f"its manifest says {subject.planned} planned requests, its records are {ledger.planned}"
    if subject.partial is None:
        raise Damaged(f"{subject.where}: damaged: {lost}; no report is made from it, replay it again")
    return f"{subject.partial}; {lost}"


def learn_routes(
    subject: Subject, config: DiffConfig, described: Sequence[str] = (), lists: ListLearner | None = None
) -> tuple[Routes, int]:
    """The routes, and how many planned requests there are, by one pass over the run, from which `lists` learns too."""
    learner = RouteLearner(config.routes, described)
    planned = 0
    for performance in subject.performances():
        planned += 1
        response = performance.exchange.response
        status = None if response is None else response.status
        learner.add(performance.exchange.request.target, status, _given(performance))
        if lists is not None:
            lists.add(performance)
    return learner.finish(), planned


def _given(performance: Performance) -> set[int]:
    """Which segments of the path an earlier answer had given out, as a whole value or as the place of what it made."""
    found = set()
    for binding in performance.outcomes[0].bindings if performance.outcomes else ():
        place = _SEGMENT.fullmatch(binding.place)
        origin = binding.origin.partition(" ")[2]
        if place and ("/path/" not in origin or origin.startswith("header:location")):
            found.add(int(place[1]))
    return found


def _conclude(
    candidate: CandidateShare, circumstances: Circumstances, coverage: Coverage, config: DiffConfig
) -> tuple[CandidateReport, list[str]]:
    evidence, sent = candidate.evidence, circumstances.ledger.sent
    decided, doubts = decide(evidence, config.fdr, one_process=circumstances.one_process)
    findings, shown = build_findings(evidence, decided, candidate.cascades)
    shown |= {alias: shown[known] for alias, known in evidence.aliases.items() if known in shown}
    rows = candidate.rules.rows()
    findings += [
        rule_finding(row.rule, row.count, sent, exceeded=row.state == "exceeded")
        for row in rows
        if row.state in ("missing", "exceeded") and sent
    ]
    totals = _totals(candidate, evidence.numbers_of(shown))
    totals.check(candidate.name, sent)
    timing = judge_timing(
        candidate.times,
        config,
        withheld=circumstances.timing_withheld,
        span_ns=candidate.span.length_ns,
        chance=random.Random(config.seed),
        one_process=circumstances.one_process,
        lag_ns=circumstances.lag_ns,
    )
    verdict, reasons = judge_candidate(
        candidate.name, circumstances, totals, findings, doubts, timing, coverage, config, candidate.limits,
        evidence.overflowed,
    )  # fmt: skip
    report = CandidateReport(
        verdict, tuple(reasons), totals, tuple(findings), tuple(doubts), tuple(rows), tuple(timing), coverage, shown
    )
    return report, reasons


def _totals(candidate: CandidateShare, found: set[int]) -> Totals:
    """The fate of each pair: different where any place belongs to a finding, else expected, else noisy, else same."""
    totals = Totals(not_comparable=candidate.not_comparable)
    for (places, explained), count in candidate.evidence.signatures.items():
        if not found.isdisjoint(places):
            totals.different += count
        elif explained:
            totals.expected += count
        elif places:
            totals.noisy += count
        else:
            totals.same += count
    return totals
