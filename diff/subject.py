"""From a run directory to what judging needs: who is who, whether the run is whole, and whether its timings count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from capture.errors import BadInput
from diff.address import Address, address_of_url
from replay.outcome import Performance
from replay.run import Run

__all__ = ["Subject", "subject_of"]

_HELD_UP_NS = 100_000_000
_OVERTAXED_SHARE = 0.1


class Subject:
    """A run prepared for judging: who is who, and what is known of the run as a whole.

    partial: why the run is not whole, else None; timing_withheld: why no timing may be judged, else None.
    lag_ns: by how much the generator was late then, in half and in nine of ten cases, zeros where that is not known.
    timed_from: loop and place in the plan from which timings count. planned: how many planned requests the
    run says it has, None where it does not say; fewer records mean that some were lost. where: how messages name it.
    addresses: what each build is called by those who reach it; empty where all were called the same. one_process: the
    reference was performed on the very process of the current build, so what differs from process to process was not
    measured. held_up: how the builds held up the schedule, None where they kept to it. overtaxed: the candidates that
    alone did so for a good part of the run. started_ns: when the run began, None where it does not say.
    """

    __slots__ = (
        "addresses",
        "candidates",
        "current",
        "held_up",
        "lag_ns",
        "one_process",
        "overtaxed",
        "partial",
        "performances",
        "planned",
        "reference",
        "started_ns",
        "timed_from",
        "timing_withheld",
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
        timed_from: tuple[int, int] = (0, 0),
        lag_ns: tuple[int, int] = (0, 0),
        planned: int | None = None,
        where: str = "the run",
        addresses: Mapping[str, Address] | None = None,
        one_process: bool = False,
        started_ns: int | None = None,
        held_up: str | None = None,
        overtaxed: Iterable[str] = (),
    ) -> None:
        self.held_up = held_up
        self.overtaxed = frozenset(overtaxed)
        self.started_ns = started_ns
        self.one_process = one_process
        self.addresses = addresses or {}
        self.where = where
        self.planned = planned
        self.timed_from = timed_from
        self.performances = performances
        self.current = current
        self.candidates = tuple(candidates)
        self.reference = reference
        self.partial = partial
        self.timing_withheld = timing_withheld
        self.lag_ns = lag_ns

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
        timed_from=(_number(run.manifest.get("warmup_loops")), _number(run.manifest.get("warmup_positions"))),
        lag_ns=_lag_ns(run.manifest),
        planned=_planned(run.manifest),
        where=str(run.path),
        addresses=_addresses(run),
        one_process=_one_process(run),
        started_ns=_number(run.manifest.get("started_ns")) or None,
        held_up=_held_up(run.manifest),
        overtaxed=_overtaxed(run, current[0], candidates),
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
    why = generator.get("why") or "it could not keep its own plan"
    return f"the generator was late: {why}; for timings replay with {_slower_pace(manifest)}"


def _slower_pace(manifest: dict[str, Any]) -> str:
    """The option with which the generator has less to do at once."""
    config = manifest.get("config")
    for name in ("speed", "rate"):
        if isinstance(config, dict) and config.get(name) is not None:
            return f"a lower --{name}"
    return "less at once (--concurrency 2, or a --rate)"


def _lag_ns(manifest: dict[str, Any]) -> tuple[int, int]:
    """Of one performance from its start to its end; of one that was gone on with only the last part is known."""
    generator = manifest.get("generator")
    if not isinstance(generator, dict) or manifest.get("resumed"):
        return 0, 0
    delays = [delay for name in ("loop_lag", "own_lateness") if isinstance(delay := generator.get(name), dict)]
    half, most = (max((_number(delay.get(key)) for delay in delays), default=0) for key in ("p50_ns", "p90_ns"))
    return half, most


def _backlog(manifest: dict[str, Any]) -> dict[str, int]:
    """For how long each build held up the schedule; a moment is not worth a word."""
    backlog = manifest.get("backlog")
    if not isinstance(backlog, dict):
        return {}
    return {name: ns for name, value in backlog.items() if (ns := _number(value)) >= _HELD_UP_NS}


def _held_up(manifest: dict[str, Any]) -> str | None:
    backlog = _backlog(manifest)
    if not backlog:
        return None
    names = " and ".join(repr(name) for name in backlog)
    longest_s = max(backlog.values()) / 1e9
    return f"for {longest_s:.1f} s nothing was begun, as many requests as may wait did, for {names}"


def _overtaxed(run: Run, current: str, candidates: Sequence[str]) -> list[str]:
    """Candidates that could not do what the current build did, for a good part of the run, and had no cap set."""
    manifest, backlog = run.manifest, _backlog(run.manifest)
    length_ns = _number(manifest.get("ended_ns")) - _number(manifest.get("started_ns"))
    capped = {build["name"] for build in run.builds if "rate_max" in build or "connections_max" in build}
    if current in backlog or length_ns <= 0:
        return []
    return [name for name in candidates if name not in capped and backlog.get(name, 0) > _OVERTAXED_SHARE * length_ns]


def _number(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
