"""Which places differ more than chance allows: every test of one candidate, and the false discovery rate over all.

For each place there is one test for "differs at all", one for each change of class, and one for "values repeat"; where
a place shows on several routes, one more over all of them, so that a rare error that is spread thin is still found.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable

from diff.coincidence import Coincidence
from diff.difference import KINDS
from diff.evidence import OTHER_PATHS, Evidence, Shown
from diff.noise import PathTally
from diff.odd import Change, GroupKey, Odd
from diff.statistics import binomial_tail, clopper_pearson, discoveries
from diff.values import is_volatile

__all__ = ["EVERY_ROUTE", "Decided", "Doubt", "decide"]

EVERY_ROUTE = "*"
_MORE = "replay more of this route, or the same several times (--loop 8)"
_SEVERE_STATUS = "45"
_NOISY_WEIGHT = 100
_ELEMENTS_MIN = 3
_STOOD_MIN = 3
_STOOD_SHARE = 0.05
_STOOD_IN_LISTS = 4
_BESIDE_MIN = 10
_SURE_BY_COUNT = 1e-4
_EVENTS_SHARE = 0.2
_EVENTS_TIMES = 4
_BY_LENGTH = frozenset({"header:content-encoding", "header:vary"})
_NUMBERS = frozenset({"int", "float", "text:int", "text:float"})
_FACETS_OF_CHANCE = frozenset({"form", "spread", "step"})
_FACETS = ("repeats", "renamed", "form", "shift", "spread", "step", "one way")


@dataclasses.dataclass(frozen=True, slots=True)
class Decided:
    """A place where the candidate differs for sure.

    count: pairs that show it; changes: those that count, the most frequent first; p: of the strongest test. shown: by
    what a pair is known to show it. pooled: it took several routes together to be sure. positions: the first places in
    the plan where the candidate alone showed it.
    """

    key: GroupKey
    count: int
    changes: tuple[Change, ...]
    p: float
    shown: frozenset[Shown]
    pooled: bool = False
    positions: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Doubt:
    """A place where candidate and current differ and nothing is claimed.

    why: the counts behind it, and what rate is excluded. grave: a reason why the verdict cannot be promote, else None.
    """

    key: GroupKey
    kind: str
    count: int
    why: str
    grave: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Test:
    key: GroupKey
    change: Change | None
    p: float
    least: float
    count: int
    level: str
    # Without what chance alone may have made of few events.
    bare: float = 1.0


def decide(evidence: Evidence, fdr: float, *, one_process: bool = False) -> tuple[list[Decided], list[Doubt]]:
    """All places of a candidate: those that differ for sure, and those where nothing can be claimed.

    one_process: the reference was the current build's own process, so what was written was written to it twice.
    """
    chance = Coincidence(evidence.paths)
    tests = [test for key, tally in sorted(evidence.paths.items()) for test in _tests(key, tally, evidence, chance)]
    tests += _pooled(evidence, chance)
    found = _found(tests, fdr)
    decided: dict[GroupKey, Decided] = {}
    by_key: dict[GroupKey, list[_Test]] = {}
    for test in found:
        by_key.setdefault(test.key, []).append(test)
    failed: list[Decided] = []
    for key, tally in sorted(evidence.paths.items()):
        if key.path == "outcome":
            failed += _failed(key, tally)
        elif key in by_key:
            decided[key] = _decided(key, tally, by_key[key], evidence)
    for pooled in by_key.items():
        if pooled[0].route == EVERY_ROUTE:
            _spread(pooled[0], pooled[1], evidence, decided)
    few = {test.key for test in tests if test.bare <= _SURE_BY_COUNT < test.p and not chance.is_in_turn(test.key)}
    doubts = [
        _doubt(key, tally, evidence, key in few, one_process)
        for key, tally in sorted(evidence.paths.items())
        if tally.count and key not in decided and key.path != "outcome"
    ]
    return [*failed, *decided.values()], doubts


def _failed(key: GroupKey, tally: PathTally) -> Iterable[Decided]:
    """An answer against a failure needs no statistics. Apart: refusals, which may be what another failure led to."""
    for refused in (False, True):
        changes = [change for change in tally.changes if (change.to_class == "refused") == refused]
        if changes:
            frequent = _frequent(tally, changes)
            count = sum(tally.changes[change].count for change in changes)
            places = sorted(place for change in changes for place in tally.changes[change].positions)
            yield Decided(key, count, frequent, 0.0, _shown(key, (*frequent, None)), positions=tuple(places))


def _found(tests: list[_Test], fdr: float) -> list[_Test]:
    """The discoveries: half of the rate for the status, of which there are few tests, half for all other places.

    Among hundreds of noisy fields a handful of errors would otherwise be asked for far more evidence than it needs.
    """
    found = []
    for family in ([test for test in tests if test.key.path == "status"], [t for t in tests if t.key.path != "status"]):
        yes = discoveries([(test.p, test.least) for test in family], fdr / 2)
        found += [test for test, one in zip(family, yes, strict=True) if one]
    return found


def _tests(key: GroupKey, tally: PathTally, evidence: Evidence, chance: Coincidence) -> list[_Test]:
    route = evidence.routes.get(key.route)
    sessions = len(route.sessions) if route is not None else 0
    tests = []
    if tally.odd.seen:
        floor = chance.of(key, tally, None, sessions)
        tests.append(_test(key, None, tally.odd, sessions, tally.count, "place", floor))
    for change, counts in sorted(tally.changes.items()):
        odd = counts.odd
        if odd.seen and (odd.candidate, odd.witness) != (tally.odd.candidate, tally.odd.witness):
            floor = chance.of(key, tally, change, sessions)
            tests.append(_test(key, change, odd, sessions, counts.count, "change", floor))
    for name, change, odd in tally.facets.tests():
        tests.append(_facet_test(key, name, change, odd, sessions))
    if tally.untested and not tally.odd.seen and not tally.agreed_differ:
        tests += _one_way(key, tally)
    return tests


def _test(key: GroupKey, change: Change | None, odd: Odd, sessions: int, count: int, level: str, floor: float) -> _Test:
    p, least = odd.p_value(sessions, three_way=True)
    if odd.witness or odd.current:
        # Where there is noise at all, the test that relies on candidate and reference alone must agree, and more
        # evidence is asked for: most places are noisy or not for good, so chance hits are nearly all at noisy ones.
        p = min(1.0, _NOISY_WEIGHT * max(p, odd.p_value(sessions, three_way=False)[0]))
    return _Test(key, change, max(p, floor), max(least, floor), count, level, p)


def _facet_test(key: GroupKey, name: str, change: Change, odd: Odd, sessions: int) -> _Test:
    if name == "renamed":
        p, least = odd.p_value(sessions, three_way=False)
        return _Test(key, change, p, least, odd.candidate, f"facet {name}")
    test = _test(key, change, odd, sessions, odd.candidate, f"facet {name}", 0.0)
    weight = 2 if name == "shift" else 1
    if name in _FACETS_OF_CHANCE and not (odd.witness or odd.current):
        # Two values made by chance may be written alike, or differ by the same step; `_test` weighs the rest.
        weight = _NOISY_WEIGHT
    return dataclasses.replace(test, p=min(1.0, weight * test.p), least=min(1.0, weight * test.least))


def _one_way(key: GroupKey, tally: PathTally) -> Iterable[_Test]:
    """Without any witness: were both builds the same, a change and its reverse would be equally frequent."""
    for change, counts in sorted(tally.changes.items()):
        back = tally.changes.get(change.reverse())
        if change.reverse() == change:
            continue
        trials = counts.untested + (back.untested if back is not None else 0)
        yield _Test(key, change, binomial_tail(counts.untested, trials, 0.5), 0.5**trials, counts.count, "one way")


def _pooled(evidence: Evidence, chance: Coincidence) -> list[_Test]:
    """One test for each place that shows on several routes, over all of them."""
    odds: dict[tuple[str, Change], list[tuple[GroupKey, Odd]]] = {}
    for key, tally in sorted(evidence.paths.items()):
        if key.path in ("outcome", OTHER_PATHS):
            continue
        for change, counts in tally.changes.items():
            if counts.odd.seen and change.kind != "order":
                odds.setdefault((key.path, change), []).append((key, counts.odd))
    sessions = max((len(route.sessions) for route in evidence.routes.values()), default=0)
    tests = []
    for (path, change), members in sorted(odds.items()):
        if len(members) < 2:
            continue
        total = Odd()
        for _, odd in members:
            total.merge(odd)
        floor = chance.of_all(path, sessions) if change.kind == "value" else 0.0
        tests.append(_test(GroupKey(EVERY_ROUTE, path), change, total, sessions, total.candidate, "pooled", floor))
    return tests


def _decided(key: GroupKey, tally: PathTally, tests: list[_Test], evidence: Evidence) -> Decided:
    p = min(test.p for test in tests)
    levels = {test.level for test in tests}
    if "place" in levels:
        alone = {
            change: counts for change, counts in tally.changes.items() if counts.odd.candidate or not counts.odd.seen
        }
        frequent = _frequent(tally, alone or tally.changes)
        shown = _shown(key, (*frequent, None))
        return Decided(key, tally.count, frequent, p, shown, positions=tuple(tally.positions))
    changes = {test.change for test in tests if test.change is not None and not test.level.startswith("facet")}
    if changes:
        frequent = _frequent(tally, changes)
        shown = _shown(key, frequent)
        # The elements of one list may have changed in several ways.
        count = tally.changes[frequent[0]].count if len(frequent) == 1 else evidence.pairs_that_show(shown)
        return Decided(key, count, frequent, p, shown, positions=tuple(tally.positions))
    # All that are sure say the same of one place; the plainest word comes first.
    strongest = min(tests, key=lambda test: (_FACETS.index(test.level.removeprefix("facet ")), test.p))
    assert strongest.change is not None
    assert tally.facets.change is not None
    places = tally.facets.positions.get(strongest.level.removeprefix("facet "), ())
    shown = _shown(key, (tally.facets.change,))
    return Decided(key, strongest.count, (strongest.change,), p, shown, positions=tuple(places))


def _shown(key: GroupKey, changes: Iterable[Change | None]) -> frozenset[Shown]:
    return frozenset(Shown(key, change) for change in changes)


def _frequent(tally: PathTally, changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(
        sorted(
            changes,
            key=lambda change: (
                -tally.changes[change].odd.candidate,
                -tally.changes[change].count,
                KINDS.index(change.kind),
                change,
            ),
        )
    )


def _spread(pooled: GroupKey, tests: list[_Test], evidence: Evidence, decided: dict[GroupKey, Decided]) -> None:
    """Take in the routes that show a change which only all routes together prove."""
    for test in tests:
        assert test.change is not None
        for key, tally in sorted(evidence.paths.items()):
            if key.path != pooled.path or key in decided:
                continue
            counts = tally.changes.get(test.change)
            if counts is not None and counts.odd.candidate and not counts.odd.witness and not counts.odd.current:
                shown = _shown(key, (test.change,))
                places = tuple(tally.positions)
                decided[key] = Decided(key, counts.count, (test.change,), test.p, shown, pooled=True, positions=places)


def _doubt(key: GroupKey, tally: PathTally, evidence: Evidence, few_events: bool, one_process: bool) -> Doubt:
    change = _frequent(tally, tally.changes)[0] if tally.changes else Change("value", "", "")
    route = evidence.routes[key.route]
    odd = tally.odd
    if tally.witnessed == 0 and odd.candidate == 0 and tally.untested:
        return _without_witness(key, tally, change)
    excluded = clopper_pearson(min(odd.candidate, route.pairs), route.pairs)[1]
    if few_events and (grave := _of_few_events(key, tally, change, route.pairs)):
        return Doubt(key, change.kind, tally.count, grave, f"{key.route} {key.path}: {grave}")
    if one_process and (beside := _beside_production(key, tally, route.pairs)):
        return Doubt(key, change.kind, tally.count, beside, f"{key.route} {key.path}: {beside}")
    if tally.witnessed:
        return Doubt(key, change.kind, tally.count, _noise(tally, route.pairs))
    stood = f" (and {tally.stood} more that show the same again)" if tally.stood else ""
    why = (
        f"{odd.candidate} of {route.pairs} pairs{stood}, never in the current build alone: too few to tell from "
        f"chance; a change in more than {excluded:.1%} of pairs is excluded"
    )
    return Doubt(key, change.kind, tally.count, why, _grave(key, tally, change, evidence))


def _noise(tally: PathTally, pairs: int) -> str:
    odd = tally.odd
    why = f"noise: the current build differs from itself here as well, in {tally.witnessed} of {pairs} pairs"
    if tally.agreed_differ >= 0.9 * pairs:
        return f"{why}; one value cannot be told from another, only their class, and that they vary, was compared"
    # How much more often the candidate alone could differ than the witness alone does, at two standard errors.
    excess = max(0, odd.candidate - odd.witness) + 2 * math.sqrt(odd.candidate + odd.witness + 1)
    return (
        f"{why}; the candidate alone in {odd.candidate}, the witness alone in {odd.witness}; "
        f"a change in more than {min(1.0, excess / pairs):.1%} of pairs is excluded"
    )


def _beside_production(key: GroupKey, tally: PathTally, pairs: int) -> str | None:
    """Why a number in a body that nearly always is one more, or one less, than production's forbids to promote.

    Production's data may lie elsewhere altogether than that of the builds of a replay; by one it hardly does.
    """
    often = max(tally.facets.beside)
    if not key.path.startswith("$") or often < _BESIDE_MIN or 2 * often < tally.agreed_differ + tally.odd.current:
        return None
    what = "more" if often == tally.facets.beside[0] else "less"
    return (
        f"one {what} than in production in {often} of {pairs} pairs, and the current build, which was written twice, "
        "cannot tell what it should be: replay with --reference URL, another process of it"
    )


def _of_few_events(key: GroupKey, tally: PathTally, change: Change, pairs: int) -> str | None:
    """Why what few events may have made forbids to promote: hardly anything but the candidate's own was seen there."""
    odd = tally.odd
    if odd.candidate < _EVENTS_SHARE * pairs or odd.candidate < _EVENTS_TIMES * (odd.witness + odd.current):
        return None
    return (
        f"{change.kind} {change.from_class} -> {change.to_class} in {odd.candidate} of {pairs} pairs, on the candidate "
        "alone: one or two requests under way at the same time may have made all of them; replay it again"
    )


