"""Bodies that are a row of JSON texts (NDJSON, JSON text sequences) and streams of server-sent events."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from diff.body.json_parser import Facts, looks_like_json, parse_json
from diff.body.json_text import compare_plain
from diff.body.reading import Side, Unreadable, read_both
from diff.body.text import decode_text, split_lines
from diff.body.tree import compare_values
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["compare_events", "compare_ndjson", "parse_events", "parse_ndjson"]

_RECORD_SEPARATOR: Final = b"\x1e"
_DECODE_LINES: Final = msgspec.json.Decoder().decode_lines


def compare_ndjson(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two bodies of one JSON text a line, as of two lists of their values.

    Raises Unreadable where a line is not JSON, TooManyDifferences.
    """
    if compare_plain(left, right, _DECODE_LINES, collector, options):
        return
    facts = Facts()
    records = read_both(lambda body, side: parse_ndjson(body, options, facts, side), left, right)
    _compare_lists(*records, collector, options)
    facts.tell(collector)


def compare_events(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two event streams, as of two lists of events; data that is JSON is compared as JSON."""
    facts = Facts()
    _compare_lists(
        parse_events(left, options, facts, "left"), parse_events(right, options, facts, "right"), collector, options
    )
    facts.tell(collector)


def _compare_lists(left: list[Any], right: list[Any], collector: Collector, options: CompareOptions) -> None:
    before = len(collector.differences)
    try:
        compare_values(left, right, collector, options)
    except RecursionError:
        collector.rewind(before)
        raise Unreadable("nested too deep", ("left", "right")) from None


def parse_ndjson(body: bytes, options: CompareOptions, facts: Facts, side: Side) -> list[Any]:
    """The values of a body of JSON texts, one a line or each after a record separator (RFC 7464). Raises Unreadable."""
    separator = _RECORD_SEPARATOR if body.startswith(_RECORD_SEPARATOR) else b"\n"
    values = []
    for number, record in enumerate(body.split(separator), 1):
        if record.strip():
            try:
                values.append(parse_json(record, options, facts, side))
            except Unreadable as error:
                raise Unreadable(f"record {number} is {error}") from None
    return values


def parse_events(body: bytes, options: CompareOptions, facts: Facts, side: Side) -> list[dict[str, Any]]:
    """The events of a stream by the rules of the HTML standard, section 9.2.6: {"event", "data", "id", "retry"}.

    Comments, which only keep a connection open, are left out. Other than a browser, an event at the end without its
    blank line is kept: it was sent. id and retry are there where a line for them is.
    """
    text, problem = decode_text(body, None)
    if problem is not None:
        facts.say(problem, side)
    events: list[dict[str, Any]] = []
    event: dict[str, Any] = {}
    data: list[str] = []
    for line in [*split_lines(text), ""]:
        if not line:
            if event or data:
                events.append({"event": "message", **event, "data": _data("\n".join(data), options, facts, side)})
            event, data = {}, []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field:
            event[field] = value
    return events


def _data(text: str, options: CompareOptions, facts: Facts, side: Side) -> Any:
    raw = text.encode("utf-8", "surrogatepass")
    if not looks_like_json(raw):
        return text
    try:
        return parse_json(raw, options, facts, side)
    except Unreadable:
        return text
