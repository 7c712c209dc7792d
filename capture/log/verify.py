"""Reading a whole log to say what of it is lost, where, and whether its counts close."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from capture.conservation import Conservation
from capture.log.reader import Damage, Log, SegmentInfo

__all__ = ["Verdict", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """segments, records: read. damage: what is lost or altered, and where. notes: what is not wrong, but worth knowing.

    counts: the sum of the footers' conservation, None where no segment has any.
    """

    location: str
    segments: int
    records: int
    damage: list[Damage]
    notes: list[str]
    counts: Conservation | None

    @property
    def whole(self) -> bool:
        """True where nothing is lost."""
        return not self.damage

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "location": self.location,
            "whole": self.whole,
            "segments": self.segments,
            "records": self.records,
            "damage": [asdict(item) for item in self.damage],
            "notes": self.notes,
            "conservation": None if self.counts is None else self.counts.as_dict(),
        }


def verify(log: Log) -> Verdict:
    """Read every block of every segment; memory stays bounded."""
    infos = log.segments
    records = sum(log.count(info) for info in infos)
    lost = [item for info in infos for item in _unsealed(log, info)]
    lost += [item for run in _runs(infos) for item in _missing(log, run)]
    notes = [f"{info.name}: is being written; what is flushed so far was read" for info in infos if info.live]
    first: dict[str, str] = {}
    for info in sorted(infos, key=lambda info: not info.name.startswith(info.segment)):
        same = first.setdefault(info.segment, info.name)
        if same != info.name:
            notes.append(f"{info.name}: is a copy of {same}; what both hold is read twice")
    for info in infos:
        declared = info.extra.get("lost")
        if isinstance(declared, dict) and declared:
            reasons = ", ".join(f"{reason} {n}" for reason, n in declared.items())
            lost.append(Damage(info.name, 0, f"accepted and then not written, by the writer's own count: {reasons}"))
    counts = log.conservation() if any(info.conservation is not None for info in infos) else None
    runs = _runs(infos)
    if counts is not None and any(run[0].sequence for run in runs):
        notes.append("the oldest segments are not here (pruned, or kept elsewhere); the counts are of what is left")
    if counts is not None and all(map(_is_whole, runs)) and not counts.balanced():
        lost.append(Damage(log.location, 0, f"the counts do not close: {counts.line()}"))
    return Verdict(log.location, len(infos), records, [*log.damage, *lost], notes, counts)


def _unsealed(log: Log, info: SegmentInfo) -> list[Damage]:
    if info.sealed or info.live or info.torn_at is not None:
        return []
    file, offset = log.end_of(info)
    return [Damage(file, offset, "not sealed: its writer ended without closing it; what it had not flushed is lost")]


def _is_whole(run: list[SegmentInfo]) -> bool:
    """True where no segment of one writer is missing: only all of them add up, as what was on its way when one was
    sealed is counted in the next."""
    return run[-1].final and [info.sequence for info in run] == list(range(len(run)))


def _runs(infos: list[SegmentInfo]) -> list[list[SegmentInfo]]:
    runs: dict[str, list[SegmentInfo]] = {}
    for info in infos:
        runs.setdefault(info.run, []).append(info)
    return [sorted(run, key=lambda info: info.sequence) for run in runs.values()]


def _missing(log: Log, run: list[SegmentInfo]) -> list[Damage]:
    """Gaps in the segments of one writer. The oldest may be gone: that is what pruning does."""
    found = [
        Damage(later.name, 0, f"{later.sequence - earlier.sequence - 1} segments before this one are missing")
        for earlier, later in pairwise(run)
        if later.sequence > earlier.sequence + 1
    ]
    last = run[-1]
    if log.local and last.sealed and not last.final:
        found.append(Damage(last.name, 0, "the segments after this one are missing: its writer went on"))
    return found
