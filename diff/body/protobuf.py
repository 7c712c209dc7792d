"""Protobuf bodies and gRPC messages: by field names where the type is known, else by field numbers."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final

from capture.packed.grpc_frames import COMPRESSED, TRAILERS, read_frames
from capture.packed.items import Broken
from capture.packed.text import text_of
from diff.body.kinds import parse_content_type
from diff.body.reading import Unreadable, read_both
from diff.body.schema import decode_message
from diff.body.tree import compare_values
from diff.body.wire import Field, Fields, as_double, as_float, parse_fields, parse_varint
from diff.collector import Collector
from diff.difference import MISSING, Path
from diff.lists import align, mirrored
from diff.options import CompareOptions

__all__ = ["compare_grpc", "compare_protobuf", "parse_frames"]

_DEPTH_MAX: Final = 100
_FRAMES_MAX: Final = 100_000


def compare_protobuf(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Add the differences of two protobuf bodies; of rows of messages where the Content-Type says `delimited`.

    The type of the message is that of the Content-Type (its parameter proto, messageType or message), else of the
    options. Without it a path is made of field numbers, ["3"], with an index where the field repeats.
    Raises Unreadable, TooManyDifferences.
    """
    name = _message_type(left_type) or _message_type(right_type) or options.message_type
    if parse_content_type(left_type).parameters.get("encoding") == "delimited":
        rows = read_both(lambda body, _: _delimited(body), left, right)
        _compare_rows(*rows, name, collector, options)
    else:
        _compare_messages(left, right, name, collector, options)


