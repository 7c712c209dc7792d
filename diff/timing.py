"""Is a route slower: paired log-ratios of latency at the median and the tail, against the current build's own spread.

The candidate's and the current build's answers to the same request were timed at nearly the same moment. The effect
is the median of log(candidate / current), and the log-ratio of the two 95th percentiles; its interval comes from a
bootstrap over sessions, because requests of one session share their luck, or over stretches of time, because what is
performed at one moment does, whichever is wider. The same two numbers for reference against current are the noise
floor. On a busy machine latencies jump and such intervals are wide; there an exact test still sees which of the three
was the slowest by a margin, and how often. It counts only where that lasted: a process that was starved for a second is
the slowest in hundreds of neighbouring pairs, and the same code all the same. Pure; chance is an argument.
"""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from diff.settings import DiffConfig
from diff.statistics import binomial_tail, fisher_tail, median_of_sorted, quantile_of_sorted, student_quantile

__all__ = ["RouteTimes", "Span", "TimingRow", "judge_timing"]

_PAIRS_KEPT_MAX = 20_000
_PAIRS_RESAMPLED_MAX = 1_500
_RESAMPLES = 120
_PAIRS_MEDIAN_MIN = 20
_PAIRS_TAIL_MIN = 200
_CLUSTERS_MIN = 10
_STRETCHES = 16
_LASTING_SHARE = 0.75
_SESSIONS_AS_UNITS = 20
_MORE_THAN_ELSEWHERE = 1e-4
_SPAN_NS_MIN = 2_000_000_000
_MS = 1e6


class TimingRow(msgspec.Struct, frozen=True):
    """One route at one quantile ("p50", "p95").

    ratio: candidate / current, with its interval low..high; detectable: the smallest ratio above 1 that these pairs
    could have shown. verdict "unknown" says why in `reason`. current_ms, candidate_ms: that quantile of each alone.
    """

    route: str
    quantile: str
    pairs: int
    ratio: float | None
    low: float | None
    high: float | None
    detectable: float | None
    verdict: Literal["slower", "faster", "same", "unknown"]
    current_ms: float | None = None
    candidate_ms: float | None = None
    reason: str | None = None


