"""JSON bodies, compared by value: fast where every parser understands them alike, exact where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from diff.body.json_parser import EXACT_MAX, NOT_PLAIN, Facts, hides_nothing, parse_json
from diff.body.reading import read_both
from diff.body.tree import compare_values
from diff.collector import Collector
from diff.difference import Difference, Kind
from diff.options import CompareOptions

__all__ = ["compare_json", "compare_plain"]

_DECODE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode
_ENCODE_SORTED: Final = msgspec.json.Encoder(order="sorted").encode
_MINIFY: Final = msgspec.json.format
_UNDONE_MAX: Final = 8


def compare_json(left: bytes, right: bytes, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two JSON bodies, which are not the same bytes.

    Raises Unreadable where one of them is not JSON, TooManyDifferences when the collector is full.
    """
    before = len(collector.differences)
    # Where lengths are nearly the same, indentation is not what differs, and the attempt is not worth it.
    if abs(len(left) - len(right)) >= len(left) >> 5 and _only_indented(left, right):
        return
    exact = False
    if compare_plain(left, right, _DECODE, collector, options):
        exact = not options.strict_numbers and _is_blurred(collector.differences, before)
        if not exact:
            return
        collector.rewind(before)
    facts = Facts()
    try:
        left_value, right_value = read_both(
            lambda body, side: parse_json(body, options, facts, side, exact=exact), left, right
        )
        compare_values(left_value, right_value, collector, options)
    except RecursionError:
        collector.rewind(before)
        left_value, right_value = read_both(
            lambda body, side: parse_json(body, options, facts, side, deep=True), left, right
        )
        compare_values(left_value, right_value, collector, options)
    facts.tell(collector)


def _is_blurred(differences: list[Difference], before: int) -> bool:
    """True where an integer stands against the double next to it: only digits tell whether they are one number."""
    for difference in differences[before:] if before else differences:
        left, right = difference.left, difference.right
        if left.__class__ is right.__class__ or difference.kind != "value":
            continue
        whole, real = (left, right) if left.__class__ is int else (right, left)
        if whole.__class__ is int and real.__class__ is float and abs(real) >= EXACT_MAX and _nearest(whole) == real:
            return True
    return False


def _nearest(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _only_indented(left: bytes, right: bytes) -> bool:
    """True where nothing but white space between tokens differs, known without making values of the texts."""
    try:
        return _MINIFY(left, indent=-1) == _MINIFY(right, indent=-1)
    except NOT_PLAIN:
        return False


def compare_plain(
    left: bytes, right: bytes, decode: Callable[[bytes], Any], collector: Collector, options: CompareOptions
) -> bool:
    """Compare what every parser understands alike, fast; False, and nothing added, where that is not all there is.

    decode: gives the value of a body, or raises one of msgspec's errors, UnicodeDecodeError or RecursionError.
    """
    before = len(collector.differences)
    try:
        left_value, right_value = decode(left), decode(right)
        left_text = _ENCODE(left_value)
        compact = left == left_text  # As most servers write it.
        if not compact and not hides_nothing(left, left_text):
            return False
        compare_values(left_value, right_value, collector, options, trusting=True)
        found = collector.differences[before:]
        if compact and len(found) == 1 and _is_the_only_one(found[0], left, right):
            return True
        if not found and _ENCODE_SORTED(left_value) == (right_text := _ENCODE_SORTED(right_value)):
            return hides_nothing(right, right_text)
        right_text = _ENCODE(right_value)
        if not hides_nothing(right, right_text):
            collector.rewind(before)
            return False
        if (
            left_text != right_text
            and _may_deceive(left_text, right_text, options)
            and not _is_all(found, len(collector.prefix), left_value, left_text, right_value)
        ):
            collector.rewind(before)
            compare_values(left_value, right_value, collector, options, faithful=True)
    except NOT_PLAIN:
        collector.rewind(before)
        return False
    return True


def _is_the_only_one(found: Difference, left: bytes, right: bytes) -> bool:
    """True where the right body is the left one, which is spelt as our encoder does, but for the value at that place.

    Then neither can hide anything, nor Python's == have taken one thing for another.
    """
    if found.kind != "value":
        return False
    mine, other = _ENCODE(found.left), _ENCODE(found.right)
    # Where the old value is spelt but once, that place is it.
    return left.count(mine) == 1 and left.replace(mine, other) == right


def _may_deceive(left_text: bytes, right_text: bytes, options: CompareOptions) -> bool:
    """Whether Python's == could have taken one thing for another: where there are booleans, or numbers are strict."""
    return (
        options.strict_numbers
        or b"true" in left_text
        or b"true" in right_text
        or b"false" in left_text
        or b"false" in right_text
    )


def _is_all(found: list[Difference], prefix: int, left_value: Any, left_text: bytes, right_value: Any) -> bool:
    """True where the differences found are surely all: with them undone, the right is spelt as the left.

    A comparison that trusts Python's == may have taken True for 1; undoing a few differences and encoding once more is
    faster than not trusting it. What cannot be undone in this simple way is answered with False. right_value is left
    as it was, but for the order of keys. prefix: how many steps of the paths lead to the two values.
    """
    if not found or len(found) > _UNDONE_MAX:
        return False
    if len(found) > 1:
        found = _in_order_of_undoing(found)
    undone: list[tuple[Kind, Any, Any, Any]] = []
    try:
        for difference in found:
            *steps, last = difference.path[prefix:]
            part = right_value
            for step in steps:
                part = part[step]
            kind = difference.kind
            if kind == "missing":
                _put(part, last, difference.left)
                undone.append((kind, part, last, None))
            elif kind == "extra":
                undone.append((kind, part, last, part.pop(last)))
            elif kind in ("value", "type"):
                undone.append((kind, part, last, part[last]))
                part[last] = difference.left
            else:
                return False
        return _ENCODE(right_value) == left_text or _ENCODE_SORTED(right_value) == _ENCODE_SORTED(left_value)
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
    finally:
        for kind, part, last, value in reversed(undone):
            if kind == "missing":
                del part[last]
            elif kind == "extra":
                _put(part, last, value)
            else:
                part[last] = value


def _in_order_of_undoing(found: list[Difference]) -> list[Difference]:
    """Extra elements last to first, then missing ones first to last, so that the indexes of the left come true."""
    extra = [difference for difference in reversed(found) if difference.kind == "extra"]
    missing = [difference for difference in found if difference.kind == "missing"]
    return extra + missing + [difference for difference in found if difference.kind not in ("extra", "missing")]


def _put(part: Any, last: str | int, value: Any) -> None:
    if isinstance(part, list) and isinstance(last, int):
        part.insert(last, value)
    else:
        part[last] = value
