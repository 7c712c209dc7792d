"""The replay as one call: a log, builds and a configuration in, a run directory out."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import secrets
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from capture.clock import Clock
from capture.errors import BadInput, UsageError
from capture.log.reader import Log, open_log
from capture.settings import LogConfig
from replay.addresses import addresses_of
from replay.builds import Build, captured_address_refusal
from replay.clients.base import tls_context
from replay.clients.choose import speaks_http2
from replay.hook import load_hook
from replay.manifest import beginning, empty_summary, ending, resuming
from replay.preflight import preflight, with_clients
from replay.run import Run, RunWriter, open_run
from replay.run_attempts import again, clear
from replay.run_loop import run_on_loop
from replay.run_share import Share, Watch, capped_limits, limits_of, perform_share
from replay.run_task import ShareTask
from replay.settings import ReplayConfig
from replay.spread import Perform, cluster

__all__ = ["run_replay"]

_SAMPLE = 100
_ADDRESS_KEYS = ("upstream", "server", "address", "addresses", "listen")


def run_replay(
    config: ReplayConfig,
    log: Path | str,
    builds: Sequence[Build],
    run_dir: Path,
    *,
    watch: Watch | None = None,
    log_config: LogConfig | None = None,
    resume: bool = False,
) -> Run:
    """Perform `log` on `builds` and write the run to `run_dir`, which must not exist or be empty.

    resume: `run_dir` is a partial run of this log and these builds; what is not in it is performed and added. watch:
    called with (performer, exchanges in the log) once the performance begins; what it returns is closed at the end (a
    progress bar); where several processes perform, a bar of what all of them say stands for it. Blocks until the run
    is complete; SIGINT and SIGTERM end it early, with what is in flight finished and the run marked partial; a second
    one ends it at once. Raises UsageError, BadInput, RunFailed (a build is not there, the disk is full), and then
    nothing was sent or the run says what was.
    """
    opened = open_log(log)
    try:
        earlier = _resumable(run_dir, opened, builds, config) if resume else None
        if earlier is None:
            _check_directory(run_dir)
        captured = _captured_addresses(opened)
        allowed = config.allow_captured_address >= 2
        refusal = captured_address_refusal(builds, captured, config.deny_hosts, allowed, addresses_of)
        if refusal is not None:
            raise UsageError(refusal)
        for build in builds:
            capped_limits(limits_of(config), build, Share(0, config.workers))
            if build.endpoint.tls:
                tls_context(
                    limits_of(config), build.endpoint
                )  # that its files can be read is known before anything else
            if build.hook is not None:
                load_hook(build.hook, f"[build.{build.name}] hook")
        if config.workers == 1 and config.cluster is None:
            return run_on_loop(_replay(config, opened, builds, run_dir, watch, log_config, earlier))
        with _processes(config) as perform:
            return _spread(perform, config, opened, str(log), builds, run_dir, watch, log_config, earlier)
    finally:
        opened.close()


def _check_directory(run_dir: Path) -> None:
    try:
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise UsageError(f"--run {run_dir}: is there already and not empty; name a new directory, or --resume it")
    except OSError as error:
        raise BadInput(f"--run {run_dir}: cannot be used: {error.strerror}") from None


def _resumable(run_dir: Path, log: Log, builds: Sequence[Build], config: ReplayConfig) -> Run:
    """The partial run that is to be continued. Raises UsageError where it is complete or of something else."""
    run = open_run(run_dir)
    if not run.partial:
        raise UsageError(f"--resume {run_dir}: the run is complete; name a new directory to perform the log again")
    named = [(build.name, build.role) for build in builds]
    if [(build["name"], build["role"]) for build in run.builds] != named:
        raise UsageError(f"--resume {run_dir}: the run has other builds: {', '.join(b['name'] for b in run.builds)}")
    segments = [segment["name"] for segment in run.manifest["log"]["segments"]]
    if segments != [segment.segment for segment in log.segments[:1000]]:
        raise UsageError(f"--resume {run_dir}: the run was made from another log ({run.manifest['log']['path']})")
    before = run.manifest["config"]
    for name in ("allow_writes", "limit", "loop"):
        if before.get(name) != getattr(config, name):
            raise UsageError(f"--resume {run_dir}: the run began with {name} {before.get(name)!r}; say the same again")
    return run


def _captured_addresses(log: Log) -> list[str]:
    found: dict[str, None] = {}
    for segment in log.segments:
        for key in _ADDRESS_KEYS:
            value = segment.meta.get(key)
            for address in value if isinstance(value, list | tuple) else [value]:
                if isinstance(address, str) and ":" in address:
                    found[address.removeprefix("http://").removeprefix("https://").rstrip("/")] = None
    for exchange in islice(log.exchanges(), _SAMPLE):
        if exchange.server:
            found[exchange.server] = None
    return list(found)


async def _replay(
    config: ReplayConfig,
    log: Log,
    builds: Sequence[Build],
    run_dir: Path,
    watch: Watch | None,
    log_config: LogConfig | None,
    earlier: Run | None,
) -> Run:
    """One process: preflight, the performance, and the manifest around it."""
    builds, manifest, total = await _begin(config, log, builds, earlier)
    writer = RunWriter(run_dir, manifest, log_config)
    summary, error = await perform_share(
        config, log, builds, writer, manifest["run"], earlier=earlier, watch=watch, total=total * config.loop
    )
    final = _end([summary], config, log, error, earlier)
    writer.manifest["log"]["damage"] = [str(damage) for damage in log.damage[:100]]
    writer.close(final)
    if error is not None:
        raise error
    return open_run(run_dir)


async def _begin(
    config: ReplayConfig, log: Log, builds: Sequence[Build], earlier: Run | None
) -> tuple[list[Build], dict[str, Any], int]:
    """The preflight: the builds with their clients, the manifest before the first request, and exchanges to read."""
    limits = limits_of(config)
    builds = await with_clients(builds, config.client, speaks_http2(islice(log.exchanges(), _SAMPLE)), limits)
    if config.preflight:
        await preflight(builds, limits, config.preflight_path)
    total = sum(segment.records for segment in log.segments)
    total = min(total, config.limit or total)
    now = Clock().now_ns()
    if earlier is None:
        return builds, beginning(config, log, builds, secrets.token_hex(8), now, total), total
    return builds, resuming(earlier.manifest, config, builds, now), total


def _end(
    summaries: list[dict[str, Any]], config: ReplayConfig, log: Log, error: Exception | None, earlier: Run | None
) -> dict[str, Any]:
    final = ending(summaries, config, Clock().now_ns(), None if earlier is None else earlier.manifest)
    if error is not None:
        final.update(partial=True, partial_reason=str(error))
    elif (lost := _lost(log)) and not final["partial"]:
        why = f"the log is damaged, {lost} exchanges cannot be read; `understudy log verify {log.location}` says where"
        final.update(partial=True, partial_reason=why)
    return final


def _lost(log: Log) -> int:
    """Exchanges that were in the log and cannot be read; the torn tail of a writer that was killed is not a loss."""
    return sum(damage.records or 1 for damage in log.damage if not damage.what.startswith("torn tail"))


def _spread(
    perform: Perform,
    config: ReplayConfig,
    log: Log,
    location: str,
    builds: Sequence[Build],
    run_dir: Path,
    watch: Watch | None,
    log_config: LogConfig | None,
    earlier: Run | None,
) -> Run:
    """Several processes, here or on a cluster: each writes its share into the run, the manifest is written here."""
    builds, manifest, total = run_on_loop(_begin(config, log, builds, earlier))
    writer = RunWriter(run_dir, manifest, log_config)
    # Processes elsewhere have other working directories.
    config = config if config.ca_file is None else dataclasses.replace(config, ca_file=os.path.abspath(config.ca_file))
    location = location if "://" in location else os.path.abspath(location)
    task = ShareTask(
        config, location, tuple(builds), os.path.abspath(run_dir), manifest["run"], log_config,
        progress=watch is not None, led=config.cluster is not None,
    )  # fmt: skip
    clear(run_dir)
    shown = None
    if watch is not None:
        from replay.progress import SharedProgress

        shown = SharedProgress(run_dir, total * config.loop)
    try:
        summaries, error = perform(task)
    finally:
        if shown is not None:
            shown.close()
    # The records are the truth, also where a process died before it could say what it had done.
    ledger = open_run(run_dir).count()
    final = _end(summaries or [empty_summary([build.name for build in builds])], config, log, error, earlier)
    if error is not None:
        final["cut_off"] = True  # a share has not said how it ended
    repeated = [*([] if earlier is None else earlier.manifest.get("begun_again", [])), *again(run_dir)]
    clear(run_dir)
    writer.close({**final, "ledger": ledger, "begun_again": repeated})
    return open_run(run_dir)


def _processes(config: ReplayConfig) -> contextlib.AbstractContextManager[Perform]:
    if config.cluster is not None:
        return cluster(config.cluster, config.workers)
    from replay.workers import perform_in_workers

    return contextlib.nullcontext(perform_in_workers)
