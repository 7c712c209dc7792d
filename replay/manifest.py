"""What the manifest of a run says: what was performed on what, and in the end how it went."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from capture.clock import rfc3339
from capture.log.reader import Log
from replay.bind import Binder
from replay.builds import Build
from replay.perform import Performer
from replay.run import empty_ledger
from replay.settings import ReplayConfig
from replay.source import Source

__all__ = ["beginning", "ending"]


def _version() -> str:
    try:
        return metadata.version("understudy")
    except metadata.PackageNotFoundError:
        return "0+source"


def beginning(
    config: ReplayConfig, log: Log, builds: Sequence[Build], run_id: str, now: int, total: int
) -> dict[str, Any]:
    """What is known before the first request. now: ns since the epoch; total: exchanges to be read."""
    segments = log.segments
    return {
        "tool": f"understudy {_version()}",
        "python": sys.version.split()[0],
        "run": run_id,
        "builds": [{"name": build.name, "role": build.role, "url": build.url} for build in builds],
        "injected": {build.name: sorted(build.headers) for build in builds if build.headers},
        "log": {
            "path": str(log.location),
            "exchanges": total,
            "first_ns": min((segment.first_ns for segment in segments if segment.records), default=0),
            "last_ns": max((segment.last_ns for segment in segments), default=0),
            "conservation": log.conservation().as_dict(),
            "segments": [{"name": s.segment, "records": s.records, "meta": _plain(s.meta)} for s in segments[:1000]],
            "damage": [f"{damage}" for damage in log.damage[:100]],
        },
        "config": dataclasses.asdict(config),
        "seed": config.seed,
        "cores": os.cpu_count(),
        "started": rfc3339(now),
        "started_ns": now,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def ending(
    performer: Performer, source: Source, config: ReplayConfig, binder: Binder | None, now: int
) -> dict[str, Any]:
    """What only the end knows. now: ns since the epoch."""
    stages = performer.stages
    ledger = empty_ledger([stage.name for stage in stages])
    ledger.update(planned=performer.planned, sent=performer.sent, skipped=dict(sorted(performer.skipped.items())))
    for stage in stages:
        ledger["answered"][stage.name] = stage.answered
        ledger["failed"][stage.name] = dict(sorted(stage.failed.items()))
    supplies = performer.supplies
    late = _late(performer)
    return {
        "ended": rfc3339(now),
        "ended_ns": now,
        "partial": bool(performer.stopped),
        "partial_reason": performer.stopped or None,
        "ledger": ledger,
        "read": {"exchanges": source.read, "first_ns": source.first_ns, "last_ns": source.last_ns},
        "warmup_positions": int(config.warmup * source.read),
        "lateness": performer.lateness.as_dict(),
        "generator": {
            "late": late is not None,
            "why": late,
            "own_lateness": performer.own_lateness.as_dict(),
            "loop_lag": performer.loop_lag.as_dict(),
            "stalled_ns": performer.stalled_ns,
            "busy_share": round(performer.busy_share, 4),
        },
        "pairing": {
            "splits": performer.splits,
            "bound_ms": config.pair_wait_ms,
            "held_back_max_ns": performer.held_back_ns,
        },
        "bindings": {
            "resolved": {stage.name: supplies.resolved[index] for index, stage in enumerate(stages)},
            "unresolved": {stage.name: supplies.unresolved[index] for index, stage in enumerate(stages)},
            "forgotten_sessions": supplies.forgotten + source.forgotten + (binder.forgotten if binder else 0),
        },
        "breaker": {stage.name: stage.breaker.detail for stage in stages if stage.breaker is not None},
    }


def _late(performer: Performer) -> str | None:
    """Why the timings of this run say more about the generator than about the builds; None where they do not."""
    own = performer.own_lateness.quantile(0.99)
    stalled = performer.stalled_ns / max(performer.wall_ns, 1)
    if own > 10_000_000:
        return f"one request in a hundred was begun {own / 1e6:.1f} ms or more after it was due"
    if stalled > 0.5 and performer.sent:
        return f"the generator's loop was held up for {stalled:.0%} of the time"
    if performer.busy_share > 0.95 and performer.sent:
        return f"the generator used {performer.busy_share:.0%} of a core"
    return None
