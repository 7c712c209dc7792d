"""What one share of a run's sessions has shown: its pairs compared and counted, to be merged with the other shares.

A session is in one share as a whole, and which one depends on its name and the number of shares alone. So shares can be
observed one after the other or at the same time, in any process, and merged in their order they give the same report.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import zlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from diff.cause import CascadeLedger, primary, shared_followers
from diff.compare import DEFAULT_OPTIONS, CompareOptions, Comparison
from diff.coverage import CoverageCounter
from diff.evidence import Evidence, Shown
from diff.facets import mark_of
from diff.ledger import Ledger, Refusals
from diff.list_learner import NOTHING_LEARNED, LearnedLists
from diff.odd import GroupKey, Seen
from diff.pair import Pair
from diff.process import ProcessFacts
from diff.report.model import CandidateReport
from diff.request_ids import RequestIds, ids_in
from diff.route import Routes
from diff.rule_path import Documents
from diff.rules import Rule, RuleBook
from diff.settings import DiffConfig
from diff.standing import Asked, Races, Standing
from diff.subject import Subject
from diff.timing import RouteTimes, Span
from replay.outcome import Outcome, Performance
from replay.plan import SAFE_METHODS

__all__ = ["CandidateShare", "PairFate", "Share", "Task", "Watch", "compare_options", "observe_shares"]

_ROUTES_TIMED_MAX = 2000
_FEW_PAIRS = 2
_FACTS_MAX = 300_000
_FACTS_A_SHARE_MIN = 50_000


class CandidateShare:
    """What is being learned of one candidate."""

    __slots__ = (
        "cascades",
        "evidence",
        "ids",
        "limits",
        "name",
        "not_comparable",
        "rules",
        "span",
        "standing",
        "times",
    )

    def __init__(
        self, name: str, config: DiffConfig, rules: Sequence[Rule], today: datetime.date, facts_max: int
    ) -> None:
        self.name = name
        self.evidence = Evidence(paths_max=config.paths_max, examples_max=config.examples_max, facts_max=facts_max)
        self.cascades = CascadeLedger()
        self.ids = RequestIds()
        self.standing = Standing()
        self.rules = RuleBook(rules, name, today)
        self.times: dict[str, RouteTimes] = {}
        self.span = Span()
        self.not_comparable: Counter[str] = Counter()
        self.limits = 0

    def merge(self, other: CandidateShare) -> None:
        """Add what other sessions have shown of the same candidate."""
        self.evidence.merge(other.evidence)
        self.cascades.merge(other.cascades)
        self.rules.merge(other.rules)
        for route, times in other.times.items():
            if route in self.times:
                self.times[route].merge(times)
            elif len(self.times) < _ROUTES_TIMED_MAX:
                self.times[route] = times
        self.span.merge(other.span)
        self.not_comparable.update(other.not_comparable)
        self.limits += other.limits

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self.evidence.settle()
        self.cascades.settle()
        self.ids.settle()
        self.standing.settle()


@dataclasses.dataclass(frozen=True, slots=True)
class PairFate:
    """What one pair showed, told while judging goes on: what it means is known when the report is.

    candidate: "" for a planned request that was not sent; then it is told once, and not_comparable says why.

    shown: the changes that no rule explains; explained: a rule explained some; not_comparable: why there was nothing to
    compare, else None. options: how it was compared.
    """

    candidate: str
    performance: Performance
    route: str
    shown: frozenset[Shown] = frozenset()
    explained: bool = False
    not_comparable: str | None = None
    options: CompareOptions = DEFAULT_OPTIONS

    def verdict(self, report: CandidateReport) -> tuple[str, tuple[str, ...]]:
        """same, expected, noisy, different or not comparable, and the ids of the findings that it shows."""
        if self.not_comparable is not None:
            return "not comparable", ()
        found = tuple(sorted({report.places[one] for one in self.shown if one in report.places}))
        if found:
            return "different", found
        return "expected" if self.explained else "noisy" if self.shown else "same", ()


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """All that observing a run needs, by value, so that another process can do it; count: of the shares."""

    subject: Subject
    config: DiffConfig
    rules: tuple[Rule, ...]
    today: datetime.date
    routes: Routes
    count: int
    lists: LearnedLists = NOTHING_LEARNED

    def whole(self) -> Task:
        """The same for all shares as one."""
        return dataclasses.replace(self, count=1)


Watch = Callable[[PairFate], None]
OptionsOf = Mapping[str, CompareOptions]
"""How outcomes of a route are compared; "" for a route that is not listed."""
_Again = Callable[[int, Mapping[str, int]], frozenset[str]]


class Share:
    """What one share of the sessions has shown, of every candidate, or what several shares have."""

    __slots__ = ("candidates", "coverage", "ledger", "process", "races", "recorded", "refusals", "wrote")

    def __init__(self, task: Task) -> None:
        self.ledger = Ledger(builds=task.subject.builds)
        self.coverage, self.refusals = CoverageCounter(), Refusals()
        self.recorded = 0
        self.wrote = False
        # What sessions of other shares wrote is not seen here.
        self.races = Races(unseen=task.count > 1)
        self.process = ProcessFacts()
        facts_max = max(_FACTS_MAX // task.count, _FACTS_A_SHARE_MIN)
        self.candidates = [
            CandidateShare(name, task.config, task.rules, task.today, facts_max) for name in task.subject.candidates
        ]

    def observe(self, performance: Performance, session: int, task: Task, options: OptionsOf, watch: Watch) -> None:
        """Take in one planned request; session: the number of its session."""
        self.ledger.add(performance)
        exchange = performance.exchange
        route = task.routes.of(exchange.request.method, exchange.request.target)
        self.coverage.add(exchange, route, performed=performance.skipped is None)
        if performance.skipped is not None:
            watch(PairFate("", performance, route, not_comparable=performance.skipped))
            return
        apart = options.get(route, options[""])
        asked = _asked(performance)
        if exchange.request.method not in SAFE_METHODS:
            self.wrote = True
            self.races.write(asked)
        pair = Pair(performance, route, session, task.subject, apart, self.wrote, self.process)
        self.recorded += pair.has_recorded
        if exchange.response is not None and pair.current.response is not None:
            self.refusals.add(exchange.response.status, pair.current.response.status)
        for candidate in self.candidates:
            again = functools.partial(candidate.standing.observe, asked=asked, races=self.races)
            _observe(candidate, pair, apart, watch, again)

    def merge(self, other: Share) -> None:
        """Add another share of the same run; the order in which shares are added matters. `other` is used up."""
        self.ledger.merge(other.ledger)
        self.coverage.merge(other.coverage)
        self.recorded += other.recorded
        self.refusals.merge(other.refusals)
        for mine, theirs in zip(self.candidates, other.candidates, strict=True):
            mine.merge(theirs)


def observe_shares(task: Task, wanted: Sequence[int], watch: Watch | None = None) -> list[Share]:
    """The shares of these numbers, by one pass over the run; watch: is told of every pair as it is judged."""
    base = compare_options(task.config)
    options = {"": base, **task.lists.options(base)}
    shares = {number: Share(task) for number in wanted}
    told = _nobody if watch is None else watch
    for performance in task.subject.performances():
        session = zlib.crc32(performance.exchange.session.encode("utf-8", "surrogatepass"))
        share = shares.get(session % task.count)
        if share is not None:
            share.observe(performance, session, task, options, told)
    for share in shares.values():
        for candidate in share.candidates:
            candidate.settle()
    return [shares[number] for number in wanted]


def _asked(performance: Performance) -> Asked:
    outcomes = performance.outcomes
    return Asked(
        min(one.planned_ns if one.sent_ns is None else one.sent_ns for one in outcomes),
        max(one.end_ns for one in outcomes),
    )


def _nobody(_fate: PairFate) -> None:
    return None


def compare_options(config: DiffConfig) -> CompareOptions:
    """How outcomes are compared under that configuration."""
    return CompareOptions(
        strict_numbers=config.strict_numbers,
        body_bytes_max=config.body_bytes_max,
        differences_max=config.differences_max,
    )


def _observe(candidate: CandidateShare, pair: Pair, options: CompareOptions, watch: Watch, again: _Again) -> None:
    outcome = pair.performance.outcome_of(candidate.name)
    comparison = _compared(candidate, pair, outcome, options)
    if isinstance(comparison, str):
        candidate.not_comparable[comparison] += 1
        watch(PairFate(candidate.name, pair.performance, pair.route, not_comparable=comparison, options=options))
        return
    assert outcome is not None
    if pair.counts_for_timing:
        _observe_times(candidate, pair, outcome)
    differences, swallowed, followers = primary(comparison.differences)
    mine, theirs = shared_followers(followers, pair.witness_followers)
    differences += mine
    seen = [pair.seen(difference) for difference in differences]
    given, given_by_witness = _ids_given(candidate, pair, outcome) if not swallowed else ((), ())
    seen += given
    seen, explained = candidate.rules.sift(pair.route, seen, Documents(pair.current.response, outcome.response))
    witness, unwitnessed = pair.witness_of(seen)
    if witness is not None and theirs:
        witness = witness + [pair.seen(difference) for difference in theirs]
    if witness is not None and given_by_witness:
        witness = [*witness, *given_by_witness]
    if witness:
        witness = candidate.rules.without(pair.route, witness, pair.documents)
    only = frozenset(("status", "outcome")) if swallowed or pair.witness_swallowed else None
    apart, shown = candidate.evidence.observe(
        pair.route,
        seen,
        witness,
        exchange=pair.exchange.id,
        session=_session_of(pair),
        weight=pair.weight,
        position=pair.performance.position,
        facts=pair.facts,
        explained=explained,
        only=only,
        unwitnessed=unwitnessed,
        again=_told_before(again, pair, seen) if pair.wrote else frozenset(),
    )
    if apart and candidate.evidence.routes[pair.route].pairs <= _FEW_PAIRS:
        for path in pair.also_recorded(key.path for key in apart):
            candidate.evidence.paths[GroupKey(pair.route, path)].recorded += 1
    candidate.cascades.note(pair.exchange.id, outcome, apart)
    watch(PairFate(candidate.name, pair.performance, pair.route, shown, explained, options=options))


def _session_of(pair: Pair) -> int:
    """The session as evidence: a log that is performed again shows anew what each of its sessions does."""
    iteration = pair.performance.iteration
    return zlib.crc32(b"%d" % iteration, pair.session) if iteration else pair.session


def _ids_given(candidate: CandidateShare, pair: Pair, outcome: Outcome) -> tuple[Sequence[Seen], Sequence[Seen]]:
    """What the ids of requests show, which are another in every answer; nothing where there is no witness."""
    mine, third = pair.ids
    if not mine or not third or outcome.response is None:
        return (), ()
    return candidate.ids.compare(pair.route, mine, ids_in(outcome.response.headers), third, pair.current.end_ns)


def _told_before(again: _Again, pair: Pair, seen: Sequence[Seen]) -> frozenset[str]:
    """The places of the body at which the candidate shows what it showed before, since something was written."""
    request = pair.exchange.request
    found: dict[str, int] = {}
    for one in seen:
        difference = one.difference
        if difference.place == "body":
            mark = mark_of((difference.path, difference.kind, repr(difference.left), repr(difference.right)))
            found[one.path] = mark ^ found.get(one.path, 0)
    return again(mark_of((request.method, request.target, request.body)), found)


def _compared(
    candidate: CandidateShare, pair: Pair, outcome: Outcome | None, options: CompareOptions
) -> Comparison | str:
    """The comparison, or why there is none."""
    if outcome is None:
        return f"no outcome of {candidate.name}"
    if outcome.failure is not None and (outcome.left or pair.current.left):
        return f"{candidate.name} had not answered when production's client had left"
    if pair.current.failure is not None:
        return f"current failed: {pair.current.failure.kind}"
    comparison = pair.compare(outcome, options)
    if comparison.not_comparable is not None:
        return comparison.not_comparable
    if comparison.limits and not comparison.differences:
        candidate.limits += 1
        return f"compared in part: {comparison.limits[0]}"
    return comparison


def _observe_times(candidate: CandidateShare, pair: Pair, outcome: Outcome) -> None:
    # What a stream takes until it is left is the client's time, not the build's: there the first byte is.
    left = pair.current.left or outcome.left or (pair.reference is not None and pair.reference.left)
    current, other = _took_ns(pair.current, left), _took_ns(outcome, left)
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
    reference = _took_ns(pair.reference, left) if pair.reference is not None else None
    times.add(current, other, reference, pair.session, outcome.end_ns - other)
    candidate.span.add(outcome.end_ns - other, outcome.end_ns)


def _took_ns(outcome: Outcome, to_first_byte: bool) -> int | None:
    """From the send to the last byte, or to the first one; None where there is none."""
    if not to_first_byte:
        return outcome.latency_ns
    if outcome.sent_ns is None or outcome.first_byte_ns is None:
        return None
    return outcome.first_byte_ns - outcome.sent_ns
