"""The command of the replay room: `replay` performs a log on the current and the candidate builds; a thin shell."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click

from capture.cli import Command, is_url, settings_of
from capture.config import Settings, build
from capture.errors import RunFailed
from capture.log.reader import open_log
from replay import explain
from replay.builds import builds_of
from replay.learn import LEARNED_FROM_MAX, learn_links
from replay.run import Run
from replay.run_replay import run_replay
from replay.settings import ReplayConfig

__all__ = ["OPTIONAL", "SEVERAL", "replay", "replay_from_flags", "replay_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])
_POSITIVE = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=1)

SEVERAL = {"--candidate": is_url}
OPTIONAL = {"--reference": is_url}
"""For `Command(several=SEVERAL, optional=OPTIONAL)` of every command that takes `replay_options`."""


def replay_options(function: _Function) -> _Function:
    """Add the options that `replay` and `check` share; `replay_from_flags` takes their values."""
    options = (
        click.option("--current", required=True, metavar="URL", help="The build that is in production."),
        click.option(
            "--candidate",
            multiple=True,
            required=True,
            metavar="[NAME=]URL...",
            help="A build to judge; several may be given.",
        ),
        click.option(
            "--reference",
            is_flag=False,
            flag_value="",
            metavar="[URL]",
            help="Perform the current build a second time, here or at URL, to measure what it does to itself.",
        ),
        click.option("--run", "run_dir", required=True, type=click.Path(path_type=Path), help="Directory of the run."),
        click.option("--speed", type=_POSITIVE, metavar="X", help="As recorded, X times as fast."),
        click.option(
            "--pause-max",
            "pause_max_s",
            type=_POSITIVE,
            metavar="SECONDS",
            help="With --speed: no silence takes longer than that.",
        ),
        click.option("--rate", type=_POSITIVE, metavar="N", help="N requests a second, whatever the builds do."),
        click.option(
            "--concurrency", type=_COUNT, metavar="N", help="N pairs in flight; the default is a closed loop of 8."
        ),
        click.option("--allow-writes", is_flag=True, default=None, help="Send methods that may change something, too."),
        click.option(
            "--allow-captured-address",
            count=True,
            help="Given twice: a build may be the address that the log was captured from.",
        ),
        click.option("--limit", type=_COUNT, metavar="N", help="Only the first N exchanges of the log."),
        click.option("--loop", type=_COUNT, metavar="N", help="Perform the log N times."),
        click.option("--duration", "duration_s", type=_POSITIVE, metavar="SECONDS", help="Begin nothing new after it."),
        click.option(
            "--warmup",
            type=click.FloatRange(0, 1, max_open=True),
            metavar="SHARE",
            help="Share that timings leave out.",
        ),
        click.option("--timeout", "timeout_s", type=_POSITIVE, metavar="SECONDS", help="For a whole answer (30)."),
        click.option("--seed", type=int, metavar="N", help="Of the shuffled order of builds."),
        click.option("--keep-host", is_flag=True, default=None, help="Send the recorded Host, not the build's."),
        click.option("--insecure", is_flag=True, default=None, help="Do not verify certificates."),
        click.option("--preflight/--no-preflight", default=None, help="See that every build is there before sending."),
        click.option("--preflight-path", metavar="PATH", help="GET it on every build first; it must answer below 500."),
        click.option(
            "--client", type=click.Choice(["auto", "wire", "aiohttp", "h2"]), help="How to speak to the builds (auto)."
        ),
        click.option("--workers", type=_COUNT, metavar="N", help="Processes that share the work, split by session."),
        click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler whose workers share the work."),
        click.option("--resume", is_flag=True, help="Go on with the partial run at --run."),
        click.option("--bind/--no-bind", default=None, help="Replace tokens and ids by what each build answered."),
    )
    for option in reversed(options):
        function = option(function)
    return function


def replay_from_flags(
    settings: Settings,
    log: str,
    *,
    current: str,
    candidate: tuple[str, ...],
    reference: str | None,
    run_dir: Path,
    resume: bool = False,
    **flags: Any,
) -> Run:
    """What `replay` does, from the values of `replay_options`. Raises as `run_replay` does."""
    flags["allow_captured_address"] = flags.get("allow_captured_address") or None
    config = build(ReplayConfig, "replay", settings, flags)
    builds = builds_of(current, candidate, reference, settings, os.environ)
    if (warning := _length(config, log)) is not None:
        click.echo(f"understudy: {warning}", err=True)
    watch = None
    if sys.stderr.isatty():
        from replay.progress import Progress

        watch = Progress
    return run_replay(config, log, builds, run_dir, watch=watch, resume=resume)


def _length(config: ReplayConfig, log: str) -> str | None:
    """What to know of a log whose recorded times last for hours, or for years where one clock was wrong; else None."""
    if config.speed is None or (config.pause_max_s, config.duration_s, config.limit) != (None, None, None):
        return None
    with open_log(log) as opened:
        spans = [(segment.first_ns, segment.last_ns) for segment in opened.segments if segment.records]
    if not spans:
        return None
    hours = (max(last for _, last in spans) - min(first for first, _ in spans)) / config.speed / 3600e9
    if hours < 1:
        return None
    took = f"{hours:,.1f} hours" if hours < 48 else f"{hours / 24:,.0f} days"
    return f"{log}: at --speed {config.speed:g} it takes {took}; --pause-max SECONDS shortens its silences"


@click.command(cls=Command, several=SEVERAL, optional=OPTIONAL)
@click.argument("log", metavar="DIR")
@replay_options
@click.option("--explain-bindings", is_flag=True, help="Print which response feeds which request; send nothing.")
@click.pass_context
def replay(ctx: click.Context, /, log: str, explain_bindings: bool, **flags: Any) -> None:
    """Perform the log in DIR on the current build and every candidate, at nearly the same moment, and keep what came.

    Only methods that read are sent, unless --allow-writes is given. `understudy diff RUN` then says what differs. Exit
    codes: 0 performed, 2 wrong use or bad input, 4 the run itself failed or was ended early.
    """
    if explain_bindings:
        _explain(settings_of(ctx), log, flags)
        return
    run = replay_from_flags(settings_of(ctx), log, **flags)
    for line in summary(run):
        click.echo(line)
    if run.partial:
        advice = "" if "damaged" in str(run.manifest.get("partial_reason")) else "; go on with it by --resume"
        raise RunFailed(f"{run.path}: the run is partial ({run.manifest.get('partial_reason')}){advice}")


def _explain(settings: Settings, log: str, flags: dict[str, Any]) -> None:
    names = {field.name for field in dataclasses.fields(ReplayConfig)}
    given = {name: value for name, value in flags.items() if name in names}
    given["allow_captured_address"] = None
    config = build(ReplayConfig, "replay", settings, given)
    with open_log(log) as opened:
        learned = learn_links(islice(opened.exchanges(), LEARNED_FROM_MAX))
        exchanges = islice(opened.exchanges(), config.limit)
        lines = explain.explain_bindings(
            exchanges, config.bind_exclude, config.allow_writes, config.sessions_max, config.bind_rules, learned
        )
        for line in lines:
            click.echo(line)


def summary(run: Run) -> list[str]:
    """The lines that the command prints: the ledger, build by build, and what to know about the timings."""
    ledger, manifest = run.ledger, run.manifest
    skipped = " ".join(f"{reason}={count}" for reason, count in ledger["skipped"].items())
    total_skipped = sum(ledger["skipped"].values())
    lines = [
        f"run {run.path}: planned={ledger['planned']} sent={ledger['sent']} skipped={total_skipped}"
        + (f" ({skipped})" if skipped else "")
    ]
    for item in run.builds:
        name = item["name"]
        failed = " ".join(f"{kind}={count}" for kind, count in ledger["failed"][name].items())
        bound = manifest["bindings"]
        lines.append(
            f"  {name:12} answered={ledger['answered'][name]} failed={sum(ledger['failed'][name].values())}"
            + (f" ({failed})" if failed else "")
            + f" bound={bound['resolved'][name]}"
            + (f" unresolved={bound['unresolved'][name]}" if bound["unresolved"][name] else "")
        )
    for name, failures in manifest.get("hook_failures", {}).items():
        lines.append(f"  the hook of {name} failed {failures['count']} times, first: {failures['first']}")
    for name, ns in manifest.get("backlog", {}).items():
        lines.append(f"  the schedule was held up for {ns / 1e9:.1f} s: as much as may wait did, for {name}")
    if shortened := manifest.get("pauses", {}).get("shortened"):
        hours = manifest["pauses"]["left_out_ns"] / 3600e9
        lines.append(f"  silences shortened: {shortened}, by {hours:,.2f} h of the log in all (--pause-max)")
    lines += [f"  {line}" for line in _sent_twice(manifest)]
    if manifest["generator"]["late"]:
        lines.append(f"  timings do not count: {manifest['generator']['why']}")
    return lines


def _sent_twice(manifest: dict[str, Any]) -> list[str]:
    """What a process that died had sent and not yet written down was sent again; each such death, in a line."""
    what = "what it had sent and not yet written down, of its last second, was sent again"
    cut_off = sum("cut_off" in part for part in manifest.get("earlier", []))
    lines = [f"a part of the run was cut off: {what}"] * cut_off
    for share in manifest.get("begun_again", []):
        lines.append(f"share {share['share']} was begun {share['attempts']} times, as its process died: {what}")
    return lines
