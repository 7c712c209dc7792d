"""Judge a run: one streaming pass over its performances, from pairs to findings, verdicts and the report. Pure.

The run is read twice, once to learn the routes and once to compare; nothing of it is kept but counts, bounded examples
and the latencies. The same run gives the same report, byte for byte.
"""

from __future__ import annotations

import dataclasses
import datetime
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from capture.errors import Damaged
from diff.cause import CascadeLedger, primary
from diff.compare import CompareOptions, Comparison, compare_outcomes
from diff.coverage import Coverage, CoverageCounter
from diff.evidence import Evidence, Shown
from diff.explain import dimensions_of
from diff.findings import build_findings, rule_finding
from diff.ledger import Ledger, Totals
from diff.odd import Seen, redacted_paths, seen_of
from diff.report.model import CandidateReport, Report
from diff.route import RouteLearner, Routes
from diff.rules import Rule, RuleBook
from diff.settings import DiffConfig
from diff.significance import decide
from diff.timing import RouteTimes, Span, judge_timing
from diff.verdict import Circumstances, judge_candidate, worst
from replay.outcome import Outcome, Performance

__all__ = ["PairFate", "Subject", "compare_options", "judge"]

_ROUTES_TIMED_MAX = 2000


class Subject:
    """A run prepared for judging: who is who, and what is known of the run as a whole.

    partial: why the run is not whole, else None; timing_withheld: why no timing may be judged, else None.
    warmup_positions: the first places of the plan, whose timings do not count. planned: how many planned requests the
    run says it has, None where it does not say; fewer records mean that some were lost. where: how messages name it.
    """

    __slots__ = (
        "candidates",
        "current",
        "partial",
        "performances",
        "planned",
        "reference",
        "timing_withheld",
        "warmup_positions",
        "where",
    )

    def __init__(
        self,
        performances: Callable[[], Iterable[Performance]],
        *,
        current: str,
        candidates: Sequence[str],
        reference: str | None = None,
        partial: str | None = None,
        timing_withheld: str | None = None,
        warmup_positions: int = 0,
        planned: int | None = None,
        where: str = "the run",
    ) -> None:
        self.where = where
        self.planned = planned
        self.warmup_positions = warmup_positions
        self.performances = performances
        self.current = current
        self.candidates = tuple(candidates)
        self.reference = reference
        self.partial = partial
        self.timing_withheld = timing_withheld


class _Candidate:
    """What is being learned of one candidate."""

    __slots__ = ("cascades", "evidence", "limits", "name", "not_comparable", "rules", "span", "times")

    def __init__(self, name: str, config: DiffConfig, rules: Sequence[Rule], today: datetime.date) -> None:
        self.name = name
        self.evidence = Evidence(paths_max=config.paths_max, examples_max=config.examples_max)
        self.cascades = CascadeLedger()
        self.rules = RuleBook(rules, name, today)
        self.times: dict[str, RouteTimes] = {}
        self.span = Span()
        self.not_comparable: Counter[str] = Counter()
        self.limits = 0


@dataclasses.dataclass(frozen=True, slots=True)
class PairFate:
    """What one pair showed, told while judging goes on: what it means is known when the report is.

    candidate: "" for a planned request that was not sent; then it is told once, and not_comparable says why.

    shown: the changes that no rule explains; explained: a rule explained some; not_comparable: why there was nothing to
    compare, else None.
    """

    candidate: str
    performance: Performance
    route: str
    shown: frozenset[Shown] = frozenset()
    explained: bool = False
    not_comparable: str | None = None

    def verdict(self, report: CandidateReport) -> tuple[str, tuple[str, ...]]:
        """same, expected, noisy, different or not comparable, and the ids of the findings that it shows."""
        if self.not_comparable is not None:
            return "not comparable", ()
        found = tuple(sorted({report.places[one] for one in self.shown if one in report.places}))
        if found:
            return "different", found
        return "expected" if self.explained else "noisy" if self.shown else "same", ()


def _nobody(_fate: PairFate) -> None:
    return None


