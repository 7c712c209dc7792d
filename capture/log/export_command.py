"""`understudy log export`: exchanges in the formats of other tools."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from capture.cli import Command
from capture.errors import RunFailed
from capture.log.commands import log_key, parse_time
from capture.log.reader import open_log

__all__ = ["TARGETS", "export"]

TARGETS = {
    "har": "capture.log.exporters.har",
    "jsonl": "capture.log.exporters.jsonl_lines",
    "curl": "capture.log.exporters.curl",
    "gor": "capture.log.exporters.gor",
    "vegeta": "capture.log.exporters.vegeta",
}


@click.command("export", cls=Command)
@click.argument("directory", metavar="DIR")
@click.option("--to", "target", type=click.Choice(list(TARGETS)), required=True, help="The format to write.")
@click.option("--out", type=click.Path(path_type=Path), default=None, help="A file; stdout without it.")
@click.option("--session", default=None, help="The exchanges of this session alone.")
@click.option("--since", metavar="TIME", default=None, help="From this time on (RFC 3339).")
@click.option("--until", metavar="TIME", default=None, help="Before this time.")
@click.option(
    "--log-key-file",
    type=click.Path(path_type=Path),
    default=None,
    help="File with the key of an encrypted log; else UNDERSTUDY_LOG_KEY.",
)
def export(
    directory: str,
    target: str,
    out: Path | None,
    session: str | None,
    since: str | None,
    until: str | None,
    log_key_file: Path | None,
) -> None:
    """Write the exchanges of DIR in time order for other tools; what a format cannot say is counted on stderr."""
    left_out: Counter[str] = Counter()
    write = importlib.import_module(TARGETS[target]).write
    with open_log(directory, key=log_key(log_key_file)) as log:
        wanted = log.exchanges(parse_time(since), parse_time(until), session)
        pieces: Iterator[bytes] = write(wanted) if target == "jsonl" else write(wanted, left_out)
        if out is None:
            sys.stdout.buffer.writelines(pieces)
            sys.stdout.buffer.flush()
        else:
            _to_file(pieces, out)
        damage = log.damage
    for reason, n in sorted(left_out.items()):
        click.echo(f"left out or changed: {n} exchanges: {reason}", err=True)
    for item in damage:
        click.echo(f"damaged: {item.file}: byte {item.offset}: {item.what}", err=True)


def _to_file(pieces: Iterator[bytes], out: Path) -> None:
    """Written beside and renamed, so that nobody finds half an export under its name."""
    temporary = out.with_name(out.name + ".part")
    try:
        with temporary.open("wb") as file:
            file.writelines(pieces)
        os.replace(temporary, out)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise RunFailed(f"{out}: cannot be written: {error.strerror}") from None
