"""Compare two lists of header fields: names without case, values by their grammar where it is known.

Where a grammar is not known the field lines are compared as the one comma-separated value they stand for.
"""

from __future__ import annotations

from functools import lru_cache

from capture.exchange import Headers
from diff.collector import Collector
from diff.header_grammar import GRAMMARS, meaning
from diff.volatile import FRAMING_HEADERS, is_volatile

__all__ = ["compare_headers"]


def compare_headers(left: Headers, right: Headers, collector: Collector, *, lengths: bool = False) -> None:
    """Add the differences of two sets of fields to the collector, whose place is "header" or "trailer".

    Set-Cookie is left to `diff.cookies`, framing and connection fields are left out; Content-Length is compared only
    with `lengths`. Volatile fields are compared for presence and for being empty. One difference a name at most.
    """
    if left == right or _alike(left, right):
        return
    left_values, right_values = _by_name(left, lengths), _by_name(right, lengths)
    for name, lines in left_values.items():
        others = right_values.get(name)
        if others is None:
            collector.add((name,), "missing", ", ".join(lines))
        elif lines != others:
            _compare_lines(name, lines, others, collector)
    for name, others in right_values.items():
        if name not in left_values:
            collector.add((name,), "extra", right=", ".join(others))


def _alike(left: Headers, right: Headers) -> bool:
    """True where both have the same fields line by line, but for the values of volatile ones that both have."""
    if len(left) != len(right):
        return False
    for left_line, right_line in zip(left, right, strict=True):
        if left_line == right_line:
            continue
        name = left_line[0]
        if name != right_line[0] or not _is_ignorable(name) or not left_line[1] or not right_line[1]:
            return False
    return True


@lru_cache(maxsize=1024)
def _is_ignorable(name: str) -> bool:
    lowered = name.lower()
    return is_volatile(lowered) and lowered not in GRAMMARS


def _by_name(headers: Headers, lengths: bool) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered == "set-cookie" or (lowered in FRAMING_HEADERS and not (lengths and lowered == "content-length")):
            continue
        values.setdefault(lowered, []).append(value)
    return values


def _compare_lines(name: str, left: list[str], right: list[str], collector: Collector) -> None:
    left_value, right_value = ", ".join(left), ", ".join(right)
    if left_value == right_value:
        return
    if bool(left_value.strip()) != bool(right_value.strip()):
        collector.add((name,), "value", left_value, right_value)
        return
    if name not in GRAMMARS and is_volatile(name):
        return
    left_meaning, right_meaning = meaning(name, left_value), meaning(name, right_value)
    if left_meaning == right_meaning:
        return
    reordered = sorted(left) == sorted(right) or (
        isinstance(left_meaning, tuple)
        and isinstance(right_meaning, tuple)
        and sorted(map(repr, left_meaning)) == sorted(map(repr, right_meaning))
    )
    collector.add((name,), "order" if reordered else "value", left_value, right_value)