def judge(
    subject: Subject,
    config: DiffConfig,
    rules: Sequence[Rule],
    today: datetime.date,
    watch: Callable[[PairFate], None] = _nobody,
) -> Report:
    """The report of a run.

    today: rules that expire on or before it no longer hold. watch: is told of every pair as it is judged. Raises
    RunFailed where the run's totals do not close.
    """
    routes = _learn_routes(subject, config)
    ledger, coverage = Ledger(), CoverageCounter()
    candidates = [_Candidate(name, config, rules, today) for name in subject.candidates]
    options = compare_options(config)
    recorded = 0
    for performance in subject.performances():
        ledger.add(performance)
        exchange = performance.exchange
        route = routes.of(exchange.request.method, exchange.request.target)
        coverage.add(exchange, route, performed=performance.skipped is None)
        if performance.skipped is not None:
            watch(PairFate("", performance, route, not_comparable=performance.skipped))
        else:
            pair = _Pair(performance, route, subject, options)
            recorded += pair.has_recorded
            for candidate in candidates:
                _observe(candidate, pair, options, watch)
    ledger.check()
    circumstances = Circumstances(
        ledger, subject.current, subject.reference, _partial(subject, ledger), subject.timing_withheld, recorded
    )
    covered = coverage.result()
    reports = {}
    reasons: list[str] = []
    for candidate in candidates:
        report, why = _conclude(candidate, circumstances, covered, config)
        reports[candidate.name] = report
        reasons += [reason for reason in why if reason not in reasons]
    if not reports:
        reasons.append("the run has no candidate")
    return Report(worst(report.verdict for report in reports.values()), tuple(reasons), ledger, reports)


def _partial(subject: Subject, ledger: Ledger) -> str | None:
    """Why the run is not whole. Raises Damaged where it should be whole and records are missing."""
    if subject.planned is None or subject.planned == ledger.planned:
        return subject.partial
    lost = f"its manifest says {subject.planned} planned requests, its records are {ledger.planned}"
    if subject.partial is None:
        raise Damaged(f"{subject.where}: damaged: {lost}; no report is made from it, replay it again")
    return f"{subject.partial}; {lost}"


def compare_options(config: DiffConfig) -> CompareOptions:
    """How outcomes are compared under that configuration."""
    return CompareOptions(
        strict_numbers=config.strict_numbers,
        body_bytes_max=config.body_bytes_max,
        differences_max=config.differences_max,
    )


def _learn_routes(subject: Subject, config: DiffConfig) -> Routes:
    learner = RouteLearner(config.routes)
    for performance in subject.performances():
        response = performance.exchange.response
        learner.add(performance.exchange.request.target, None if response is None else response.status)
    return learner.finish()


class _Pair:
    """One performance with what all candidates share: the current outcome, the witness, and how noisy it was."""

    __slots__ = (
        "counts_for_timing", "current", "exchange", "facts", "has_recorded", "performance", "reference", "route",
        "session", "unwitnessed", "weight", "witness_seen", "witness_swallowed",
    )  # fmt: skip

    def __init__(self, performance: Performance, route: str, subject: Subject, options: CompareOptions) -> None:
        self.performance = performance
        self.exchange = performance.exchange
        self.route = route
        self.session = zlib.crc32(self.exchange.session.encode("utf-8", "surrogatepass"))
        self.weight = 1 / self.exchange.kept_with if self.exchange.kept_with > 0 else 1.0
        self.facts = dimensions_of(self.exchange)
        current = performance.outcome_of(subject.current)
        if current is None:
            raise ValueError(f"position {performance.position} has no outcome of the current build {subject.current!r}")
        self.current = current
        reference = performance.outcome_of(subject.reference) if subject.reference is not None else None
        self.reference = reference if reference is not None and reference.response is not None else None
        self.counts_for_timing = performance.position >= subject.warmup_positions
        self.has_recorded = False
        witness = self.reference if subject.reference is not None else self._recorded()
        self.unwitnessed = frozenset[str]() if subject.reference is not None else redacted_paths(self.exchange.redacted)
        self.witness_seen: list[Seen] | None = None
        self.witness_swallowed = False
        if witness is not None and current.response is not None:
            comparison = compare_outcomes(current, witness, options)
            if comparison.not_comparable is None:
                differences, self.witness_swallowed = primary(comparison.differences)
                self.witness_seen = [seen_of(difference, current.end_ns) for difference in differences]

    def _recorded(self) -> Outcome | None:
        """The recorded response as an outcome, where it was seen whole."""
        response, times = self.exchange.response, self.exchange.times
        if response is None or response.truncated or response.body is None or not self.exchange.complete:
            return None
        self.has_recorded = True
        end = times.response_end if times.response_end is not None else times.request_start
        return Outcome("recorded", "reference", times.request_start, times.request_start, None, end, response)


