"""`understudy capture rules`: try the redaction rules on a file, and see what would be kept, before any capture."""

from __future__ import annotations

import dataclasses
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.config import build
from capture.errors import BadInput
from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.log.importers.found import Found, head_of, whole
from capture.pipeline import redaction_key, with_redaction_key
from capture.pseudonym import Pseudonyms
from capture.redact import DETECTORS, Redactor
from capture.settings import CaptureConfig, RedactConfig

__all__ = ["Tried", "read_exchanges", "rules", "try_rules"]

_METHOD_BYTES_MAX = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Tried:
    """One exchange of a file as it would be kept. `kept.redacted` lists what was replaced."""

    place: str
    kept: Exchange


def try_rules(path: Path, redactor: Redactor) -> Iterator[Tried]:
    """Every exchange of the file as the log would have it. Raises BadInput where the file holds none."""
    for place, exchange in read_exchanges(path):
        yield Tried(place, redactor.redact(exchange))


def read_exchanges(path: Path) -> Iterator[tuple[str, Exchange]]:
    """(place, exchange) of a file in any format that `log import` reads, or of one plain HTTP/1 message."""
    from capture.sources import files

    message = _plain_message(path)
    if message is not None:
        yield "message", message
        return
    form = files.recognise(path)
    found = 0
    for record in files._module(form).read(path):
        if isinstance(record, Found):
            found += 1
            yield f"exchange {found}", record.exchange
        else:
            click.echo(f"understudy: {path}: {record.place}: {record.why}", err=True)


def _plain_message(path: Path) -> Exchange | None:
    """The one request or response that the file is, as text that somebody saved; None where it is something else."""
    if path.is_dir():
        return None
    first = head_of(path).split(b"\n", 1)[0].rstrip(b"\r")
    words = first.split(b" ")
    is_response = first.startswith(b"HTTP/1.") and len(words) >= 2
    is_request = len(words) == 3 and words[2].startswith(b"HTTP/1.") and len(words[0]) <= _METHOD_BYTES_MAX
    if not is_response and not is_request:
        return None
    data = whole(path)
    head, gap, body = data.partition(b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n")
    if not gap:
        head = data
    if body.endswith(b"\n") and not body.endswith(b"\r\n"):
        body = body[:-1]  # what an editor puts at the end of a file
    lines = head.decode("latin-1").replace("\r\n", "\n").split("\n")
    fields = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon:
            raise BadInput(f"{path}: {line[:40]!r} is no header field; expected NAME: VALUE")
        fields.append((name, value.strip()))
    return _exchange(first.decode("latin-1"), tuple(fields), body, is_response)


def _exchange(first: str, headers: Headers, body: bytes, is_response: bool) -> Exchange:
    if is_response:
        version, _, rest = first.partition(" ")
        status, _, reason = rest.partition(" ")
        response = Response(int(status) if status.isdigit() else 0, reason, version, headers, body, len(body))
        return Exchange("", "", "try", 1.0, Request("GET", "/", version, ()), response, Times(0))
    method, target, version = first.split(" ")
    return Exchange("", "", "try", 1.0, Request(method, target, version, headers, body, len(body)), None, Times(0))


@click.command("rules", cls=Command, several={"--try": lambda word: not word.startswith("-")})
@click.option(
    "--try",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE...",
    help="A file with exchanges: our JSONL, anything that log import reads, or one plain HTTP message.",
)
@click.option("--redact", type=click.Choice(["off", "default", "strict"]), default=None, help="As for capture.")
@click.option("--redaction-key-file", type=click.Path(path_type=Path), default=None, help="As for capture.")
@click.option("--format", "form", type=click.Choice(["text", "jsonl"]), default="text", help="How to print; text.")
@click.pass_context
def rules(ctx: click.Context, /, files: tuple[Path, ...], form: str, **arguments: Any) -> None:
    """Check the redaction rules, and show what would be kept of the exchanges in a file.

    Secrets are shown as the pseudonyms that would be written. Without --try the rules themselves are printed.
    """
    settings = settings_of(ctx)
    config = build(RedactConfig, "redact", settings, {"mode": arguments["redact"]})
    capture = build(CaptureConfig, "capture", settings, {"redaction_key_file": arguments["redaction_key_file"]})
    if capture.redaction_key is None and capture.redaction_key_file is None:
        capture = dataclasses.replace(capture, redaction_key=secrets.token_hex(32))
    redactor = Redactor(config, Pseudonyms(redaction_key(with_redaction_key(capture))))
    if not files:
        _print_rules(config)
    for path in files:
        _print_tried(path, try_rules(path, redactor), form)
    sys.stdout.flush()


def _print_rules(config: RedactConfig) -> None:
    off = {rule.removeprefix("detector:") for rule in config.keep if rule.startswith("detector:")}
    click.echo(f"mode      {config.mode}")
    click.echo(f"keep      {', '.join(config.keep) or 'nothing by rule'}")
    click.echo(f"fields    {', '.join(config.fields) or 'the known names of secrets alone'}")
    click.echo(f"headers   {', '.join(config.headers) or 'the known secret headers alone'}")
    click.echo(f"detectors {', '.join(name for name in DETECTORS if name not in off) or 'none'}")


def _print_tried(path: Path, tried: Iterator[Tried], form: str) -> None:
    from capture.log.cat_text import text_of
    from capture.log.jsonl import line_of
    from capture.log.text import printable

    count = replaced = 0
    for one in tried:
        count += 1
        replaced += bool(one.kept.redacted)
        if form == "jsonl":
            click.echo(line_of(one.kept).decode(), nl=False)
            continue
        click.echo(f"{printable(str(path))}: {one.place}")
        click.echo(text_of(one.kept).rstrip("\n"))
        for place in one.kept.redacted:
            click.echo(f"  replaced {printable(place)}")
        click.echo("" if one.kept.redacted else "  nothing replaced\n")
    click.echo(f"understudy: {path}: {count} exchanges, {replaced} with something replaced", err=True)
