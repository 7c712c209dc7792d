"""Promote, hold or inconclusive, and why in words: what stands against promotion, what evidence is missing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TypeAlias

from diff.coverage import Coverage
from diff.findings import Finding
from diff.ledger import Ledger, Refusals, Totals
from diff.settings import DiffConfig
from diff.significance import Doubt
from diff.statistics import clopper_pearson
from diff.timing import TimingRow

__all__ = ["EXIT_CODES", "Circumstances", "Verdict", "judge_candidate", "worst"]

Verdict: TypeAlias = Literal["promote", "hold", "inconclusive"]

EXIT_CODES: Final[dict[Verdict, int]] = {"promote": 0, "hold": 1, "inconclusive": 3}
_GRAVITY: Final[dict[Verdict, int]] = {"promote": 0, "inconclusive": 1, "hold": 2}
_TOLD_MAX = 5
_REFUSED_TOLD = 0.01
_WANTED = "credentials ([build.current.headers]), production's data, or --allow-writes"


@dataclasses.dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known of the run as a whole. partial: why it is not whole, else None. timing_withheld: why no timing may
    be judged, else None. reference: the current build was performed twice. recorded: how many requests had a recorded
    response to compare with. one_process: the reference was the current build's own process. refusals: how the current
    build answered what production had answered well. held_up: how the builds held up the schedule, else None.
    overtaxed: the candidates that alone did so for a good part of the run. lag_ns: by how much a late generator
    was, in half and in nine of ten cases."""

    ledger: Ledger
    current: str
    reference: str | None
    partial: str | None = None
    timing_withheld: str | None = None
    recorded: int = 0
    one_process: bool = False
    refusals: Refusals = dataclasses.field(default_factory=Refusals)
    held_up: str | None = None
    overtaxed: frozenset[str] = frozenset()
    lag_ns: tuple[int, int] = (0, 0)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """hold before inconclusive before promote; inconclusive for nothing at all."""
    found = list(verdicts)
    return max(found, key=lambda verdict: _GRAVITY[verdict]) if found else "inconclusive"


def judge_candidate(
    name: str,
    circumstances: Circumstances,
    totals: Totals,
    findings: Sequence[Finding],
    doubts: Sequence[Doubt],
    timing: Sequence[TimingRow],
    coverage: Coverage,
    config: DiffConfig,
    limits: int = 0,
    lost: int = 0,
) -> tuple[Verdict, list[str]]:
    """The verdict on one candidate and its reasons, the decisive ones first.

    limits: pairs that were equal as far as they were compared, but not compared to the end. lost: differences at
    places beyond the bound on places.
    """
    against = _against(name, circumstances, findings, timing, config)
    missing = _missing(name, circumstances, totals, doubts, coverage, config, limits, lost)
    remarks = _remarks(circumstances, timing, config)
    if against:
        return "hold", against + missing + remarks
    if missing:
        return "inconclusive", missing + remarks
    compared = totals.same + totals.noisy + totals.expected
    sure = (
        f"{name}: {_pairs(compared)} compared, no change of behaviour was found; one in more than "
        f"{clopper_pearson(0, compared, 0.9)[1]:.1%} of requests is excluded"
    )
    return "promote", [sure, *remarks]


