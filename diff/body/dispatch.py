"""Choose how two bodies are compared, and fall back to a plainer way, saying so, where one is not what it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from diff.body.binary import compare_binary, describe
from diff.body.cbor import compare_cbor
from diff.body.form import compare_form, compare_multipart
from diff.body.html import compare_html
from diff.body.json_parser import looks_like_json
from diff.body.json_text import compare_json
from diff.body.kinds import Kind, kind_of, parse_content_type
from diff.body.messagepack import compare_messagepack
from diff.body.protobuf import compare_grpc, compare_protobuf
from diff.body.reading import Unreadable
from diff.body.records import compare_events, compare_ndjson
from diff.body.text import compare_text, decode_text
from diff.body.xml import compare_xml
from diff.collector import Collector, TooManyDifferences
from diff.difference import MISSING
from diff.options import CompareOptions

__all__ = ["compare_content"]

_SHOWN_BYTES_MAX: Final = 65_536


def compare_content(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Add the differences of two decoded bodies to the collector; the types are Content-Type values or None.

    Never raises for what is in the bodies: what cannot be read as its kind is compared in a plainer way, with a note.
    """
    collector.place = "body"
    try:
        _compare(left, right, left_type, right_type, collector, options)
    except TooManyDifferences:
        pass


def _compare(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    longest = max(len(left), len(right))
    if left == right:
        return
    if longest > options.body_bytes_max:
        collector.limit(f"a body of {longest} bytes is longer than {options.body_bytes_max}; compared as bytes")
        compare_binary(left, right, collector)
    elif not left:
        collector.add((), "extra", MISSING, _shown(right, right_type))
    elif not right:
        collector.add((), "missing", _shown(left, left_type))
    else:
        left_kind, right_kind = kind_of(left_type, left), kind_of(right_type, right)
        kind = left_kind if left_kind == right_kind else _kind_by_content(left, right)
        if kind is None:
            collector.note(f"{left_kind} against {right_kind}: the contents are not compared")
            collector.add((), "type", _shown(left, left_type), _shown(right, right_type))
            return
        if left_kind != right_kind:
            collector.note(f"declared as {left_kind} and {right_kind}, compared as {kind}")
        if kind in _IN_CHARSETS and _charset(left_type) != _charset(right_type):
            own = left_type, right_type
            left_type, right_type = _types_to_read_by(kind, left, right, left_type, right_type, options)
            if (left_type, right_type) != own:
                collector.note("other charsets are declared, but these are the same bytes; read in one")
        _compare_as(kind, left, right, left_type, right_type, collector, options)


def _charset(content_type: str | None) -> str:
    return parse_content_type(content_type).charset or ""


def _types_to_read_by(
    kind: Kind, left: bytes, right: bytes, left_type: str | None, right_type: str | None, options: CompareOptions
) -> tuple[str | None, str | None]:
    """Each by its own charset, or both by one of the two, as they are most alike.

    A label that is another on the same bytes is a change of the header alone, and not of each text that has an umlaut.
    """
    types = sorted((left_type, right_type), key=_charset)
    ways = [(left_type, right_type), *((one, one) for one in types)]
    counts = []
    for way in ways:
        trial = Collector(options.differences_max)
        try:
            _compare_as(kind, left, right, *way, trial, options)
        except TooManyDifferences:
            pass
        counts.append(len(trial.differences))
    return ways[counts.index(min(counts))]


def _kind_by_content(left: bytes, right: bytes) -> Kind | None:
    """The kind that both bodies are by their content where their labels differ; None where there is none."""
    kind = kind_of(None, left)
    return kind if kind == kind_of(None, right) and kind in ("json", "xml", "html") else None


_Compare: TypeAlias = Callable[[bytes, bytes, str | None, str | None, Collector, CompareOptions], None]


def _without_types(compare: Callable[[bytes, bytes, Collector, CompareOptions], None]) -> _Compare:
    def compare_ignoring_types(
        left: bytes, right: bytes, _left: str | None, _right: str | None, collector: Collector, options: CompareOptions
    ) -> None:
        compare(left, right, collector, options)

    return compare_ignoring_types


def _compare_parts(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    compare_multipart(left, right, left_type, right_type, collector, options, _compare)


def _compare_texts(
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


_WAYS: Final[dict[Kind, _Compare]] = {
    "json": _without_types(compare_json),
    "ndjson": _without_types(compare_ndjson),
    "events": _without_types(compare_events),
    "html": compare_html,
    "xml": compare_xml,
    "msgpack": _without_types(compare_messagepack),
    "cbor": _without_types(compare_cbor),
    "protobuf": compare_protobuf,
    "grpc": _without_types(compare_grpc),
    "form": _without_types(compare_form),
    "multipart": _compare_parts,
    "text": _compare_texts,
    "binary": _without_types(lambda left, right, collector, _: compare_binary(left, right, collector)),
}
_IN_CHARSETS: Final = frozenset({"html", "xml", "text"})
_NO_TEXT: Final = frozenset({"binary", "protobuf", "grpc", "msgpack", "cbor"})
_BYTES_WHEN_UNREADABLE: Final = frozenset({"multipart", "protobuf", "grpc", "msgpack", "cbor"})


def _compare_as(
    kind: Kind,
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    if (
        kind in ("text", "html")
        and looks_like_json(left)
        and _try_mislabelled(compare_json, left, right, collector, options)
    ):
        collector.note(f"declared as {kind}, compared as json")
        return
    before = len(collector.differences)
    try:
        if kind == "json":  # What most bodies are: it has no need of the types.
            compare_json(left, right, collector, options)
        else:
            _WAYS[kind](left, right, left_type, right_type, collector, options)
    except (Unreadable, RecursionError) as problem:
        collector.rewind(before)
        error = problem if isinstance(problem, Unreadable) else Unreadable(f"{kind} nested too deep")
        if kind == "json" and _try_mislabelled(compare_ndjson, left, right, collector, options):
            collector.note("not one JSON text but one a line; compared as ndjson")
        elif len(error.sides) == 1:
            collector.note(f"the {error.sides[0]} body is unreadable: {error}")
            collector.add((), "type", _shown(left, left_type), _shown(right, right_type))
        else:
            plainer: Kind = "binary" if kind in _BYTES_WHEN_UNREADABLE else "text"
            collector.note(f"{error}; compared as {plainer}")
            _WAYS[plainer](left, right, left_type, right_type, collector, options)


def _try_mislabelled(
    compare: Callable[[bytes, bytes, Collector, CompareOptions], None],
    left: bytes,
    right: bytes,
    collector: Collector,
    options: CompareOptions,
) -> bool:
    """Compare bodies as what they may be in spite of their label; True where that is what they are."""
    before = len(collector.differences)
    try:
        compare(left, right, collector, options)
    except Unreadable:
        collector.rewind(before)
        return False
    return True


def _shown(body: bytes, content_type: str | None) -> Any:
    """A whole body as the value of a difference: short text as it is, else a description."""
    if len(body) <= _SHOWN_BYTES_MAX and kind_of(content_type, body) not in _NO_TEXT:
        return decode_text(body, parse_content_type(content_type).charset)[0]
    return describe(body)