def compare_grpc(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two gRPC bodies, message by message, the index of the message first in the path.

    Raises Unreadable, TooManyDifferences.
    """
    frames = read_both(lambda body, _: parse_frames(body, options.body_bytes_max), left, right)
    _compare_rows(*frames, options.message_type, collector, options)


def parse_frames(body: bytes, bytes_max: int) -> list[bytes]:
    """The messages of a gRPC body (the gRPC over HTTP/2 protocol, "Length-Prefixed-Message"), uncompressed where they
    were compressed with gzip or deflate; the trailers of gRPC-Web are left out. Raises Unreadable."""
    try:
        return _messages(body, bytes_max)
    except Broken as error:
        raise Unreadable(str(error)) from None


def _messages(body: bytes, bytes_max: int) -> list[bytes]:
    messages: list[bytes] = []
    room = bytes_max
    for flags, start, end in read_frames(body, cut_off=False):
        message = body[start:end]
        if flags & COMPRESSED:
            message = _inflated(message, room)
        room -= len(message)
        if room < 0 or len(messages) >= _FRAMES_MAX:
            raise Unreadable(f"gRPC messages of more than {bytes_max} bytes, or more than {_FRAMES_MAX}")
        if not flags & TRAILERS:
            messages.append(message)
    return messages


def _inflated(message: bytes, bytes_max: int) -> bytes:
    inflater = zlib.decompressobj(32 + zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(message, bytes_max + 1)
    except zlib.error:
        return message  # Another coding than gzip and deflate: compared as it was sent.
    return inflated


def _message_type(content_type: str | None) -> str | None:
    parameters = parse_content_type(content_type).parameters
    return parameters.get("proto") or parameters.get("messagetype") or parameters.get("message")


def _delimited(body: bytes) -> list[bytes]:
    messages: list[bytes] = []
    at = 0
    while at < len(body):
        length, at = parse_varint(body, at)
        if at + length > len(body) or len(messages) >= _FRAMES_MAX:
            raise Unreadable(f"not delimited protobuf: the message at byte {at} goes beyond the end")
        messages.append(body[at : at + length])
        at += length
    return messages


def _compare_rows(
    left: list[bytes], right: list[bytes], name: str | None, collector: Collector, options: CompareOptions
) -> None:
    walk = _Walk(collector, options)

    def shown(message: bytes) -> Any:
        return _decode(options, name, message) if _is_known(options, name) else _shown(("bytes", message))

    def compare(mine: bytes, other: bytes, path: Path) -> None:
        outer = collector.prefix
        collector.prefix = (*outer, *path)
        try:
            _compare_messages(mine, other, name, collector, options)
        finally:
            collector.prefix = outer

    walk.rows(left, right, (), always_index=True, compare=compare, shown=shown)


def _is_known(options: CompareOptions, name: str | None) -> bool:
    return options.schema is not None and name is not None and name in options.schema.messages


def _decode(options: CompareOptions, name: str | None, message: bytes) -> dict[str, Any]:
    assert options.schema is not None
    assert name is not None
    return decode_message(options.schema, name, message)


def _compare_messages(
    left: bytes, right: bytes, name: str | None, collector: Collector, options: CompareOptions
) -> None:
    if _is_known(options, name):
        compare_values(*read_both(lambda body, _: _decode(options, name, body), left, right), collector, options)
        return
    if options.schema is not None:
        collector.note(
            f"message type {(name or 'none')[:100]!r} is not in the descriptor set; compared by field numbers"
        )
    mine, other = read_both(lambda body, _: parse_fields(body), left, right)
    _Walk(collector, options).fields(mine, other, (), 0)


class _Walk:
    __slots__ = ("_collector", "_options")

    def __init__(self, collector: Collector, options: CompareOptions) -> None:
        self._collector = collector
        self._options = options

    def fields(self, left: Fields, right: Fields, path: Path, depth: int) -> None:
        if depth > _DEPTH_MAX:
            raise Unreadable("protobuf messages nested too deep", ("left", "right"))
        for number in sorted(left.keys() | right.keys()):
            mine, other = left.get(number, []), right.get(number, [])
            if mine != other:
                self.rows(
                    mine,
                    other,
                    (*path, str(number)),
                    always_index=False,
                    compare=lambda one, two, at: self._pair(one, two, at, depth),
                    shown=_shown,
                )

    def rows(
        self,
        left: list[Any],
        right: list[Any],
        path: Path,
        *,
        always_index: bool,
        compare: Callable[[Any, Any, Path], None],
        shown: Callable[[Any], Any],
    ) -> None:
        """The values of one field number, or the messages of a stream, in order."""
        indexed = always_index or len(left) > 1 or len(right) > 1
        keys = [[repr(value) for value in side] for side in (left, right)]
        limit = self._options.align_work_max
        if keys[0] <= keys[1]:
            alignment = align(keys[0], keys[1], lambda i, j: _alike(left[i], right[j]), limit)
        else:
            alignment = mirrored(align(keys[1], keys[0], lambda j, i: _alike(left[i], right[j]), limit))
        add = self._collector.add
        if alignment.by_position:
            self._collector.limit(f"{len(left)} against {len(right)} values were compared by position")
        if alignment.moved:
            add(path, "order", [shown(value) for value in left], [shown(value) for value in right])
        for at_left, at_right in alignment.pairs(len(left), len(right)):
            compare(left[at_left], right[at_right], (*path, at_left) if indexed else path)
        for index in alignment.missing:
            add((*path, index) if indexed else path, "missing", shown(left[index]))
        for index in alignment.extra:
            add((*path, index) if indexed else path, "extra", MISSING, shown(right[index]))

    def _pair(self, left: Field, right: Field, path: Path, depth: int) -> None:
        if left == right:
            return
        if left[0] != right[0]:
            self._collector.add(path, "type", _shown(left), _shown(right))
            return
        mine, other = _inner(left), _inner(right)
        if mine is not None and other is not None:
            self.fields(mine, other, path, depth + 1)
        else:
            self._collector.add(path, "value", _shown(left), _shown(right))


def _inner(field: Field) -> Fields | None:
    """The fields of a group, or of bytes that are a message as far as one can see without its type."""
    value = field[1]
    if isinstance(value, dict):
        return value
    if isinstance(value, int) or text_of(value) is not None:
        return None
    try:
        return parse_fields(value)
    except Unreadable:
        return None


def _alike(left: Any, right: Any) -> float:
    return 0.4 if left[:1] == right[:1] else 0.0


def _shown(field: Field) -> Any:
    """A field as it reads without its type; of a fixed-width one both readings."""
    wire_type, value = field
    if isinstance(value, bytes):
        text = text_of(value)
        return value if text is None else text
    if isinstance(value, dict):
        return {str(number): [_shown(inner) for inner in values] for number, values in value.items()}
    if wire_type == "fixed64":
        return {"fixed64": value, "double": as_double(value)}
    if wire_type == "fixed32":
        return {"fixed32": value, "float": as_float(value)}
    return value
