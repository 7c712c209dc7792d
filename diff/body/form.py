"""Bodies of HTML forms: fields by name, and the parts of a multipart body, each by its own kind."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec

from capture.exchange import Headers, header
from diff.body.kinds import parse_content_type
from diff.body.reading import Unreadable, read_both
from diff.body.tree import compare_values
from diff.collector import Collector
from diff.difference import MISSING, Path
from diff.headers import compare_headers
from diff.options import CompareOptions

__all__ = ["CompareContent", "Part", "compare_form", "compare_multipart", "parse_form", "parse_multipart"]

CompareContent: TypeAlias = Callable[[bytes, bytes, str | None, str | None, Collector, CompareOptions], None]

_FIELDS_MAX: Final = 100_000
_PARTS_MAX: Final = 10_000
_NESTING_MAX: Final = 4


def compare_form(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two urlencoded bodies. The order of values of one name counts, that of names does not.

    Raises Unreadable, TooManyDifferences.
    """
    mine, other = read_both(lambda body, _: parse_form(body), left, right)
    fields: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name in [*mine, *(name for name in other if name not in mine)]:
        single = len(mine.get(name, "1")) == 1 == len(other.get(name, "1"))
        for values, into in zip((mine, other), fields, strict=True):
            if name in values:
                into[name] = values[name][0] if single else values[name]
    compare_values(*fields, collector, options)


def parse_form(body: bytes) -> dict[str, list[str]]:
    """Names to their values, in order (WHATWG URL, section 5.1). Raises Unreadable where there are too many."""
    fields: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(
            body.decode("latin-1"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="surrogateescape",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError:
        raise Unreadable(f"a form of more than {_FIELDS_MAX} fields") from None
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


class Part(msgspec.Struct, frozen=True, gc=False):
    """One part of a multipart body. name: of its form field, None where it has none."""

    name: str | None
    headers: Headers
    body: bytes


def parse_multipart(body: bytes, boundary: str) -> list[Part]:
    """The parts between the boundaries (RFC 2046, section 5.1.1), without preamble and epilogue. Raises Unreadable."""
    if not boundary:
        raise Unreadable("a multipart body without a boundary in its Content-Type")
    line = re.escape(b"--" + boundary.encode("latin-1", "replace"))
    # The line end before a delimiter belongs to it; the one after it is only looked at, it may belong to the next.
    delimiters = list(islice(re.finditer(rb"\r?\n" + line + rb"(--)?[ \t]*(?=\r?\n|\Z)", b"\n" + body), _PARTS_MAX + 1))
    if not delimiters:
        raise Unreadable("a multipart body in which its boundary never stands")
    if len(delimiters) > _PARTS_MAX:
        raise Unreadable(f"a multipart body of {_PARTS_MAX} parts or more")
    closing = next((number for number, found in enumerate(delimiters) if found.group(1)), None)
    if closing is None:
        raise Unreadable("a multipart body that ends before its last boundary")
    whole = b"\n" + body
    return [_part(whole[one.end() : two.start()]) for one, two in pairwise(delimiters[: closing + 1])]


def _part(raw: bytes) -> Part:
    """A part from the line end after its delimiter to the one before the next (RFC 2046: headers may be missing)."""
    raw = raw.removeprefix(b"\r").removeprefix(b"\n")
    blank = re.search(rb"\A\r?\n|\r?\n\r?\n", raw)
    head, body = (raw[: blank.start()], raw[blank.end() :]) if blank else (raw, b"")
    fields = (line.decode("latin-1").partition(":") for line in head.splitlines())
    headers = tuple((name.strip(), value.strip()) for name, colon, value in fields if colon)
    disposition = parse_content_type(header(headers, "content-disposition"))
    return Part(disposition.parameters.get("name"), headers, body)


def compare_multipart(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
    compare_content: CompareContent,
) -> None:
    """Add the differences of two multipart bodies, part by part: of a form by field name, else by position.

    The path of a part is its name, and an index where the name repeats or there is none; then ["@header", name] for one
    of its headers, or the path within its body. The boundary itself is not compared. compare_content: compares what is
    in a part. Raises Unreadable, TooManyDifferences.
    """
    if len(collector.prefix) > _NESTING_MAX * 2:
        raise Unreadable(f"multipart bodies within each other more than {_NESTING_MAX} deep", ("left", "right"))
    boundaries = {"left": _boundary(left_type), "right": _boundary(right_type)}
    mine, other = read_both(lambda body, side: parse_multipart(body, boundaries[side]), left, right)
    left_parts, right_parts = _by_path(mine, other)
    outer = collector.prefix
    try:
        for path, part in left_parts.items():
            collector.prefix = (*outer, *path)
            if path not in right_parts:
                collector.add((), "missing", _shown(part))
            else:
                _compare_parts(part, right_parts[path], collector, options, compare_content)
        for path, part in right_parts.items():
            if path not in left_parts:
                collector.prefix = (*outer, *path)
                collector.add((), "extra", MISSING, _shown(part))
    finally:
        collector.prefix = outer


def _boundary(content_type: str | None) -> str:
    return parse_content_type(content_type).parameters.get("boundary", "")


def _by_path(left: list[Part], right: list[Part]) -> tuple[dict[Path, Part], dict[Path, Part]]:
    grouped: list[dict[str | None, list[Part]]] = [{}, {}]
    for parts, groups in zip((left, right), grouped, strict=True):
        for part in parts:
            groups.setdefault(part.name, []).append(part)
    repeated = {name for groups in grouped for name, parts in groups.items() if len(parts) > 1 or name is None}
    paths: list[dict[Path, Part]] = [{}, {}]
    for groups, into in zip(grouped, paths, strict=True):
        for name, parts in groups.items():
            start: Path = () if name is None else (name,)
            for index, part in enumerate(parts):
                into[(*start, index) if name in repeated else start] = part
    return paths[0], paths[1]


def _compare_parts(
    left: Part, right: Part, collector: Collector, options: CompareOptions, compare_content: CompareContent
) -> None:
    outer = collector.prefix
    collector.prefix = (*outer, "@header")
    compare_headers(left.headers, right.headers, collector)
    collector.prefix = outer
    types = header(left.headers, "content-type"), header(right.headers, "content-type")
    compare_content(left.body, right.body, *types, collector, options)


def _shown(part: Part) -> dict[str, Any]:
    return {"headers": dict(part.headers), "bytes": len(part.body)}
