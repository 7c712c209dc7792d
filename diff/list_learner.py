"""Learn of the lists in JSON answers which field names their elements, and where their order means nothing. Pure.

Learned from a bounded sample, so from its first pairs, of what the current build, its reference and the recorded
response say. The routes are not known yet while it learns: it counts by the shape of targets, which is finer, and adds
up when the routes are there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from capture.exchange import Response, header, headers_named
from diff.content import decode_content, parse_codings
from diff.difference import Path, generalise
from diff.list_traits import ListTraits
from diff.lists import find_name_field
from diff.options import CompareOptions
from diff.route import Routes, placeholder
from diff.template import split_target
from replay.outcome import Performance

__all__ = ["NOTHING_LEARNED", "LearnedLists", "ListLearner", "RouteLists"]

_SHAPES_MAX: Final = 2000
_TARGETS_KEPT_MAX: Final = 20_000
_PAIRS_A_SHAPE: Final = 200
_BYTES_A_SHAPE: Final = 2 << 20
_BYTES_MAX: Final = 32 << 20
_BODY_BYTES_MAX: Final = 256 << 10
_LISTS_A_SHAPE: Final = 64
_ELEMENTS_MAX: Final = 1000
_ELEMENTS_A_SHAPE: Final = 20_000
_DEPTH_MAX: Final = 24

_DECODE: Final = msgspec.json.Decoder().decode


@dataclasses.dataclass(frozen=True, slots=True)
class RouteLists:
    """What was learned of the lists of one route, by general path ("$['items']").

    keys: the field that names the elements. unordered: where order means nothing.
    """

    keys: Mapping[str, str]
    unordered: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class LearnedLists:
    """What was learned of the lists of every route; routes without any such list are left out."""

    routes: Mapping[str, RouteLists] = dataclasses.field(default_factory=dict)

    def options(self, base: CompareOptions) -> dict[str, CompareOptions]:
        """How outcomes of these routes are compared, where those of all others are compared by `base`."""
        return {
            route: dataclasses.replace(base, list_keys=lists.keys, unordered=lists.unordered)
            for route, lists in self.routes.items()
        }


NOTHING_LEARNED: Final = LearnedLists()


class _Shape:
    """The sample of one shape of targets; target: one of them."""

    __slots__ = ("bytes", "elements", "method", "pairs", "seen", "target")

    def __init__(self, method: str, target: str) -> None:
        self.method, self.target = method, target
        self.pairs = self.bytes = self.elements = 0
        self.seen: dict[Path, ListTraits] = {}

    @property
    def full(self) -> bool:
        return self.pairs >= _PAIRS_A_SHAPE or self.bytes >= _BYTES_A_SHAPE or self.elements >= _ELEMENTS_A_SHAPE

    def of(self, path: Path) -> ListTraits | None:
        found = self.seen.get(path)
        if found is None and len(self.seen) < _LISTS_A_SHAPE:
            found = self.seen[path] = ListTraits()
        return found


class ListLearner:
    """Learns from every performance, then `finish`es.

    current, reference: names of builds; without a reference keys alone are learned, from the build and the record.
    """

    __slots__ = ("_bytes", "_current", "_reference", "_shapes", "_targets")

    def __init__(self, current: str, reference: str | None) -> None:
        self._current, self._reference = current, reference
        self._shapes: dict[str, _Shape] = {}
        self._targets: dict[tuple[str, str], _Shape | None] = {}
        self._bytes = 0

    def add(self, performance: Performance) -> None:
        """Learn from one performance, unless enough of its kind were seen."""
        request = performance.exchange.request
        key = (request.method, request.target.partition("?")[0])
        shape = self._targets[key] if key in self._targets else self._shape(key)
        if shape is None or shape.full or self._bytes >= _BYTES_MAX:
            return
        current = performance.outcome_of(self._current)
        if current is None or not _is_sampled(current.response):
            return
        assert current.response is not None
        shape.pairs += 1
        whole = performance.exchange.complete and not performance.exchange.redacted
        recorded = performance.exchange.response if whole else None
        again = None
        if self._reference is not None:
            outcome = performance.outcome_of(self._reference)
            again = None if outcome is None else outcome.response
        responses = [
            one if _is_sampled(one) and one is not None and one.status == current.response.status else None
            for one in (current.response, again, recorded)
        ]
        self._learn(shape, responses)

    def _shape(self, key: tuple[str, str]) -> _Shape | None:
        name = f"{key[0]} {'/'.join([placeholder(segment) or segment for segment in split_target(key[1])])}"
        shape = self._shapes.get(name)
        if shape is None and len(self._shapes) < _SHAPES_MAX:
            shape = self._shapes[name] = _Shape(*key)
        if len(self._targets) >= _TARGETS_KEPT_MAX:
            self._targets.clear()
        self._targets[key] = shape
        return shape

    def _learn(self, shape: _Shape, responses: list[Response | None]) -> None:
        """From the answers of the current build, the reference and the record, None where there is none."""
        values: list[Any] = []
        for at, response in enumerate(responses):
            if response is None or response.body is None:
                values.append(None)
                continue
            if at and responses[0] is not None and response.body == responses[0].body and _same_coding(responses, at):
                values.append(values[0])
                continue
            size = len(response.body)
            shape.bytes += size
            self._bytes += size
            values.append(_value_of(response))
        current, again, recorded = values
        for path, left, right in _lists(current, again):
            self._note(shape, path, left, right, same_build=True)
        if recorded is not None:
            for path, left, right in _lists(current, recorded):
                self._note(shape, path, left, right, same_build=False)

    def _note(self, shape: _Shape, path: Path, left: list[Any], right: list[Any] | None, *, same_build: bool) -> None:
        seen = shape.of(path)
        if seen is None or max(len(left), 0 if right is None else len(right)) > _ELEMENTS_MAX:
            return
        if same_build:
            shape.elements += len(left)
            seen.add_list(left)
        if right is None:
            return
        shape.elements += len(right)
        if right is not left:
            seen.add_list(right)
        if same_build or self._reference is None:
            seen.add_pair(left, right)
        if same_build:
            seen.add_order(left, right)

    def finish(self, routes: Routes) -> LearnedLists:
        """What was learned, by route."""
        together: dict[str, dict[str, ListTraits]] = {}
        for shape in self._shapes.values():
            known = together.setdefault(routes.of(shape.method, shape.target), {})
            for path, seen in shape.seen.items():
                known.setdefault(generalise(path), ListTraits()).merge(seen)
        learned: dict[str, RouteLists] = {}
        for route in sorted(together):
            found = sorted(together[route].items())
            keys = {path: key for path, seen in found if (key := seen.key()) is not None}
            unordered = frozenset(path for path, seen in found if seen.is_unordered())
            if keys or unordered:
                learned[route] = RouteLists(keys, unordered)
        return LearnedLists(learned)


def _is_sampled(response: Response | None) -> bool:
    if response is None or response.truncated or not response.body or len(response.body) > _BODY_BYTES_MAX:
        return False
    return response.status // 100 == 2 and "json" in (header(response.headers, "content-type") or "").lower()


def _same_coding(responses: list[Response | None], at: int) -> bool:
    first, other = responses[0], responses[at]
    return first is not None and other is not None and _codings(first) == _codings(other)


def _codings(response: Response) -> tuple[str, ...]:
    return parse_codings(",".join(headers_named(response.headers, "content-encoding")))


def _value_of(response: Response) -> Any:
    """The JSON value of a body; None, of which nothing is learned, where it cannot be read within the bounds."""
    assert response.body is not None
    body, codings = response.body, _codings(response)
    if codings:
        decoded = decode_content(body, codings, _BODY_BYTES_MAX)
        if decoded.problem is not None:
            return None
        body = decoded.body
    try:
        return _DECODE(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _lists(left: Any, right: Any) -> Iterator[tuple[Path, list[Any], list[Any] | None]]:
    """Every list of `left` with the corresponding one of `right`, None where it has none there.

    The steps of a path are keys, and 0 for every index.
    """
    waiting: list[tuple[Path, Any, Any]] = [((), left, right)]
    while waiting:
        path, mine, other = waiting.pop()
        kind = mine.__class__
        if len(path) >= _DEPTH_MAX:
            continue
        if kind is dict:
            has = other.__class__ is dict
            for key, value in mine.items():
                if value.__class__ is list or value.__class__ is dict:
                    waiting.append(((*path, key), value, other.get(key) if has else None))
        elif kind is list:
            theirs = other if other.__class__ is list else None
            yield path, mine, theirs
            if len(mine) <= _ELEMENTS_MAX and any(one.__class__ is dict or one.__class__ is list for one in mine):
                inside = (*path, 0)
                waiting += [(inside, one, counterpart) for one, counterpart in _counterparts(mine, theirs)]


def _counterparts(left: list[Any], right: list[Any] | None) -> Iterator[tuple[Any, Any]]:
    """The elements of one list with those of the other that have the same name, or that are equal and in one place."""
    if left is right:
        yield from zip(left, left, strict=True)
        return
    field = find_name_field(left, right) if left and right else None
    if field is None or right is None:
        others = right if right is not None and len(right) == len(left) else [None] * len(left)
        yield from zip(left, others, strict=True)
        return
    places = {one[field]: one for one in right}
    for one in left:
        yield one, places.get(one[field])