class RouteTimes:
    """The latencies of one route for one candidate, in ns; beyond a bound every n-th pair is kept, n a power of two.

    at: when each pair was sent, ns; the order of the run, which is nearly that of time.
    """

    __slots__ = ("_step", "_waiting", "at", "candidate", "current", "pairs", "reference", "sessions")

    def __init__(self) -> None:
        self.current = array("d")
        self.candidate = array("d")
        self.reference = array("d")
        self.sessions = array("q")
        self.at = array("q")
        self.pairs = 0
        self._step = 1
        self._waiting = 0

    def add(self, current_ns: int, candidate_ns: int, reference_ns: int | None, session: int, at_ns: int = 0) -> None:
        """Count one pair, sent at `at_ns`; a latency of zero or less (a clock that jumped) is taken as one ns."""
        self.pairs += 1
        self._waiting += 1
        if self._waiting < self._step:
            return
        self._waiting = 0
        self.current.append(max(1, current_ns))
        self.candidate.append(max(1, candidate_ns))
        self.reference.append(math.nan if reference_ns is None else max(1, reference_ns))
        self.sessions.append(session)
        self.at.append(at_ns)
        if len(self.current) >= _PAIRS_KEPT_MAX:
            self._thin(2)

    def merge(self, other: RouteTimes) -> None:
        """Add the pairs of other sessions of the same route, in the order in which all were sent."""
        step = max(self._step, other._step)
        for times in (self, other):
            times._thin(step // times._step)
        self.pairs += other.pairs
        self._waiting = 0
        self.at.extend(other.at)
        order = sorted(range(len(self.at)), key=self.at.__getitem__)
        self.at = array("q", map(self.at.__getitem__, order))
        self.sessions.extend(other.sessions)
        self.sessions = array("q", map(self.sessions.__getitem__, order))
        for name in ("current", "candidate", "reference"):
            values = getattr(self, name) + getattr(other, name)
            setattr(self, name, array("d", map(values.__getitem__, order)))
        while len(self.current) >= _PAIRS_KEPT_MAX:
            self._thin(2)

    def _thin(self, step: int) -> None:
        if step == 1:
            return
        self._step *= step
        for name in ("current", "candidate", "reference", "sessions", "at"):
            setattr(self, name, getattr(self, name)[::step])


class Span:
    """The time between the first send and the last byte of everything that was timed."""

    __slots__ = ("_end_ns", "_start_ns")

    def __init__(self) -> None:
        self._start_ns: int | None = None
        self._end_ns = 0

    def add(self, start_ns: int, end_ns: int) -> None:
        """Take in one outcome."""
        self._start_ns = start_ns if self._start_ns is None else min(self._start_ns, start_ns)
        self._end_ns = max(self._end_ns, end_ns)

    def merge(self, other: Span) -> None:
        """Take in the outcomes of another span."""
        if other._start_ns is not None:
            self.add(other._start_ns, other._end_ns)

    @property
    def length_ns(self) -> int:
        """ns from first to last; 0 where nothing was timed."""
        return 0 if self._start_ns is None else self._end_ns - self._start_ns


class _Effect:
    """An estimate of log(right / left) with its standard error and degrees of freedom."""

    __slots__ = ("error", "freedom", "value")

    def __init__(self, value: float, error: float, freedom: int) -> None:
        self.value, self.error, self.freedom = value, error, freedom


def judge_timing(
    routes: Mapping[str, RouteTimes],
    config: DiffConfig,
    *,
    withheld: str | None,
    chance: random.Random,
    span_ns: int = _SPAN_NS_MIN,
    one_process: bool = False,
    lag_ns: tuple[int, int] = (0, 0),
) -> list[TimingRow]:
    """One row a route and quantile, routes in order of name.

    withheld: why no timing may be judged (the generator was late), else None. lag_ns: by how much it was, in half and
    in nine of ten cases, or zeros where that is not known; it delays all builds alike, so that it hides differences and
    makes none: a median that is slower by more than the first, or a tail by more than twice the second, is told
    nevertheless; by the order of the three, only beside other routes where that is another. span_ns: how long the
    performance took; below two seconds a machine may have held up one process all the while, so a build that is slower
    everywhere is not called slower anywhere. On a machine so busy that only the order of the three tells, it must be
    slower there more often than elsewhere, however long it took. one_process: the current build's own process was the
    reference too, with twice the load, so a candidate is not called faster.
    """
    tests = sum(1 + (len(times.current) >= _PAIRS_TAIL_MIN) for times in routes.values()) or 1
    # Two-sided, shared between all that is tested (Bonferroni), so that a whole run of equal builds stays quiet.
    probability = 1 - (1 - config.timing_confidence) / (2 * tests)
    rows = []
    unsure: set[tuple[str, str]] = set()
    for route in sorted(routes):
        times = routes[route]
        for quantile, least in (("p50", _PAIRS_MEDIAN_MIN), ("p95", _PAIRS_TAIL_MIN)):
            if withheld is not None and not lag_ns[1]:
                rows.append(_unknown(route, quantile, times, withheld))
            elif times.pairs < least:
                rows.append(_unknown(route, quantile, times, f"{times.pairs} pairs, at least {least} are needed"))
            else:
                row, by_order = _judge(route, quantile, times, config, probability, chance)
                if withheld is not None and not _is_beyond(row, lag_ns):
                    row, by_order = _unknown(route, quantile, times, withheld), False
                rows.append(row)
                if by_order:
                    unsure.add((route, quantile))
    if span_ns < _SPAN_NS_MIN:
        rows = [_unless_everywhere(row, routes, config, span_ns) for row in rows]
    rows = [
        _unless_last_elsewhere(row, routes, config, withheld) if (row.route, row.quantile) in unsure else row
        for row in rows
    ]
    return [_with_half_the_load(row) for row in rows] if one_process else rows


def _is_beyond(row: TimingRow, lag_ns: tuple[int, int]) -> bool:
    """Whether a build is slower by more than what a late generator made of the times."""
    if row.verdict != "slower" or row.current_ms is None or row.candidate_ms is None:
        return False
    half_ns, most_ns = lag_ns
    return row.candidate_ms - row.current_ms > (half_ns if row.quantile == "p50" else 2 * most_ns) / _MS


def _with_half_the_load(row: TimingRow) -> TimingRow:
    if row.verdict != "faster":
        return row
    reason = "the current build was its own reference and had twice the load; give the reference an address of its own"
    return msgspec.structs.replace(row, verdict="unknown", reason=reason)


def _unless_everywhere(row: TimingRow, routes: Mapping[str, RouteTimes], config: DiffConfig, span_ns: int) -> TimingRow:
    """In a short performance: the same row, or unknown where all other routes moved the same way."""
    if row.verdict not in ("slower", "faster"):
        return row
    others = [
        (math.log(candidate / current), current)
        for route, times in routes.items()
        if route != row.route
        for current, candidate in zip(times.current, times.candidate, strict=True)
    ]
    if len(others) < _PAIRS_MEDIAN_MIN:
        return row
    moved = median_of_sorted(sorted(ratio for ratio, _ in others))
    left_ms = median_of_sorted(sorted(current for _, current in others)) / _MS
    practical = max(math.log1p(config.slower_share), math.log1p(config.slower_ms / left_ms))
    if abs(moved) <= practical or (moved > 0) != (row.verdict == "slower"):
        return row
    reason = f"{row.verdict} on all routes in a run of {span_ns / 1e9:.1f} s: the machine may be why; replay for longer"
    return msgspec.structs.replace(row, verdict="unknown", reason=reason)


def _unless_last_elsewhere(
    row: TimingRow, routes: Mapping[str, RouteTimes], config: DiffConfig, withheld: str | None
) -> TimingRow:
    """The same row, or unknown where the candidate is the outermost on other routes about as often.

    A process that a busy machine holds up is late everywhere. Without enough pairs of other routes nothing is known;
    where the generator was late as well, nothing is told then.
    """
    slowest = row.verdict == "slower"
    here, elsewhere = [0, 0], [0, 0]
    for route, times in routes.items():
        counts = here if route == row.route else elsewhere
        for latencies in zip(times.candidate, times.reference, times.current, strict=True):
            counts[0] += _apart(latencies, config, slowest=slowest) == 0
            counts[1] += 1
    if row.verdict == "unknown":
        return row
    if elsewhere[1] < _PAIRS_MEDIAN_MIN:
        return row if withheld is None else _unknown(row.route, row.quantile, routes[row.route], withheld)
    if fisher_tail(here[0], here[1], elsewhere[0], elsewhere[1]) < _MORE_THAN_ELSEWHERE:
        return row
    reason = f"the {'slowest' if slowest else 'fastest'} about as often on other routes: the machine may be why"
    return msgspec.structs.replace(row, verdict="unknown", reason=reason)


def _unknown(route: str, quantile: str, times: RouteTimes, reason: str) -> TimingRow:
    return TimingRow(route, quantile, times.pairs, None, None, None, None, "unknown", reason=reason)


def _judge(
    route: str, quantile: str, times: RouteTimes, config: DiffConfig, probability: float, chance: random.Random
) -> tuple[TimingRow, bool]:
    """The row, and whether its verdict rests on the order of the three alone, not on how far apart they are."""
    effect = _effect(times.current, times.candidate, times.sessions, quantile, chance)
    known = [index for index, value in enumerate(times.reference) if not math.isnan(value)]
    floor, floor_value, floor_reason = 0.0, 0.0, None
    if len(known) >= _PAIRS_MEDIAN_MIN:
        itself = _effect(
            [times.current[index] for index in known],
            [times.reference[index] for index in known],
            [times.sessions[index] for index in known],
            quantile,
            chance,
        )
        # How far apart two processes of the same build may lie: their estimate, and half of its own uncertainty.
        floor_value = abs(itself.value)
        floor = floor_value + 0.5 * student_quantile(probability, itself.freedom) * itself.error
    else:
        floor_reason = "no reference: that two processes of one build can differ is not accounted for"
    margin = student_quantile(probability, effect.freedom) * effect.error
    left, right = _quantile_ms(times.current, quantile), _quantile_ms(times.candidate, quantile)
    practical = max(math.log1p(config.slower_share), math.log1p(config.slower_ms / left))
    needed = max(practical, floor)
    low, high = effect.value - margin, effect.value + margin
    verdict: Literal["slower", "faster", "same", "unknown"] = "same"
    remark, by_order = floor_reason, False
    beyond_noise = quantile == "p50" and abs(effect.value) > max(practical, 2 * floor_value)
    if low > needed:
        verdict = "slower"
    elif high < -needed:
        verdict = "faster"
    elif beyond_noise and effect.value > 0 and (told := _outermost(times, config, 1 - probability, slowest=True)):
        verdict, remark, by_order = "slower", told, True
    elif beyond_noise and effect.value < 0 and (told := _outermost(times, config, 1 - probability, slowest=False)):
        verdict, remark, by_order = "faster", told, True
    elif high > floor + practical:
        verdict, remark = "unknown", f"these pairs cannot exclude that it takes {_ratio(high)} times as long"
    elif low < -(floor + practical):
        verdict, remark = "unknown", f"these pairs cannot exclude that it takes only {_ratio(low)} of the time"
    row = TimingRow(
        route, quantile, times.pairs, _ratio(effect.value), _ratio(low), _ratio(high), _ratio(needed + margin), verdict,
        round(left, 4), round(right, 4), remark,
    )  # fmt: skip
    return row, by_order


def _outermost(times: RouteTimes, config: DiffConfig, alpha: float, *, slowest: bool) -> str | None:
    """What proves that the candidate is the slowest (or fastest) of the three by more than the practical margin.

    Exact: were all three the same code, each would be it equally often. A session counts once, for the build that most
    often was it there; with few sessions each pair counts. None where nothing is proved, where it did not last, or
    where current and reference differ as well, so that being another process is enough to be slower.
    """
    by_session: dict[int, list[int]] = {}
    by_time: dict[int, list[int]] = {}
    pairs = [0, 0, 0]
    stretch = max(1, len(times.current) // _STRETCHES)
    for number, (current, candidate, reference, session) in enumerate(
        zip(times.current, times.candidate, times.reference, times.sessions, strict=True)
    ):
        which = _apart((candidate, reference, current), config, slowest=slowest)
        if which is not None:
            by_session.setdefault(session, [0, 0, 0])[which] += 1
            by_time.setdefault(number // stretch, [0, 0, 0])[which] += 1
            pairs[which] += 1
    # One pair in four, so that a pair or two by chance do not fill the stretches in which nothing happened.
    lasting = _won(counts for counts in by_time.values() if 4 * counts[0] >= stretch)[0]
    if lasting < _LASTING_SHARE * len(times.current) / stretch:
        return None
    x, y, z = pairs
    if len(set(times.sessions)) >= _SESSIONS_AS_UNITS:
        x, y, z = _won(by_session.values())
    witnessed = not math.isnan(times.reference[0])
    p = binomial_tail(x, x + z, 0.5)
    if witnessed:
        if y + z and binomial_tail(max(y, z), y + z, 0.5) < 0.001:
            return None
        p = max(binomial_tail(x, x + y + z, 1 / 3), binomial_tail(x, x + y, 0.5))
    if p >= alpha:
        return None
    others = "current or reference" if witnessed else "current"
    extreme = "slowest" if slowest else "fastest"
    return f"the {extreme} by the margin in {pairs[0]} pairs, {others} in {pairs[1] + pairs[2]}"


def _won(counts: Iterable[Sequence[int]]) -> tuple[int, int, int]:
    """In how many sessions or stretches each of the three was the outermost more often than either other."""
    won = [0, 0, 0]
    for count in counts:
        most = max(count)
        if list(count).count(most) == 1:
            won[list(count).index(most)] += 1
    return won[0], won[1], won[2]


def _apart(latencies: tuple[float, float, float], config: DiffConfig, *, slowest: bool) -> int | None:
    """Which one is beyond the others by the practical margin; None for none. A missing reference is left out."""
    known = [(value, index) for index, value in enumerate(latencies) if not math.isnan(value)]
    known.sort(reverse=slowest)
    (first, index), (second, _) = known[0], known[1]
    low, high = (second, first) if slowest else (first, second)
    apart = high > low * (1 + config.slower_share) and high > low + config.slower_ms * _MS
    return index if apart else None


def _ratio(log_ratio: float) -> float:
    return round(math.exp(max(-50.0, min(50.0, log_ratio))), 4)


def _quantile_ms(values: Sequence[float], quantile: str) -> float:
    ordered = sorted(values)
    return (median_of_sorted(ordered) if quantile == "p50" else quantile_of_sorted(ordered, 0.95)) / _MS


def _effect(
    left: Sequence[float], right: Sequence[float], sessions: Sequence[int], quantile: str, chance: random.Random
) -> _Effect:
    step = -(-len(left) // _PAIRS_RESAMPLED_MAX)
    pairs = [(math.log(a), math.log(b)) for a, b in zip(left[::step], right[::step], strict=True)]
    effects = [
        _resampled(pairs, clusters, quantile, chance)
        for clusters in (_by_session(pairs, sessions[::step]), _by_time(pairs))
        if len(clusters) >= _CLUSTERS_MIN
    ]
    # Whichever way pairs hang together more, by session or by moment, decides how sure one can be.
    return max(effects, key=lambda effect: effect.error)


def _resampled(
    pairs: list[tuple[float, float]], clusters: list[list[tuple[float, float]]], quantile: str, chance: random.Random
) -> _Effect:
    resampled = []
    for _ in range(_RESAMPLES):
        drawn: list[tuple[float, float]] = []
        for cluster in chance.choices(clusters, k=len(clusters)):
            drawn += cluster
        resampled.append(_statistic(drawn, quantile))
    mean = math.fsum(resampled) / _RESAMPLES
    variance = math.fsum((one - mean) ** 2 for one in resampled) / (_RESAMPLES - 1)
    # The bootstrap of few clusters is a little too narrow; the factor is that of the variance of a mean.
    error = math.sqrt(variance * len(clusters) / max(1, len(clusters) - 1))
    return _Effect(_statistic(pairs, quantile), max(error, 1e-6), len(clusters) - 1)


def _by_session(pairs: list[tuple[float, float]], sessions: Sequence[int]) -> list[list[tuple[float, float]]]:
    by_session: dict[int, list[tuple[float, float]]] = {}
    for pair, session in zip(pairs, sessions, strict=True):
        by_session.setdefault(session, []).append(pair)
    return list(by_session.values())


def _by_time(pairs: list[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Stretches of neighbouring pairs, which share what the machine did to one process for a while."""
    size = max(1, len(pairs) // _STRETCHES)
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


def _statistic(pairs: Sequence[tuple[float, float]], quantile: str) -> float:
    if quantile == "p50":
        return median_of_sorted(sorted([right - left for left, right in pairs]))
    lefts = sorted([left for left, _ in pairs])
    rights = sorted([right for _, right in pairs])
    return quantile_of_sorted(rights, 0.95) - quantile_of_sorted(lefts, 0.95)