def _observe(candidate: _Candidate, pair: _Pair, options: CompareOptions, watch: Callable[[PairFate], None]) -> None:
    outcome = pair.performance.outcome_of(candidate.name)
    comparison = _compared(candidate, pair, outcome, options)
    if isinstance(comparison, str):
        candidate.not_comparable[comparison] += 1
        watch(PairFate(candidate.name, pair.performance, pair.route, not_comparable=comparison))
        return
    assert outcome is not None
    if pair.counts_for_timing:
        _observe_times(candidate, pair, outcome)
    differences, swallowed = primary(comparison.differences)
    seen = [seen_of(difference, pair.current.end_ns) for difference in differences]
    seen, explained = candidate.rules.sift(pair.route, seen)
    witness = pair.witness_seen
    if witness:
        witness = candidate.rules.without(pair.route, witness)
    only = frozenset(("status", "outcome")) if swallowed or pair.witness_swallowed else None
    apart, shown = candidate.evidence.observe(
        pair.route,
        seen,
        witness,
        exchange=pair.exchange.id,
        session=pair.session,
        weight=pair.weight,
        position=pair.performance.position,
        facts=pair.facts,
        explained=explained,
        only=only,
        unwitnessed=pair.unwitnessed,
    )
    candidate.cascades.note(pair.exchange.id, outcome, apart)
    watch(PairFate(candidate.name, pair.performance, pair.route, shown, explained))


def _compared(candidate: _Candidate, pair: _Pair, outcome: Outcome | None, options: CompareOptions) -> Comparison | str:
    """The comparison, or why there is none."""
    if outcome is None:
        return f"no outcome of {candidate.name}"
    if pair.current.failure is not None:
        return f"current failed: {pair.current.failure.kind}"
    comparison = compare_outcomes(pair.current, outcome, options)
    if comparison.not_comparable is not None:
        return comparison.not_comparable
    if comparison.limits and not comparison.differences:
        candidate.limits += 1
        return f"compared in part: {comparison.limits[0]}"
    return comparison


def _observe_times(candidate: _Candidate, pair: _Pair, outcome: Outcome) -> None:
    current, other = pair.current.latency_ns, outcome.latency_ns
    if current is None or other is None or outcome.response is None or pair.current.response is None:
        return
    if outcome.response.status // 100 != pair.current.response.status // 100:
        # Another kind of answer takes another time; that is a finding of its own.
        return
    times = candidate.times.get(pair.route)
    if times is None:
        if len(candidate.times) >= _ROUTES_TIMED_MAX:
            return
        times = candidate.times[pair.route] = RouteTimes()
    reference = pair.reference.latency_ns if pair.reference is not None else None
    times.add(current, other, reference, pair.session)
    candidate.span.add(outcome.end_ns - other, outcome.end_ns)


def _conclude(
    candidate: _Candidate, circumstances: Circumstances, coverage: Coverage, config: DiffConfig
) -> tuple[CandidateReport, list[str]]:
    evidence, sent = candidate.evidence, circumstances.ledger.sent
    decided, doubts = decide(evidence, config.fdr)
    findings, shown = build_findings(evidence, decided, candidate.cascades)
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
    )
    verdict, reasons = judge_candidate(
        candidate.name, circumstances, totals, findings, doubts, timing, coverage, config, candidate.limits,
        evidence.overflowed,
    )  # fmt: skip
    report = CandidateReport(
        verdict, tuple(reasons), totals, tuple(findings), tuple(doubts), tuple(rows), tuple(timing), coverage, shown
    )
    return report, reasons


def _totals(candidate: _Candidate, found: set[int]) -> Totals:
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
