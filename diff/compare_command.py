"""The command `understudy compare`: two bodies in two files, by the rules that diff uses."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import click

from capture.cli import Command, readers_may_leave
from capture.config import nearest
from capture.errors import BadInput, UsageError
from diff.body.reading import Unreadable
from diff.body.schema import Schema, parse_schema
from diff.compare import CompareOptions, Comparison, compare_bodies
from diff.difference import MISSING, Difference, format_path, jsonable
from diff.report.escape import shown_pair, visible

__all__ = ["as_json", "as_text", "compare", "content_type_of"]

_FILE_BYTES_MAX: Final = 1 << 30
_SHOWN_CHARACTERS_MAX: Final = 200
_MAKE_ONE: Final = "make one with protoc --include_imports --descriptor_set_out=FILE"
_EXIT_CODES: Final = {"equal": 0, "different": 1, "inconclusive": 3}

# RFC 2046, section 5.1.1, but for blanks, which nobody uses.
_FIRST_BOUNDARY: Final = re.compile(rb"(?:\r?\n)?--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*\r?\n")

_TYPES: Final = {
    ".json": "application/json",
    ".ndjson": "application/x-ndjson",
    ".jsonl": "application/x-ndjson",
    ".html": "text/html",
    ".htm": "text/html",
    ".xml": "application/xml",
    ".svg": "image/svg+xml",
    ".msgpack": "application/msgpack",
    ".cbor": "application/cbor",
    ".pb": "application/x-protobuf",
    ".sse": "text/event-stream",
}


@click.command(cls=Command)
@click.argument("left", type=click.Path(path_type=Path))
@click.argument("right", type=click.Path(path_type=Path))
@click.option(
    "--type", "content_type", metavar="CONTENT_TYPE", help="Content-Type of both; by default by their content."
)
@click.option("--json", "json_output", is_flag=True, help="An array of {path, kind, left, right}.")
@click.option("--strict-numbers", is_flag=True, help="1 and 1.0 differ.")
@click.option(
    "--descriptor-set",
    type=click.Path(path_type=Path),
    help="Types of protobuf messages, as protoc --descriptor_set_out writes them.",
)
@click.option("--message", metavar="TYPE", help="Full name of the protobuf type of both; needs --descriptor-set.")
@click.pass_context
def compare(
    ctx: click.Context,
    left: Path,
    right: Path,
    content_type: str | None,
    json_output: bool,
    strict_numbers: bool,
    descriptor_set: Path | None,
    message: str | None,
) -> None:
    """Compare two bodies, by the rules that diff uses.

    Exit codes: 0 equal, 1 different, 2 wrong use or a file that cannot be read, 3 a limit bit before a difference was
    found.
    """
    schema = None if descriptor_set is None else _read_schema(descriptor_set)
    if message is not None and (schema is None or message not in schema.messages):
        raise _unknown_message(message, descriptor_set, schema)
    if message is not None and content_type is None:
        content_type = "application/x-protobuf"
    mine, other = _read(left), _read(right)
    comparison = compare_bodies(
        mine,
        other,
        _with_own_boundary(content_type or content_type_of(left), mine),
        _with_own_boundary(content_type or content_type_of(right), other),
        CompareOptions(strict_numbers=strict_numbers, schema=schema, message_type=message),
    )
    for text in (*comparison.notes, *(f"limit: {limit}" for limit in comparison.limits)):
        click.echo(f"compare: {visible(text, 2000)}", err=True)
    with readers_may_leave():
        click.echo(as_json(comparison) if json_output else as_text(comparison))
    ctx.exit(_EXIT_CODES[comparison.verdict])


def content_type_of(path: Path) -> str | None:
    """The content type that a file's name stands for; None lets the content decide."""
    return _TYPES.get(path.suffix.lower())


def _with_own_boundary(content_type: str | None, body: bytes) -> str | None:
    """The type of a multipart body with the boundary that its first line has: two bodies hardly ever have the same."""
    if content_type is None or not content_type.lower().startswith("multipart/"):
        return content_type
    first = _FIRST_BOUNDARY.match(body)
    return content_type if first is None else f'{content_type.partition(";")[0]}; boundary="{first[1].decode()}"'


def as_json(comparison: Comparison) -> str:
    """The array of the contract, one difference a line, in ASCII."""
    rows = [json.dumps(_row(difference), allow_nan=False) for difference in comparison.differences]
    return "[" + ",\n ".join(rows) + "]"


def as_text(comparison: Comparison) -> str:
    """One line a difference, with nothing in it that could steer a terminal; the verdict alone where there is none."""
    if not comparison.differences:
        return comparison.verdict
    return "\n".join(_line(difference) for difference in comparison.differences)


def _row(difference: Difference) -> dict[str, Any]:
    return {
        "path": format_path(difference),
        "kind": difference.kind,
        "left": jsonable(difference.left),
        "right": jsonable(difference.right),
    }


def _line(difference: Difference) -> str:
    values = (difference.left, difference.right)
    pair = shown_pair(jsonable(values[0]), jsonable(values[1]), _SHOWN_CHARACTERS_MAX)
    sides = " -> ".join(text for text, value in zip(pair, values, strict=True) if value is not MISSING)
    path = format_path(difference)
    return f"{visible(path, len(path))}  {difference.kind}  {sides}"


def _read_schema(path: Path) -> Schema:
    try:
        schema = parse_schema(_read(path))
    except Unreadable as error:
        raise BadInput(
            f"{path}: not a descriptor set: {error}\nmake one with protoc --include_imports -o FILE"
        ) from None
    if not schema.messages:
        raise BadInput(f"{path}: a descriptor set without messages\n{_MAKE_ONE}")
    return schema


def _unknown_message(message: str, path: Path | None, schema: Schema | None) -> UsageError:
    if schema is None:
        return UsageError(f"--message {message}: its type is not known\ngive --descriptor-set FILE as well")
    return UsageError(f"--message {message}: not in {path}\n{nearest(message, list(schema.messages))}")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(_FILE_BYTES_MAX + 1)
    except IsADirectoryError:
        raise BadInput(f"{path}: is a directory\ncompare takes two files, each with one body") from None
    except OSError as error:
        raise BadInput(
            f"{path}: cannot be read: {error.strerror}\ncompare takes two files, each with one body"
        ) from None
    if len(body) > _FILE_BYTES_MAX:
        raise BadInput(f"{path}: longer than {_FILE_BYTES_MAX} bytes\ncompare takes bodies up to that length") from None
    return body
