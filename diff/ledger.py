"""What became of every planned request and every pair; totals that do not close refuse to become a report."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from capture.errors import RunFailed
from replay.outcome import Performance

__all__ = ["Ledger", "Refusals", "Totals"]

_ERRORS = 400


@dataclasses.dataclass(slots=True)
class Ledger:
    """Counts of the run: planned = sent + skipped, and for each build sent = answered + failed.

    builds: all that were to be asked, which the report names with zeros where nothing was sent to any of them.
    left: answers of a build that were not waited for to their end, as production's client had left. alike: by
    candidate, its timeouts where the current build and its reference ran into one as well. unheard: requests to which
    no build had an answer when production's client, who had none either, had left; they are among the failed.
    """

    planned: int = 0
    sent: int = 0
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    answered: Counter[str] = dataclasses.field(default_factory=Counter)
    failed: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    builds: tuple[str, ...] = ()
    left: Counter[str] = dataclasses.field(default_factory=Counter)
    alike: Counter[str] = dataclasses.field(default_factory=Counter)
    unheard: int = 0

    def add(self, performance: Performance) -> None:
        """Count one planned request."""
        self.planned += 1
        if performance.skipped is not None:
            self.skipped[performance.skipped] += 1
            return
        self.sent += 1
        for outcome in performance.outcomes:
            kinds = self.failed.setdefault(outcome.build, Counter())
            if outcome.failure is not None:
                kinds[outcome.failure.kind] += 1
            else:
                self.answered[outcome.build] += 1
                self.left[outcome.build] += outcome.left
        if any(outcome.failure is not None for outcome in performance.outcomes):
            self._add_alike(performance)

    def _add_alike(self, performance: Performance) -> None:
        outcomes = performance.outcomes
        late = [outcome.failure is not None and outcome.failure.kind == "timeout" for outcome in outcomes]
        all_late = all(one for one, outcome in zip(late, outcomes, strict=True) if outcome.role != "candidate")
        for one, outcome in zip(late, outcomes, strict=True):
            # One that was given up at the moment when another build answered is not proved to be any worse.
            self.alike[outcome.build] += one and outcome.role == "candidate" and (all_late or outcome.left)
        self.unheard += all(late) and all(outcome.left for outcome in outcomes)

    def merge(self, other: Ledger) -> None:
        """Add what was counted of other requests of the same run."""
        self.planned += other.planned
        self.sent += other.sent
        self.skipped.update(other.skipped)
        self.answered.update(other.answered)
        self.left.update(other.left)
        self.alike.update(other.alike)
        self.unheard += other.unheard
        for build, kinds in other.failed.items():
            self.failed.setdefault(build, Counter()).update(kinds)

    def check(self) -> None:
        """Raise RunFailed, with the numbers, where a sum does not close."""
        if self.planned != self.sent + sum(self.skipped.values()):
            raise RunFailed(
                f"the run does not add up: {self.planned} planned, {self.sent} sent, {sum(self.skipped.values())} "
                "skipped; no report is made from it. The run may be damaged: replay it again"
            )
        for build, kinds in self.failed.items():
            if self.sent != self.answered[build] + sum(kinds.values()):
                raise RunFailed(
                    f"the run does not add up for build {build!r}: {self.sent} sent, {self.answered[build]} answered, "
                    f"{sum(kinds.values())} failed; no report is made from it. The run may be damaged: replay it again"
                )

    def failures(self, build: str) -> int:
        """How many requests got no response from that build."""
        return sum(self.failed.get(build, Counter()).values())

    def as_dict(self) -> dict[str, object]:
        """The `ledger` of the JSON report."""
        failed = self.failed or {build: Counter() for build in self.builds}
        return {
            "planned": self.planned,
            "sent": self.sent,
            "skipped": _plain(self.skipped),
            "answered": {build: self.answered[build] for build in sorted(failed)},
            "failed": {build: _plain(kinds) for build, kinds in sorted(failed.items())},
            **({"left": _plain(self.left)} if self.left.total() else {}),
        }


@dataclasses.dataclass(slots=True)
class Refusals:
    """How the current build answers what production answered without an error.

    well: such requests that the current build answered. refused: those that it answered with an error (a status from
    400), by (recorded status, its own).
    """

    well: int = 0
    refused: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)

    def add(self, recorded: int, current: int) -> None:
        """Count the two statuses of one request."""
        if recorded < _ERRORS:
            self.well += 1
            if current >= _ERRORS:
                self.refused[recorded, current] += 1

    def merge(self, other: Refusals) -> None:
        """Add what was counted of other requests of the same run."""
        self.well += other.well
        self.refused.update(other.refused)


@dataclasses.dataclass(slots=True)
class Totals:
    """What became of each pair of one candidate; the sum is the number of requests sent."""

    same: int = 0
    expected: int = 0
    noisy: int = 0
    different: int = 0
    not_comparable: Counter[str] = dataclasses.field(default_factory=Counter)

    def check(self, candidate: str, sent: int) -> None:
        """Raise RunFailed, with the numbers, where the pairs do not sum to what was sent."""
        found = self.same + self.expected + self.noisy + self.different + sum(self.not_comparable.values())
        if found != sent:
            raise RunFailed(
                f"the verdicts of candidate {candidate!r} do not add up: {found} pairs judged of {sent} sent "
                f"({self.as_dict()}); no report is made. Please report this with the run"
            )

    def as_dict(self) -> dict[str, object]:
        """The `totals` of the JSON report."""
        return {
            "same": self.same,
            "expected": self.expected,
            "noisy": self.noisy,
            "different": self.different,
            "not_comparable": _plain(self.not_comparable),
        }


def _plain(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in sorted(counts.items()) if count}