def _against(
    name: str,
    circumstances: Circumstances,
    findings: Sequence[Finding],
    timing: Sequence[TimingRow],
    config: DiffConfig,
) -> list[str]:
    reasons = []
    kinds_failed = Counter(circumstances.ledger.failed.get(name, {}))
    kinds_failed["timeout"] -= circumstances.ledger.alike[name]
    failed = kinds_failed.total()
    if failed:
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(kinds_failed.items()) if n)
        reasons.append(f"{name}: no answer to {failed} of {circumstances.ledger.sent} requests ({kinds})")
    first = [finding for finding in findings if finding.caused_by is None]
    if first:
        grave = sum(1 for finding in first if finding.severity == "breaking")
        caused = len(findings) - len(first)
        text = f"{name}: {len(first)} {'finding' if len(first) == 1 else 'findings'}, {grave} breaking"
        reasons.append(text + (f", and {caused} that follow from them" if caused else ""))
    if config.timing and name in circumstances.overtaxed:
        reasons.append(f"{name}: does not keep up with a pace that the current build keeps: {circumstances.held_up}")
    if config.timing:
        slower = [row for row in timing if row.verdict == "slower"]
        for row in slower[:_TOLD_MAX]:
            reasons.append(
                f"{name}: {row.route} is slower at {row.quantile}: {row.ratio:.2f} times "
                f"({row.current_ms:.1f} ms -> {row.candidate_ms:.1f} ms)"
            )
        if len(slower) > _TOLD_MAX:
            reasons.append(f"{name}: and {len(slower) - _TOLD_MAX} more routes and quantiles are slower")
    return reasons


def _missing(
    name: str,
    circumstances: Circumstances,
    totals: Totals,
    doubts: Sequence[Doubt],
    coverage: Coverage,
    config: DiffConfig,
    limits: int,
    lost: int,
) -> list[str]:
    ledger = circumstances.ledger
    reasons = []
    if ledger.planned == 0:
        reasons.append("the run is empty: nothing was planned; capture traffic first, then replay it")
    elif ledger.sent == 0:
        why = ", ".join(f"{reason} {n}" for reason, n in ledger.skipped.most_common(3))
        reasons.append(
            f"nothing was sent: all {ledger.planned} planned requests were skipped ({why}){_way_out(ledger)}"
        )
    elif (unreplayable := _unreplayable(ledger, config)) is not None:
        reasons.append(unreplayable)
    if (refused := _refused(circumstances.refusals, config)) is not None:
        reasons.append(refused)
    if circumstances.partial is not None:
        reasons.append(f"the run is partial: {circumstances.partial}")
    for role, build in (("current", circumstances.current), ("reference", circumstances.reference)):
        failed = ledger.failures(build) - ledger.unheard if build is not None else 0
        if failed:
            reasons.append(f"the {role} build {build!r} gave no answer to {failed} of {ledger.sent} requests")
    if ledger.alike[name] > ledger.unheard:
        reasons.append(
            f"no build, {name} among them, answered {ledger.alike[name] - ledger.unheard} of {ledger.sent} requests in "
            "time: where all are late alike nothing is held against a candidate, and nothing was seen of what it does"
        )
    compared = totals.same + totals.expected + totals.noisy + totals.different
    if ledger.sent and not compared:
        reasons.append(f"{name}: none of {ledger.sent} pairs could be compared")
    elif compared < config.pairs_min:
        reasons.append(f"{name}: {_pairs(compared)} compared, fewer than pairs_min = {config.pairs_min}")
    grave = [doubt.grave for doubt in doubts if doubt.grave is not None]
    reasons += [f"{name}: {text}" for text in grave[:_TOLD_MAX]]
    if len(grave) > _TOLD_MAX:
        reasons.append(f"{name}: and {len(grave) - _TOLD_MAX} more places that differ too rarely to be sure")
    if limits:
        reasons.append(f"{name}: {limits} pairs are equal as far as they were compared, but a bound cut the comparison")
    if lost:
        reasons.append(f"{name}: more than {config.paths_max} places differ; raise paths_max to tell them apart")
    if ledger.sent and coverage.unseen_probability > config.unseen_max:
        reasons.append(
            f"the next production request does something never performed with probability "
            f"{coverage.unseen_probability:.1%}, more than unseen_max = {config.unseen_max:.1%}"
        )
    return reasons


def _pairs(count: int) -> str:
    return "1 pair" if count == 1 else f"{count} pairs"


def _way_out(ledger: Ledger) -> str:
    """What to do where requests wait for what writes hand out, a login first of all."""
    if ledger.skipped["unsafe_method"] and ledger.skipped["unresolved_binding"]:
        return "; the values that they need come of requests that write, which --allow-writes sends"
    return ""


