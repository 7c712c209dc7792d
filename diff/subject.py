"""From a run directory to what judging needs: who is who, whether the run is whole, and whether its timings count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from capture.errors import BadInput
from diff.address import Address, address_of_url
from replay.outcome import Performance
from replay.run import Run

__all__ = ["Subject", "subject_of"]


class Subject:
    """A run prepared for judging: who is who, and what is known of the run as a whole.

    partial: why the run is not whole, else None; timing_withheld: why no timing may be judged, else None.
    warmup_positions: the first places of the plan, whose timings do not count. planned: how many planned requests the
    run says it has, None where it does not say; fewer records mean that some were lost. where: how messages name it.
    addresses: what each build is called by those who reach it; empty where all were called the same. one_process: the
    reference was performed on the very process of the current build, so what differs from process to process was not
    measured. started_ns: when the run began, None where it does not say.
    """

    __slots__ = (
        "addresses",
        "candidates",
        "current",
        "one_process",
        "partial",
        "performances",
        "planned",
        "reference",
        "started_ns",
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
        addresses: Mapping[str, Address] | None = None,
        one_process: bool = False,
        started_ns: int | None = None,
    ) -> None:
        self.started_ns = started_ns
        self.one_process = one_process
        self.addresses = addresses or {}
        self.where = where
        self.planned = planned
        self.warmup_positions = warmup_positions
        self.performances = performances
        self.current = current
        self.candidates = tuple(candidates)
        self.reference = reference
        self.partial = partial
        self.timing_withheld = timing_withheld

    @property
    def builds(self) -> tuple[str, ...]:
        """The names of all builds: current, reference where there is one, candidates."""
        return (self.current, *(() if self.reference is None else (self.reference,)), *self.candidates)


def subject_of(run: Run) -> Subject:
    """What is judged. Raises BadInput where the run has no current build, no candidate, or builds without a name."""
    by_role: dict[str, list[str]] = {}
    names: set[str] = set()
    for number, build in enumerate(run.builds):
        if not (_is_text(build["name"]) and _is_text(build.get("role", ""))) or build["name"] in names:
            raise BadInput(f"{run.path}: build number {number + 1} of its manifest has no name or role of its own")
        names.add(build["name"])
        by_role.setdefault(build.get("role", ""), []).append(build["name"])
    current, candidates = by_role.get("current", []), by_role.get("candidate", [])
    if len(current) != 1 or not candidates:
        raise BadInput(
            f"{run.path}: has {len(current)} current and {len(candidates)} candidate builds; one current and at least "
            "one candidate are needed to compare"
        )
    return Subject(
        run.performances,
        current=current[0],
        candidates=candidates,
        reference=next(iter(by_role.get("reference", [])), None),
        partial=_partial(run),
        timing_withheld=_withheld(run.manifest),
        warmup_positions=_number(run.manifest.get("warmup_positions")),
        planned=_planned(run.manifest),
        where=str(run.path),
        addresses=_addresses(run),
        one_process=_one_process(run),
        started_ns=_number(run.manifest.get("started_ns")) or None,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _one_process(run: Run) -> bool:
    urls = {build.get("role"): build.get("url") for build in run.builds}
    return urls.get("reference") is not None and urls["reference"] == urls.get("current")


def _addresses(run: Run) -> dict[str, Address]:
    """What each build was called in Host; nothing where all were sent the recorded one."""
    config = run.manifest.get("config")
    if isinstance(config, dict) and config.get("keep_host"):
        return {}
    found = {build["name"]: address_of_url(build.get("url", ""), build.get("host")) for build in run.builds}
    return {name: address for name, address in found.items() if address is not None}


def _planned(manifest: dict[str, Any]) -> int | None:
    ledger = manifest.get("ledger")
    planned = ledger.get("planned") if isinstance(ledger, dict) else None
    return planned if isinstance(planned, int) else None


def _partial(run: Run) -> str | None:
    if not run.partial:
        return None
    reason = run.manifest.get("partial_reason")
    return str(reason) if reason else "it was ended before it said how it ended (killed, or the disk was full)"


def _withheld(manifest: dict[str, Any]) -> str | None:
    generator = manifest.get("generator")
    if not isinstance(generator, dict) or not generator.get("late"):
        return None
    return f"the generator was late: {generator.get('why') or 'it could not keep its own plan'}"


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
