"""What the manifest of a run says: what was performed on what, and in the end how it went."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from capture.clock import rfc3339
from capture.log.reader import Log
from replay.bind import Binder
from replay.bottleneck import why_late
from replay.builds import Build
from replay.compiled import is_compiled
from replay.histogram import Histogram
from replay.perform import Performer
from replay.run import empty_ledger
from replay.settings import ReplayConfig
from replay.source import Source

__all__ = ["beginning", "empty_summary", "ending", "resuming", "summary_of"]

_GIVEN = ("builds", "injected", "passwords", "hooks", "config", "seed")
"""What whoever starts a replay may say otherwise when it is gone on with."""


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
        "compiled": is_compiled(),
        "run": run_id,
        **_given(config, builds),
        "log": {
            "path": str(log.location),
            "exchanges": total,
            "first_ns": min((segment.first_ns for segment in segments if segment.records), default=0),
            "last_ns": max((segment.last_ns for segment in segments), default=0),
            "conservation": log.conservation().as_dict(),
            "segments": [{"name": s.segment, "records": s.records, "meta": _plain(s.meta)} for s in segments[:1000]],
            "damage": [f"{damage}" for damage in log.damage[:100]],
        },
        "cores": os.cpu_count(),
        "started": rfc3339(now),
        "started_ns": now,
    }


def resuming(earlier: dict[str, Any], config: ReplayConfig, builds: Sequence[Build], now: int) -> dict[str, Any]:
    """The manifest of a partial run that is gone on with: as it was, but for what is said otherwise from now on.

    What was in force until then is in `earlier`, beside the time in `resumed`. now: ns since the epoch.
    """
    given = _given(config, builds)
    until_now = {key: earlier[key] for key in _GIVEN if key in earlier and earlier[key] != _as_json(given[key])}
    if earlier.get("ended", "unknown") is None or earlier.get("cut_off"):
        until_now["cut_off"] = True
    return {
        **earlier,
        **given,
        "ledger": None,
        "resumed": [*earlier.get("resumed", []), rfc3339(now)],
        "earlier": [*earlier.get("earlier", [{}] * len(earlier.get("resumed", []))), until_now],
    }


def _given(config: ReplayConfig, builds: Sequence[Build]) -> dict[str, Any]:
    return {
        "builds": [_build(build) for build in builds],
        "injected": {build.name: sorted(build.headers) for build in builds if build.headers},
        "passwords": {build.name: sorted(build.passwords) for build in builds if build.passwords},
        "hooks": {build.name: build.hook for build in builds if build.hook is not None},
        "config": dataclasses.asdict(config),
        "seed": config.seed,
    }


def _as_json(value: Any) -> Any:
    """As it reads back from a manifest."""
    return json.loads(json.dumps(value))


def _build(build: Build) -> dict[str, Any]:
    said: dict[str, Any] = {"name": build.name, "role": build.role, "url": build.url}
    client = None if build.client == "auto" else build.client
    given = {"client": client, "host": build.host, "connections_max": build.connections_max, "rate_max": build.rate_max}
    return {**said, **{key: value for key, value in given.items() if value is not None}}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | bool) or value is None else repr(value)


def summary_of(performer: Performer, source: Source, binder: Binder | None, cpu_s: float) -> dict[str, Any]:
    """What one process performed, as plain values that `ending` adds up over all of them."""
    stages, supplies = performer.stages, performer.supplies
    ledger = empty_ledger([stage.name for stage in stages])
    ledger.update(planned=performer.planned, sent=performer.sent, skipped=dict(sorted(performer.skipped.items())))
    for stage in stages:
        ledger["answered"][stage.name] = stage.answered
        ledger["failed"][stage.name] = dict(sorted(stage.failed.items()))
    return {
        "ledger": ledger,
        "stopped": performer.stopped,
        "abandoned": performer.abandoned,
        "read": {"exchanges": source.read, "first_ns": source.first_ns, "last_ns": source.last_ns},
        "lateness": performer.lateness.buckets(),
        "own_lateness": performer.own_lateness.buckets(),
        "loop_lag": performer.lag.waits.buckets(),
        "late": why_late(
            own_lateness=performer.own_lateness,
            waits=performer.lag.waits,
            latency=performer.latency,
            held_up=performer.lag.held_up,
            longest_ns=performer.lag.longest_ns,
            busy_share=performer.busy_share,
            waited_share=performer.waited_share,
            sent=performer.lateness.count // len(stages),
        ),
        "stalled_ns": performer.lag.stalled_ns,
        "backlog": dict(performer.backlog.held_up_ns),
        "pauses": {"shortened": performer.schedule.shortened, "left_out_ns": performer.schedule.left_out_ns},
        "busy_share": performer.busy_share,
        "waited_share": performer.waited_share,
        "cpu_s": cpu_s,
        "splits": performer.splits,
        "held_back_max_ns": performer.held_back_ns,
        "resolved": {stage.name: supplies.resolved[index] for index, stage in enumerate(stages)},
        "unresolved": {stage.name: supplies.unresolved[index] for index, stage in enumerate(stages)},
        "forgotten": supplies.forgotten + source.forgotten + (binder.forgotten if binder else 0),
        "hook_failed": {stage.name: stage.hook_failed for stage in stages if stage.hook_failed},
        "hook_detail": {stage.name: stage.hook_detail for stage in stages if stage.hook_failed},
        "breaker": {stage.name: stage.breaker.detail for stage in stages if stage.breaker is not None},
    }


def empty_summary(builds: list[str]) -> dict[str, Any]:
    """The summary of a process that said nothing before it died."""
    nothing = dict.fromkeys(builds, 0)
    counts = dict.fromkeys(
        ("stalled_ns", "busy_share", "waited_share", "cpu_s", "splits", "held_back_max_ns", "forgotten"), 0
    )
    histograms: dict[str, dict[str, int]] = {"lateness": {}, "own_lateness": {}, "loop_lag": {}}
    read = {"exchanges": 0, "first_ns": 0, "last_ns": 0}
    rest: dict[str, Any] = {
        "stopped": "",
        "late": None,
        "backlog": {},
        "pauses": {"shortened": 0, "left_out_ns": 0},
        "breaker": {},
        "resolved": nothing,
        "unresolved": nothing,
    }
    rest.update(abandoned=False, hook_failed={}, hook_detail={})
    return {"ledger": empty_ledger(builds), "read": read, **counts, **histograms, **rest}


def ending(
    summaries: Sequence[dict[str, Any]], config: ReplayConfig, now: int, before: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What only the end knows, over all processes that took part (at least one). now: ns since the epoch.

    before: how an earlier part of the run ended, where it was gone on with: a generator that was late then is late.
    """
    read = max((summary["read"] for summary in summaries), key=lambda read: int(read["exchanges"]))
    stopped = next((summary["stopped"] for summary in summaries if summary["stopped"]), "")
    late = next((summary["late"] for summary in summaries if summary["late"]), None)
    if before is not None and (was := before.get("generator", {})).get("late"):
        late = was.get("why") or late
    ledger = _added([summary["ledger"] for summary in summaries])
    # Of all loops together: the beginning of a later loop is warm.
    loops, positions = divmod(int(config.warmup * ledger["planned"]), max(read["exchanges"], 1))
    return {
        "ended": rfc3339(now),
        "ended_ns": now,
        "partial": bool(stopped),
        "partial_reason": stopped or None,
        "cut_off": any(summary["abandoned"] for summary in summaries),
        "ledger": ledger,
        "read": read,
        "warmup_loops": loops,
        "warmup_positions": positions,
        "lateness": _merged(summaries, "lateness"),
        "generator": {
            "late": late is not None,
            "why": late,
            "processes": len(summaries),
            "own_lateness": _merged(summaries, "own_lateness"),
            "loop_lag": _merged(summaries, "loop_lag"),
            "stalled_ns": max(summary["stalled_ns"] for summary in summaries),
            "busy_share": round(max(summary["busy_share"] for summary in summaries), 4),
            "waited_share": round(max(summary["waited_share"] for summary in summaries), 4),
            "cpu_s": round(sum(summary["cpu_s"] for summary in summaries), 3),
        },
        "pairing": {
            "splits": sum(summary["splits"] for summary in summaries),
            "bound_ms": config.pair_wait_ms,
            "held_back_max_ns": max(summary["held_back_max_ns"] for summary in summaries),
        },
        "backlog": {
            name: max(summary["backlog"].get(name, 0) for summary in summaries)
            for name in sorted({name for summary in summaries for name in summary["backlog"]})
        },
        "pauses": max((summary["pauses"] for summary in summaries), key=lambda pauses: int(pauses["shortened"])),
        "bindings": {
            "resolved": _added([summary["resolved"] for summary in summaries]),
            "unresolved": _added([summary["unresolved"] for summary in summaries]),
            "forgotten_sessions": sum(summary["forgotten"] for summary in summaries),
        },
        "hook_failures": {
            name: {"count": count, "first": next(s["hook_detail"][name] for s in summaries if name in s["hook_detail"])}
            for name, count in _added([summary["hook_failed"] for summary in summaries]).items()
        },
        "breaker": {name: why for summary in summaries for name, why in summary["breaker"].items()},
    }


def _added(values: Sequence[Any]) -> Any:
    """Numbers added up, through nested mappings."""
    if all(isinstance(value, dict) for value in values):
        keys = sorted({key for value in values for key in value})
        return {key: _added([value[key] for value in values if key in value]) for key in keys}
    return sum(values)


def _merged(summaries: Sequence[dict[str, Any]], name: str) -> dict[str, int]:
    histogram = Histogram()
    for summary in summaries:
        histogram.merge(Histogram.from_buckets(summary[name]))
    return histogram.as_dict()