def _unreplayable(ledger: Ledger, config: DiffConfig) -> str | None:
    """Where too much was not sent that was meant to be.

    What needs a value of a request that may not be sent (writes were not allowed) was left out by choice; a breaker has
    failures before it, which speak for themselves.
    """
    reasons = ["hook_failed"]
    if not ledger.skipped["unsafe_method"]:
        reasons.insert(0, "unresolved_binding")
    counts = {reason: n for reason in reasons if (n := ledger.skipped[reason])}
    lost = sum(counts.values())
    share = lost / (ledger.sent + lost)
    if share <= config.unreplayable_max:
        return None
    why = ", ".join(f"{reason} {n}" for reason, n in counts.items())
    return (
        f"{share:.1%} of the requests could not be sent ({why}), more than unreplayable_max = "
        f"{config.unreplayable_max:.1%}: what they would have shown was not seen"
    )


def _refused(refusals: Refusals, config: DiffConfig) -> str | None:
    """Where the builds were mostly asked in vain, so that their being alike means little."""
    refused = refusals.refused.total()
    if refused <= config.refused_max * refusals.well:
        return None
    return (
        f"the current build answered {refused} of {refusals.well} requests with an error that production had answered "
        f"without ({_kinds(refusals)}), more than refused_max = {config.refused_max:.0%}: what users do was not seen; "
        f"it may want {_WANTED}"
    )


def _kinds(refusals: Refusals) -> str:
    return ", ".join(f"{was} -> {now} {n}" for (was, now), n in sorted(refusals.refused.items(), key=_most)[:3])


def _most(counted: tuple[tuple[int, int], int]) -> tuple[int, tuple[int, int]]:
    return -counted[1], counted[0]


def _remarks(circumstances: Circumstances, timing: Sequence[TimingRow], config: DiffConfig) -> list[str]:
    remarks = []
    refused, well = circumstances.refusals.refused.total(), circumstances.refusals.well
    if _REFUSED_TOLD * well <= refused <= config.refused_max * well and refused:
        remarks.append(
            f"the current build answered {refused} of {well} requests with an error that production had answered "
            f"without ({_kinds(circumstances.refusals)}): of these only the errors were compared; it may want {_WANTED}"
        )
    if left := circumstances.ledger.left[circumstances.current]:
        remarks.append(
            f"{left} answers of {circumstances.current!r} were left before their end, as production's client had left "
            "them: what had come by then was compared"
        )
    if circumstances.ledger.unheard:
        remarks.append(
            f"no build had answered {circumstances.ledger.unheard} requests when production's client had left, which "
            "had no answer either"
        )
    if circumstances.ledger.sent and circumstances.reference is None:
        stand_in = (
            f"{circumstances.recorded} recorded responses stand in for it"
            if circumstances.recorded
            else "and no recorded responses stand in for it"
        )
        remarks.append(
            f"no reference build: noise was not measured in this run, {stand_in}; a change inside a field that is "
            "noisy cannot be told from noise, and of timing not what two processes of one build differ by; "
            "replay with --reference"
        )
    if circumstances.ledger.sent and circumstances.one_process:
        remarks.append(
            "the reference was performed on the current build's own process: what differs from one process to the next "
            "was not measured, what is written was written to it twice, and it had twice the load; "
            "a reference at an address of its own (--reference URL) tells more"
        )
    if circumstances.held_up is not None and not circumstances.overtaxed:
        remarks.append(f"the builds did not keep up with the pace: {circumstances.held_up}")
    if circumstances.timing_withheld is not None:
        what = "is judged only beyond that" if any(row.verdict != "unknown" for row in timing) else "is not judged"
        remarks.append(f"timing {what}: {circumstances.timing_withheld}")
    elif timing and all(row.verdict == "unknown" for row in timing):
        few = all(row.low is None for row in timing)
        remarks.append(
            f"timing is not judged: {'no route has enough pairs' if few else 'no route gave a clear answer'}"
        )
    return remarks
