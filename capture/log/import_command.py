"""`understudy log import`: files of other tools into a log, by the same sampling and redaction as live traffic."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.errors import RunFailed, UsageError
from capture.exchange import Exchange
from capture.log.commands import log_key
from capture.log.growth import Growth
from capture.log.reader import Log, open_log
from capture.log.segment import RecordTooLarge, RecordWriter
from capture.log.text import printable
from capture.log.writer import EXCHANGE_KIND
from capture.options import capture_options, capture_settings
from capture.pipeline import pipeline_from_config
from capture.sources.files import FORMATS, FileImport, recognise

__all__ = ["import_"]

_WARNINGS_MAX = 20


class _Target:
    """The log that is imported into: begun with the first exchange, so that a refused file leaves nothing behind."""

    def __init__(self, directory: Path, present: Log | None, begin: Callable[[], RecordWriter[Exchange]]) -> None:
        self._directory = directory
        self._present = present
        self._begin = begin
        self._writer: RecordWriter[Exchange] | None = None
        self.failed: OSError | None = None

    def put(self, exchange: Exchange) -> str | None:
        """The sink of the pipeline. A disk that refuses is remembered in `failed` and ends the import."""
        if self.failed is not None:
            return "log_error"
        try:
            self._writer = self._writer or self._begin()
            self._writer.write(exchange, exchange.times.request_start)
        except RecordTooLarge:
            return "too_large"
        except (TypeError, ValueError, OverflowError):
            return "unencodable"
        except OSError as error:
            self.failed = error
            return "disk_full"
        return None

    def has(self, exchange_id: str) -> bool:
        """True where the log had that id before this import began."""
        return self._present is not None and self._present.get(exchange_id) is not None

    def close(self, *, finished: bool) -> None:
        """Seal what was taken; where nothing was, a finished import still leaves its counts."""
        try:
            if self._writer is None and finished:
                self._writer = self._begin()
            if self._writer is not None:
                self._writer.close()
        except OSError as error:
            self.failed = self.failed or error
        if self._present is not None:
            self._present.close()
        if self.failed is not None:
            why = self.failed.strerror or str(self.failed)
            raise RunFailed(f"{self._directory}: the import stopped, the disk refuses: {why}")


def _local(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[Path, ...]:
    for value in values:
        if "://" in value:
            raise UsageError(
                f"{value}: import reads local files; a log in a store is read where it lies, by `log cat` or `replay`, "
                "or is copied here first"
            )
    return tuple(map(Path, values))


@click.command("import", cls=Command)
@click.argument("files", nargs=-1, required=True, callback=_local)
@click.option(
    "--format",
    "form",
    type=click.Choice(sorted(FORMATS)),
    default=None,
    help="What the files are; recognised by content without it.",
)
@click.option(
    "--log-key-file",
    type=click.Path(path_type=Path),
    default=None,
    help="File with the key of encrypted logs among FILES; else UNDERSTUDY_LOG_KEY.",
)
@capture_options
@click.pass_context
def import_(
    ctx: click.Context, /, files: tuple[Path, ...], form: str | None, log_key_file: Path | None, **arguments: Any
) -> None:
    """Take exchanges from FILES (HAR, mitmproxy, GoReplay, pcap, Envoy tap, access logs, JSONL, our own) into a log."""
    settings = capture_settings(settings_of(ctx), arguments)
    key = log_key(log_key_file)
    plan = [(path, form or recognise(path)) for path in files]
    present = open_log(settings.log, key=key) if settings.log.is_dir() and any(settings.log.iterdir()) else None
    meta = {"source": "import", "redact": settings.redact.mode, "sample": settings.capture.sample}

    def begin() -> RecordWriter[Exchange]:
        growth = Growth(lambda: running.counts)
        return RecordWriter(
            settings.log, Exchange, EXCHANGE_KIND, settings.log_config, meta, counts=growth.take, dense=True
        )

    target = _Target(settings.log, present, begin)
    pipeline = pipeline_from_config(settings.capture, settings.redact, target.put)
    warned = 0

    def warn(line: str) -> None:
        nonlocal warned
        warned += 1
        if warned <= _WARNINGS_MAX:
            click.echo(f"skipped: {printable(line)}", err=True)

    running = FileImport(
        pipeline,
        target.put,
        target.has,
        sample=settings.capture.sample,
        redact_own=arguments["redact"] is not None,
        key=key,
        body_bytes_max=settings.capture.body_bytes_max,
        warn=warn,
        stop=lambda: target.failed is not None,
    )
    finished = False
    try:
        for path, name in plan:
            taken = running.take(path, name)
            click.echo(f"{path}: {taken} exchanges ({FORMATS[name][1]})")
        finished = True
    finally:
        target.close(finished=finished)
    if warned > _WARNINGS_MAX:
        click.echo(f"skipped: {warned - _WARNINGS_MAX} more records (the counts have the reasons)", err=True)
    click.echo(running.counts.line())
