"""Typical pairs for each place that differs: some of each change, the candidate's own first. Pure, bounded."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from diff.difference import format_path, jsonable
from diff.odd import Change, GroupKey, Seen

__all__ = ["Example", "Examples"]

_ELEMENTS_SHOWN = 3
_MEMBERS_SHOWN = 2
_SHOWN_CHARS_MAX = 200
_BEFORE_CHARS = 20
_PATH_CHARS_SHORT = 60
_CHANGES_MAX = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One pair that shows a difference: the exchange's id, the exact path, the change, and both values made short.

    apart: the candidate alone stood apart there, by its value or by what its values are like.
    """

    exchange: str
    path: str
    change: Change
    left: Any
    right: Any
    apart: bool = True


_Group = tuple[Change, bool]


class Examples:
    """The examples of every place: of each change up to `examples_max`, of a place up to four times as many."""

    __slots__ = ("_examples_max", "_places")

    def __init__(self, examples_max: int) -> None:
        self._examples_max = examples_max
        self._places: dict[GroupKey, dict[_Group, list[Example]]] = {}

    def keep(self, key: GroupKey, exchange: str, seen: Iterable[Seen], *, apart: bool) -> None:
        """Keep the first difference of each change that one pair shows at a place.

        The first pairs are kept, and then ones with shorter paths instead of ones with long paths.
        """
        groups = self._places.setdefault(key, {})
        told: set[Change] = set()
        for one in seen:
            if one.change in told:
                continue
            told.add(one.change)
            kept = groups.get((one.change, apart))
            if kept is not None and len(kept) >= self._examples_max and len(kept[-1].path) <= _PATH_CHARS_SHORT:
                continue
            left, right = _short_pair(one.difference.left, one.difference.right)
            self._take(groups, Example(exchange, format_path(one.difference), one.change, left, right, apart))

    def merge(self, key: GroupKey, other: Examples, theirs: GroupKey) -> None:
        """Add what another one has kept of a place that is called `theirs` there."""
        groups = self._places.setdefault(key, {})
        for example in other.of(theirs):
            self._take(groups, example)

    def of(self, key: GroupKey) -> list[Example]:
        """All examples of a place, change by change."""
        return [example for kept in self._places.get(key, {}).values() for example in kept]

    def chosen(self, key: GroupKey, changes: Iterable[Change]) -> list[Example]:
        """Those that show one of these changes, the candidate's own first; where none does, its own, or all."""
        wanted = set(changes)
        of_place = self.of(key)
        showing = [one for one in of_place if one.change in wanted]
        return (
            [one for one in showing if one.apart] + [one for one in showing if not one.apart]
            or [one for one in of_place if one.apart]
            or of_place
        )

    def _take(self, groups: dict[_Group, list[Example]], example: Example) -> None:
        group = (example.change, example.apart)
        kept = groups.get(group)
        if kept is not None and len(kept) >= self._examples_max:
            if len(example.path) < len(kept[-1].path):
                kept[-1] = example
            return
        if sum(map(len, groups.values())) >= _CHANGES_MAX * self._examples_max:
            # What the candidate shares with others gives way first, and never the only one of a change.
            large = max(groups, key=lambda one: (len(groups[one]) > 1, not one[1], len(groups[one])))
            if large == group or len(groups[large]) <= 1:
                return
            groups[large].pop()
        groups.setdefault(group, []).append(example)


def _short_pair(left: Any, right: Any) -> tuple[Any, Any]:
    """Both values in short; of two long texts, and lists, in another order say, a piece from where they part."""
    if isinstance(left, str) and isinstance(right, str):
        start = _parting(left, right)
        if start >= _SHOWN_CHARS_MAX:
            start -= _BEFORE_CHARS
            return _short(f"…{left[start:]}"), _short(f"…{right[start:]}")
    short = _short(left), _short(right)
    if not all(isinstance(value, list | tuple) for value in (left, right)):
        return short
    if not all(isinstance(outline, str) for outline in short):
        return short
    start = _parting(left, right)
    start = 0 if start == min(len(left), len(right)) else start
    return _from(left, start), _from(right, start)


def _parting(left: Sequence[Any], right: Sequence[Any]) -> int:
    """The first index at which they differ; the length of the shorter one where it is the beginning of the other."""
    shorter = min(len(left), len(right))
    return next((at for at in range(shorter) if left[at] != right[at]), shorter)


def _from(values: Sequence[Any], start: int) -> list[Any]:
    shown = [_brief(value) for value in values[start : start + _ELEMENTS_SHOWN]]
    return [*(["…"] if start else []), *shown, f"… of {len(values)} elements"]


def _brief(value: Any) -> Any:
    """An element among others: of an object its first member, which mostly names it."""
    short = _short(value)
    if not isinstance(short, dict) or len(short) <= _MEMBERS_SHOWN:
        return short
    first = next(iter(short))
    return {first: short[first], "…": f"{len(short)} members"}


def _short(value: Any) -> Any:
    """The value for a report: plain JSON, long text cut with an ellipsis, containers only in outline."""
    if isinstance(value, str):
        return jsonable(value if len(value) <= _SHOWN_CHARS_MAX else value[:_SHOWN_CHARS_MAX] + "…")
    if isinstance(value, list | tuple):
        if len(value) <= 8 and all(not isinstance(item, list | tuple | dict) for item in value):
            return [_short(item) for item in value]
        return f"[{len(value)} elements]"
    if isinstance(value, dict):
        if len(value) <= 8 and all(not isinstance(item, list | tuple | dict) for item in value.values()):
            return {str(_short(str(key))): _short(item) for key, item in value.items()}
        return f"{{{len(value)} members}}"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * _SHOWN_CHARS_MAX:
        return f"<integer of {value.bit_length()} bits>"
    return jsonable(value)