def _without_witness(key: GroupKey, tally: PathTally, change: Change) -> Doubt:
    if is_volatile(change.from_class) and change.from_class == change.to_class:
        why = f"every value is a new {change.from_class}, in {tally.count} pairs; it stayed one"
        return Doubt(key, change.kind, tally.count, why)
    if change.to_class == "dropped" or change.from_class == "dropped":
        why = f"{tally.count} pairs differ, the one way about as often as the other"
        return Doubt(key, change.kind, tally.count, why)
    why = (
        f"{tally.count} pairs differ and nothing tells how the current build differs from itself here: "
        "replay with --reference URL, another process of it"
    )
    return Doubt(key, change.kind, tally.count, why, f"{key.route} {key.path}: {why}")


def _grave(key: GroupKey, tally: PathTally, change: Change, evidence: Evidence) -> str | None:
    """Why so rare a difference still forbids to promote; None for what may be left aside."""
    pairs = evidence.routes[key.route].pairs
    where = f"{key.route} {key.path}: {change.kind} {change.from_class} -> {change.to_class}"
    seen = f"in {tally.odd.candidate} of {pairs} pairs, on the candidate alone"
    if key.path == "status" and change.to_class[:1] in _SEVERE_STATUS:
        return f"{where} {seen}; too rare to be sure: {_MORE}"
    # Who is in a list, and in which order, is what sessions that write at the same time come apart in most.
    often = _STOOD_IN_LISTS if "[*]" in key.path or change.kind == "order" else 1
    if tally.stood >= often * max(_STOOD_MIN, _STOOD_SHARE * pairs):
        return (
            f"{where} {seen}, and since then in {tally.stood} more: sessions that wrote at the same time may do that; "
            "replay it again"
        )
    if (key.path.endswith("[*]") or key.path in _BY_LENGTH) and tally.odd.candidate < min(_ELEMENTS_MIN, pairs):
        # Who is in a list depends on what others wrote a moment ago, and of three builds one is always the first. And
        # a few bytes more or less in a body decide whether it is worth compressing.
        return None
    if change.kind in ("missing", "extra", "type") and not is_volatile(change.from_class):
        return f"{where} {seen}; too rare to be sure: {_MORE}"
    if change.kind == "value" and change.from_class != change.to_class and not key.path.startswith("header:"):
        return f"{where} {seen}; too rare to be sure: {_MORE}"
    # Of one or two pairs all that can be said is that they differ; not by a value that is always new, and in a header
    # or a cookie only where it is not noisy on another route.
    is_still = key.path.startswith("$") or not _is_noisy_elsewhere(key, evidence)
    least = 1 if is_still and not is_volatile(change.from_class) and not change.from_class.startswith("etag") else 3
    if change.from_class in _NUMBERS:
        # Durations and loads are small numbers, on which two processes agree by chance now and then, three hardly.
        least = max(least, 1 if tally.recorded else 2)
    if change.kind == "value" and least <= tally.odd.candidate == pairs:
        told = f"in all {pairs} pairs" if pairs > 1 else "in the only pair"
        return f"{where} {told}; too few to be sure: {_MORE}"
    return None


def _is_noisy_elsewhere(key: GroupKey, evidence: Evidence) -> bool:
    """True where the current build differs from itself, or is the odd one, at the same path of some route."""
    return any(
        other.path == key.path and (tally.witnessed or tally.odd.current) for other, tally in evidence.paths.items()
    )
