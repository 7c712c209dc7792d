"""Choose how two bodies are compared, and fall back to a plainer way, saying so, where one is not what it should be."""

from __future__ import annotations

from diff.body.binary import compare_binary, describe
from diff.body.json_text import NotJson, compare_json
from diff.body.kinds import Kind, kind_of, parse_content_type
from diff.body.text import compare_text, decode_text
from diff.collector import Collector, TooManyDifferences
from diff.options import CompareOptions

__all__ = ["compare_content"]


def compare_content(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Add the differences of two decoded bodies to the collector; the types are Content-Type values or None."""
    if left == right:
        return
    collector.place = "body"
    longest = max(len(left), len(right))
    if longest > options.body_bytes_max:
        collector.limit(f"a body of {longest} bytes is longer than {options.body_bytes_max}; compared as bytes")
        compare_binary(left, right, collector)
        return
    if not left or not right:
        kind, body = ("extra", right) if not left else ("missing", left)
        shown = _shown(body, right_type if not left else left_type)
        if kind == "extra":
            collector.add((), "extra", right=shown)
        else:
            collector.add((), "missing", shown)
        return
    left_kind, right_kind = kind_of(left_type, left), kind_of(right_type, right)
    try:
        if left_kind == right_kind:
            _compare_kind(left_kind, left, right, left_type, right_type, collector, options)
        else:
            _compare_kinds(left_kind, right_kind, left, right, left_type, right_type, collector, options)
    except TooManyDifferences:
        pass


def _shown(body: bytes, content_type: str | None) -> object:
    """A whole body as the value of a difference: short text as it is, else a description."""
    if len(body) <= 65536 and kind_of(content_type, body) != "binary":
        return decode_text(body, parse_content_type(content_type).charset)[0]
    return describe(body)


def _compare_kind(
    kind: Kind,
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    before = len(collector.differences)
    if kind == "json":
        try:
            compare_json(left, right, collector, options)
            return
        except NotJson as error:
            collector.rewind(before)
            collector.note(f"{error}; compared as text")
            kind = "text"
    if kind == "binary":
        compare_binary(left, right, collector)
        return
    _compare_as_text(left, right, left_type, right_type, collector, options)


def _compare_as_text(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    texts = []
    for side, body, content_type in (("left", left, left_type), ("right", right, right_type)):
        text, problem = decode_text(body, parse_content_type(content_type).charset)
        if problem is not None:
            collector.note(f"{problem} ({side})")
        texts.append(text)
    compare_text(texts[0], texts[1], collector, options)


def _compare_kinds(
    left_kind: Kind,
    right_kind: Kind,
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Two kinds of content: one difference of type, unless it is only the label that changed."""
    by_content = kind_of(None, left)
    if by_content == kind_of(None, right) and by_content in ("json", "xml", "html"):
        collector.note(f"declared as {left_kind} and {right_kind}, compared as {by_content}")
        _compare_kind(by_content, left, right, left_type, right_type, collector, options)
        return
    collector.note(f"{left_kind} against {right_kind}: the contents are not compared")
    collector.add((), "type", _shown(left, left_type), _shown(right, right_type))
