"""Compare what came of two streams until they were left: as far as both go, event by event, and what kinds there are.

How much comes of a stream until a moment is a matter of time, so its length is no difference, nor is an event that was
cut in the middle. What both builds have sent is compared as any other content.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from capture.packed.grpc_frames import HEAD_BYTES, read_frames
from diff.body.dispatch import compare_content
from diff.body.kinds import Kind, kind_of
from diff.collector import Collector
from diff.difference import MISSING
from diff.options import CompareOptions

__all__ = ["compare_streams"]

_BLANK: Final = re.compile(rb"(?:\r\n|\n|\r){2}")
_NAME: Final = re.compile(rb"^event:[ ]?([^\r\n]*)", re.MULTILINE)
_SAYS: Final = re.compile(rb"^(?!:)[^\r\n]", re.MULTILINE)
_SHOWN_BYTES_MAX: Final = 2_000


def compare_streams(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    whole: tuple[bool, bool],
    patient: tuple[bool, bool],
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Add what differs in that part of two decoded bodies that both have.

    whole: which of them ended by itself; its last piece counts also without what ends a piece. patient: which of them,
    where it has fewer pieces, has them for another reason than time: it ended, or was listened to for longer than the
    other. Where one build has sent nothing and the other something, that is a difference. Of server-sent events that
    come in another order of kinds those of one kind are compared with each other; a kind that one build lacks though it
    had sent as many events by then is a difference.
    """
    kind = kind_of(left_type, left) if left else kind_of(right_type, right)
    cut = _CUTS.get(kind, _cut_lines if kind in _OF_LINES else None)
    if cut is None:
        shorter = min(len(left), len(right))
        compare_content(left[:shorter], right[:shorter], left_type, right_type, collector, options)
        if patient[len(left) > shorter] and len(left) != len(right):
            collector.place = "body"
            collector.add((), "length", len(left), len(right))
        return
    mine, other = cut(left, whole[0]), cut(right, whole[1])
    collector.place = "body"
    if not mine or not other:
        if mine:
            collector.add((0,), "missing", _shown(mine[0]), MISSING)
        elif other:
            collector.add((0,), "extra", MISSING, _shown(other[0]))
        return
    both = min(len(mine), len(other))
    if len(mine) > both and patient[1]:
        collector.add((both,), "missing", _shown(mine[both]), MISSING)
    elif len(other) > both and patient[0]:
        collector.add((both,), "extra", MISSING, _shown(other[both]))
    names, other_names = ([_name(piece) for piece in pieces] if kind == "events" else [] for pieces in (mine, other))
    if names[:both] == other_names[:both]:
        compare_content(b"".join(mine[:both]), b"".join(other[:both]), left_type, right_type, collector, options)
        return
    _tell_lacking(mine, names, other_names, "missing", collector)
    _tell_lacking(other, other_names, names, "extra", collector)
    for name in dict.fromkeys(names):
        ours = [piece for piece, one in zip(mine, names, strict=True) if one == name]
        theirs = [piece for piece, one in zip(other, other_names, strict=True) if one == name]
        both = min(len(ours), len(theirs))
        compare_content(b"".join(ours[:both]), b"".join(theirs[:both]), left_type, right_type, collector, options)


def _tell_lacking(
    pieces: Sequence[bytes], names: Sequence[bytes], others: Sequence[bytes], kind: str, collector: Collector
) -> None:
    """Tell kinds of events that the other side should have had by the time it was left."""
    for name in Counter(names):
        first = names.index(name)
        if name not in others and first < len(others):
            value = _shown(pieces[first])
            if kind == "missing":
                collector.add((first,), "missing", value, MISSING)
            else:
                collector.add((first,), "extra", MISSING, value)


def _name(event: bytes) -> bytes:
    found = _NAME.search(event)
    return found[1] if found is not None else b"message"


def _shown(piece: bytes) -> str:
    return piece[:_SHOWN_BYTES_MAX].decode("utf-8", "replace").strip()


def _cut_events(body: bytes, whole: bool) -> list[bytes]:
    """The events, each with the blank line that ends it; comments, which only keep a connection open, are left out."""
    events, start = [], 0
    for end in _BLANK.finditer(body):
        events.append(body[start : end.end()])
        start = end.end()
    if whole and body[start:].strip():
        events.append(body[start:] + b"\n\n")
    return [event for event in events if _SAYS.search(event) is not None]


def _cut_lines(body: bytes, whole: bool) -> list[bytes]:
    """The lines that say something, each with its end."""
    lines = body.splitlines(keepends=True)
    if lines and not whole and not lines[-1].endswith((b"\n", b"\r")):
        lines.pop()
    return [line if line.endswith((b"\n", b"\r")) else line + b"\n" for line in lines if line.strip()]


def _cut_sequence(body: bytes, whole: bool) -> list[bytes]:
    """The texts behind record separators (RFC 7464), or lines where there is none."""
    if not body.startswith(b"\x1e"):
        return _cut_lines(body, whole)
    texts = [b"\x1e" + text for text in body.split(b"\x1e")[1:]]
    return texts if whole or body.endswith(b"\n") else texts[:-1]


def _cut_messages(body: bytes, whole: bool) -> list[bytes]:
    """The messages of a gRPC body that are there to their last byte."""
    return [body[start - HEAD_BYTES : end] for _, start, end in read_frames(body, cut_off=True)]


_CUTS: Final[dict[Kind, Callable[[bytes, bool], list[bytes]]]] = {
    "events": _cut_events,
    "ndjson": _cut_sequence,
    "grpc": _cut_messages,
}
_OF_LINES: Final = frozenset({"json", "text", "html", "xml"})
