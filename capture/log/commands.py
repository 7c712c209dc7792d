"""`understudy log`: look into a log, check it, thin it, and carry exchanges in and out."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from capture.cli import Command, Group, settings_of
from capture.clock import parse_rfc3339, rfc3339
from capture.config import build
from capture.errors import BadInput, Damaged, UsageError
from capture.exchange import Exchange
from capture.log.reader import Log, SegmentInfo, open_log
from capture.log.text import quiet_json
from capture.settings import LogConfig

__all__ = ["log"]

_F = TypeVar("_F", bound=Callable[..., Any])
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d|w)")
_AGE_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(i?)B?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}

_LAZY = {
    "compact": ("capture.log.compact_command", "compact", "Rewrite sealed segments for size."),
    "import": ("capture.log.import_command", "import_", "Take exchanges from files of other tools into a log."),
    "export": ("capture.log.export_command", "export", "Write exchanges for other tools: HAR, JSONL, curl and more."),
}


@click.group(cls=Group, lazy=_LAZY)
def log() -> None:
    """Look into a log: a directory of segments, or its copy in an object store (s3://, gs://, az://)."""


def _key_option(command: _F) -> _F:
    return click.option(
        "--log-key-file",
        type=click.Path(path_type=Path),
        default=None,
        help="File with the key of an encrypted log; else UNDERSTUDY_LOG_KEY.",
    )(command)


def _json_option(command: _F) -> _F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON document for machines.")(command)


_DIRECTORY = click.argument("directory", metavar="DIR")


def log_key(log_key_file: Path | None) -> bytes | None:
    """The key for reading: of the option, else of the configuration; None leaves it to the environment."""
    from capture.log.segment import key_of

    config = build(LogConfig, "log", settings_of(click.get_current_context()), {"key_file": log_key_file})
    if log_key_file is not None:
        from capture.log.cipher import read_key

        return read_key(log_key_file)
    return key_of(config)


@contextmanager
def _opened(directory: str, log_key_file: Path | None) -> Iterator[Log]:
    opened = open_log(directory, key=log_key(log_key_file))
    try:
        yield opened
    finally:
        opened.close()


def print_json(value: Any) -> None:
    """One document on stdout."""
    sys.stdout.write(quiet_json(msgspec.json.format(msgspec.json.encode(value), indent=2)).decode() + "\n")


def _state(info: SegmentInfo) -> str:
    if info.sealed:
        return "sealed"
    if info.live:
        return "open"
    return "not sealed" if info.torn_at is None else f"torn at byte {info.torn_at}"


@log.command("ls", cls=Command)
@_DIRECTORY
@_json_option
@_key_option
def ls(directory: str, as_json: bool, log_key_file: Path | None) -> None:
    """The segments of a log: records, time range, size and state."""
    from capture.log.text import bytes_text, print_table, time_text

    with _opened(directory, log_key_file) as opened:
        infos = opened.segments
        damage = opened.damage
    if as_json:
        print_json({"segments": [asdict(info) for info in infos], "damage": [asdict(item) for item in damage]})
        return
    rows = [
        (
            info.name,
            str(info.records),
            time_text(info.first_ns) if info.records else "-",
            time_text(info.last_ns) if info.records else "-",
            bytes_text(info.size),
            str(info.meta.get("source", "")),
            _state(info),
        )
        for info in infos
    ]
    print_table(f"{len(infos)} segments", ("segment", "#records", "first", "last", "#size", "source", "state"), rows)
    for item in damage:
        click.echo(f"damaged: {item.file}: byte {item.offset}: {item.what}", err=True)


@log.command("stat", cls=Command)
@_DIRECTORY
@_json_option
@_key_option
@click.option("--routes", type=int, default=20, show_default=True, help="How many routes the table shows.")
def stat(directory: str, as_json: bool, log_key_file: Path | None, routes: int) -> None:
    """Routes, methods, statuses, sizes, sessions, time range, sampling, conservation, compression."""
    from capture.log.stat_report import print_stat, stat_document
    from capture.log.statistics import LogStatistics

    with _opened(directory, log_key_file) as opened:
        found = LogStatistics()
        for exchange in opened.unordered():
            found.add(exchange)
        document = stat_document(opened, found)
    if as_json:
        print_json(document)
    else:
        print_stat(document, routes)


def parse_time(text: str | None) -> int | None:
    """A point in time from an option: RFC 3339 or ns since the epoch; None stays None. Raises UsageError."""
    if text is None:
        return None
    if re.fullmatch(r"\d{10,}", text):
        return int(text) if len(text) > 12 else int(text) * 1_000_000_000
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise UsageError(str(error)) from None


@log.command("cat", cls=Command)
@_DIRECTORY
@click.option("--format", "form", type=click.Choice(["jsonl", "text"]), default="jsonl", show_default=True)
@click.option("--id", "exchange_id", metavar="ID", default=None, help="This exchange alone.")
@click.option("--session", default=None, help="The exchanges of this session alone.")
@click.option("--since", metavar="TIME", default=None, help="From this time on (RFC 3339).")
@click.option("--until", metavar="TIME", default=None, help="Before this time.")
@click.option("--limit", type=click.IntRange(min=0), default=None, help="At most so many.")
@click.option("--follow", is_flag=True, help="Go on with what is added, until interrupted.")
@_key_option
def cat(
    directory: str,
    form: str,
    exchange_id: str | None,
    session: str | None,
    since: str | None,
    until: str | None,
    limit: int | None,
    follow: bool,
    log_key_file: Path | None,
) -> None:
    """The exchanges in time order: one JSON object a line, or as text."""
    from capture.log.cat_text import text_of
    from capture.log.jsonl import line_of

    start_ns, end_ns = parse_time(since), parse_time(until)
    with _opened(directory, log_key_file) as opened:
        if exchange_id is not None:
            found = opened.get(exchange_id)
            if found is None:
                raise BadInput(f"{opened.location}: no exchange {exchange_id!r}; `understudy log cat` lists them")
            wanted: Iterator[Exchange] = iter((found,))
        elif follow:
            wanted = (
                x
                for x in opened.follow()
                if (session is None or x.session == session)
                and (start_ns is None or x.times.request_start >= start_ns)
                and (end_ns is None or x.times.request_start < end_ns)
            )
        else:
            wanted = opened.exchanges(start_ns, end_ns, session)
        out = sys.stdout.buffer
        try:
            for number, exchange in enumerate(wanted):
                if limit is not None and number >= limit:
                    break
                out.write(line_of(exchange) if form == "jsonl" else text_of(exchange).encode())
                if follow:
                    out.flush()
        except KeyboardInterrupt:
            pass
        out.flush()
        damage = opened.damage
    for item in damage:
        click.echo(f"damaged: {item.file}: byte {item.offset}: {item.what}", err=True)


@log.command("verify", cls=Command)
@_DIRECTORY
@_json_option
@_key_option
def verify_command(directory: str, as_json: bool, log_key_file: Path | None) -> None:
    """Read everything; end with 4 where exchanges were lost or damaged, and say where."""
    from capture.log.verify import verify

    with _opened(directory, log_key_file) as opened:
        verdict = verify(opened)
    if as_json:
        print_json(verdict.as_dict())
    else:
        click.echo(f"{verdict.location}: {verdict.segments} segments, {verdict.records} exchanges read")
        if verdict.counts is not None:
            click.echo(verdict.counts.line())
        for note in verdict.notes:
            click.echo(f"note: {note}")
        for item in verdict.damage:
            lost = f" ({item.records} exchanges lost)" if item.records else ""
            click.echo(f"damaged: {item.file}: byte {item.offset}: {item.what}{lost}")
    if not verdict.whole:
        first = verdict.damage[0]
        raise Damaged(
            f"{verdict.location}: {len(verdict.damage)} places are lost or damaged, the first: "
            f"{first.file}: byte {first.offset}: {first.what}"
        )


def parse_age_s(text: str) -> float:
    """Seconds from 90s, 15m, 12h, 7d, 2w. Raises UsageError."""
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--older-than: {text!r} is not an age such as 12h, 7d or 2w")
    return float(found[1]) * _AGE_S[found[2]]


def parse_size(text: str) -> int:
    """Bytes from 1000, 500MB, 2GiB. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"--max-bytes: {text!r} is not a size such as 500MB or 2GiB")
    return int(float(found[1]) * (1024 if found[3] else 1000) ** _POWERS[found[2]])


@log.command("prune", cls=Command)
@_DIRECTORY
@click.option("--max-bytes", metavar="SIZE", default=None, help="Keep at most this much, e.g. 2GiB.")
@click.option(
    "--older-than", metavar="AGE", default=None, help="Remove segments whose last exchange is older, e.g. 7d."
)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_json_option
@_key_option
def prune(
    directory: str,
    max_bytes: str | None,
    older_than: str | None,
    dry_run: bool,
    as_json: bool,
    log_key_file: Path | None,
) -> None:
    """Remove the oldest segments. One that is being written is never touched."""
    import time

    from capture.log.prune import choose

    if max_bytes is None and older_than is None:
        raise UsageError("prune: say what may go, with --max-bytes SIZE, --older-than AGE, or both")
    bytes_max = None if max_bytes is None else parse_size(max_bytes)
    before_ns = None if older_than is None else time.time_ns() - int(parse_age_s(older_than) * 1e9)
    with _opened(directory, log_key_file) as opened:
        going = choose(opened.segments, bytes_max, before_ns)
        if not dry_run:
            for info in going:
                opened.remove(info)
    freed = sum(info.size for info in going)
    if as_json:
        print_json({"removed": [info.name for info in going], "bytes": freed, "dry_run": dry_run})
        return
    for info in going:
        click.echo(f"{'would remove' if dry_run else 'removed'} {info.name} ({info.records} exchanges)")
    until = rfc3339(max(info.last_ns for info in going)) if going else "-"
    click.echo(f"{len(going)} segments, {freed} bytes, exchanges until {until}")
