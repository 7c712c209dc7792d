"""The walk over two decoded values that finds the smallest differing parts and their exact paths."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from diff.collector import Collector
from diff.difference import MISSING, Path, generalise
from diff.gap import Alike
from diff.lists import Alignment, align, align_by_name, by_position, find_name_field, in_step, mirrored
from diff.options import CompareOptions
from diff.unordered import align_unordered

__all__ = ["Nested", "Repeating", "canonical", "compare_values", "type_name"]


class Repeating(dict[str, Any]):
    """An object in which some key stands more than once. As a dict it holds the last value of each key.

    earlier: key to the values that came before the last, in order.
    """

    __slots__ = ("earlier",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        self.earlier: dict[str, list[Any]] = {}
        for key, value in pairs:
            if key in self:
                self.earlier.setdefault(key, []).append(self[key])
            self[key] = value


class Nested(str):
    """A part that lies too deep to be taken apart: its JSON text without white space."""

    __slots__ = ()


_TYPE_NAMES: Final[dict[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    dict: "object",
    Repeating: "object",
    list: "array",
    bytes: "bytes",
}

_ENCODE: Final = msgspec.json.Encoder().encode
_ENCODE_SORTED: Final = msgspec.json.Encoder(order="sorted").encode
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
# In the encoder's spelling: a number with an exponent (or what looks like it in a string, then a slow way is taken in
# vain), and either a string or a float that stands for an integer.
_EXPONENT: Final = re.compile(rb"[\[:,]-?[0-9.]+e[0-9]")
_STRING_OR_INTEGRAL: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|\.0(?![0-9])')
_ALIGNED_ELEMENTS_MAX: Final = 1_000_000
_SHORT_LIST: Final = 50
_ALIKE_CALLS_MAX: Final = 50_000
_DEEP_CALLS_MAX: Final = 32


def type_name(value: Any) -> str:
    """The JSON type of a value: null, boolean, number, string, object or array; else the name of its class."""
    return _TYPE_NAMES.get(value.__class__) or value.__class__.__name__.lower()


def compare_values(
    left: Any,
    right: Any,
    collector: Collector,
    options: CompareOptions,
    *,
    faithful: bool = False,
    trusting: bool = False,
) -> None:
    """Add every difference between two trees of dicts, lists and scalars to the collector.

    faithful: who calls vouches that both trees are of str, int, finite float, bool, None, list and dict with str keys
    alone, which a C encoder keeps apart. trusting: the same, and Python's == decides, which takes True for 1 and 1 for
    1.0, also where numbers are strict; for trees without bool, or callers that look after that.
    Raises RecursionError where both are nested too deep, TooManyDifferences when the collector is full.
    """
    _Walk(collector, options, faithful or trusting, trusting).values(left, right, ())


class _Walk:
    __slots__ = ("_alike_calls", "_collector", "_deep_calls", "_faithful", "_options", "_plain", "_same", "_strict")

    def __init__(self, collector: Collector, options: CompareOptions, faithful: bool, trusting: bool) -> None:
        self._collector = collector
        self._options = options
        self._strict = options.strict_numbers
        self._alike_calls = 0
        self._deep_calls = 0
        self._faithful = faithful
        self._plain = trusting
        self._same: Callable[[Any, Any], bool] = operator.eq if self._plain else self._same_checked

    def values(self, left: Any, right: Any, path: Path) -> None:
        kind = left.__class__
        if kind is right.__class__:
            if kind is dict:
                if self._plain:
                    self._plain_objects(left, right, path)
                else:
                    self._objects(left, right, path)
            elif kind is list:
                self._lists(left, right, path)
            elif kind is Repeating:
                self._repeating(left, right, path)
            elif left != right and (left == left or right == right):
                self._collector.add(path, "value", left, right)
            return
        left_type, right_type = type_name(left), type_name(right)
        if left_type != right_type:
            self._collector.add(path, "type", left, right)
        elif left_type == "object":
            self._repeating(left, right, path)
        elif self._strict and left_type == "number":
            self._collector.add(path, "type", left, right)
        elif left != right:
            self._collector.add(path, "value", left, right)

    def _plain_objects(self, left: dict[str, Any], right: dict[str, Any], path: Path) -> None:
        """As `_objects` where Python's == decides: the path that nearly all bodies take, so it spares every call."""
        add, theirs = self._collector.add, right.get
        shared = 0
        for key, value in left.items():
            other = theirs(key, MISSING)
            if value == other:
                shared += 1
                continue
            if other is MISSING:
                add((*path, key), "missing", value)
                continue
            shared += 1
            kind = value.__class__
            if kind is not other.__class__:
                self.values(value, other, (*path, key))
            elif kind is dict:
                self._plain_objects(value, other, (*path, key))
            elif kind is list:
                self._lists(value, other, (*path, key))
            else:
                add((*path, key), "value", value, other)
        if shared != len(right):
            for key, value in right.items():
                if key not in left:
                    add((*path, key), "extra", MISSING, value)

    def _objects(self, left: dict[Any, Any], right: dict[Any, Any], path: Path) -> None:
        add = self._collector.add
        shared = 0
        for key, value in left.items():
            other = right.get(key, MISSING)
            if other is MISSING:
                add((*path, _step(key)), "missing", value)
                continue
            shared += 1
            kind = value.__class__
            if value == other:
                # Python's == takes True for 1 and 1 for 1.0, also within containers.
                if kind in _SCALARS and kind is other.__class__:
                    continue
                if self._faithful and _ENCODE(value) == _ENCODE(other):
                    continue
            elif kind in _SCALARS and kind is other.__class__:
                if value == value or other == other:
                    add((*path, _step(key)), "value", value, other)
                continue
            self.values(value, other, (*path, key if key.__class__ is str else repr(key)))
        if shared != len(right):
            for key, value in right.items():
                if key not in left:
                    add((*path, _step(key)), "extra", MISSING, value)

    def _repeating(self, left: dict[Any, Any], right: dict[Any, Any], path: Path) -> None:
        """Last values are compared like any object's; what an earlier value of a key adds or lacks is its own."""
        self._objects(left, right, path)
        left_earlier = left.earlier if isinstance(left, Repeating) else {}
        right_earlier = right.earlier if isinstance(right, Repeating) else {}
        for key in [*left_earlier, *(key for key in right_earlier if key not in left_earlier)]:
            if key not in left or key not in right:
                continue  # The key itself is missing or extra and has been said.
            lefts, rights = left_earlier.get(key, []), right_earlier.get(key, [])
            for value, other in zip(lefts, rights, strict=False):
                self.values(value, other, (*path, key))
            for value in lefts[len(rights) :]:
                self._collector.add((*path, key), "missing", value)
            for value in rights[len(lefts) :]:
                self._collector.add((*path, key), "extra", MISSING, value)

    def _lists(self, left: list[Any], right: list[Any], path: Path) -> None:
        add = self._collector.add
        start, left_end, right_end = _trimmed_by_value(left, right) if self._plain else self._trimmed(left, right)
        if left_end - start == 1 == right_end - start:
            self.values(left[start], right[start], (*path, start))
            return
        if start in (left_end, right_end):
            for index in range(start, left_end):
                add((*path, index), "missing", left[index])
            for index in range(start, right_end):
                add((*path, index), "extra", MISSING, right[index])
            return
        where = generalise(path) if self._options.list_keys or self._options.unordered else ""
        ordered = where not in self._options.unordered
        learned = self._options.list_keys.get(where)
        alignment = self._aligned(left[start:left_end], right[start:right_end], learned, ordered)
        if alignment.by_position:
            self._collector.limit(f"a list of {len(left)} against {len(right)} elements was compared by position")
            if len(left) != len(right):
                add(path, "length", len(left), len(right))
        elif alignment.moved and ordered:
            add(path, "order", left, right)
        for at_left, at_right in alignment.pairs(left_end - start, right_end - start):
            self.values(left[start + at_left], right[start + at_right], (*path, start + at_left))
        if not alignment.by_position:
            for index in alignment.missing:
                add((*path, start + index), "missing", left[start + index])
            for index in alignment.extra:
                add((*path, start + index), "extra", MISSING, right[start + index])

    def _trimmed(self, left: list[Any], right: list[Any]) -> tuple[int, int, int]:
        """Where the first unequal elements stand, and the ends of both lists without the equal elements there."""
        if not self._faithful:
            return _trimmed(left, right, self._same)
        start, left_end, right_end = _trimmed_by_value(left, right)
        # Python's == took True for 1 (and where numbers are strict, 1 for 1.0): what it passed must have one spelling.
        if _ENCODE([left[:start], left[left_end:]]) == _ENCODE([right[:start], right[right_end:]]):
            return start, left_end, right_end
        return _trimmed(left, right, self._same_checked)

    def _aligned(self, left: list[Any], right: list[Any], learned: str | None, ordered: bool) -> Alignment:
        """Align two lists whose first and whose last elements differ; exchanging them mirrors the result exactly."""
        if len(left) + len(right) > _ALIGNED_ELEMENTS_MAX:
            return by_position(len(left), len(right))
        if _same_words(left, right):
            return Alignment(moved=True)
        field = learned if learned is not None and _names(left, right, learned) else find_name_field(left, right)
        if field is not None and all(mine[field] == other[field] for mine, other in zip(left, right, strict=False)):
            return in_step(len(left), len(right))
        # Which list is called left must not depend on which side it stands, nor on how the bodies were read.
        texts = self._texts(left, right)
        if texts[0] > texts[1]:
            return mirrored(self._align(right, left, field, ordered, texts))
        return self._align(left, right, field, ordered, texts)

    def _texts(self, left: list[Any], right: list[Any]) -> tuple[bytes, bytes]:
        """Both lists spelt in one way, which is the encoder's where it takes them and keeps them apart."""
        try:
            texts = _ENCODE_SORTED(left), _ENCODE_SORTED(right)
        except (TypeError, ValueError, OverflowError):  # a lone surrogate, a key of bytes, beyond 64 bits
            return canonical(left, self._strict), canonical(right, self._strict)
        if texts[0] == texts[1] and not self._faithful:
            return canonical(left, self._strict), canonical(right, self._strict)
        return texts

    def _spelling(self, value: Any) -> bytes:
        return _ENCODE_SORTED(value) if self._faithful else canonical(value, self._strict)

    def _key_for(self, texts: tuple[bytes, bytes]) -> Callable[[Any], bytes]:
        """The fastest function that gives the parts of two lists, so spelt, the same bytes where they are equal."""
        if not self._faithful or self._strict:
            return self._spelling
        if any(map(_EXPONENT.search, texts)):
            return canonical
        return _encoded_by_value if any(b".0" in text for text in texts) else _ENCODE_SORTED

    def _align(
        self, left: list[Any], right: list[Any], field: str | None, ordered: bool, texts: tuple[bytes, bytes]
    ) -> Alignment:
        if field is not None:
            left_names = [(element[field].__class__, element[field]) for element in left]
            right_names = [(element[field].__class__, element[field]) for element in right]
            align_named = align_by_name if ordered else _align_unordered_by_name
            return align_named(left_names, right_names, lambda i, j: self._alike(left[i], right[j], field))
        key = self._key_for(texts)
        left_keys: list[Hashable] = [key(element) for element in left]
        right_keys: list[Hashable] = [key(element) for element in right]
        if not ordered:
            return align_unordered(left_keys, right_keys, lambda i, j: self._alike(left[i], right[j]), named=False)
        return align(left_keys, right_keys, lambda i, j: self._alike(left[i], right[j]), self._options.align_work_max)

    def _same_checked(self, left: Any, right: Any) -> bool:
        kind = left.__class__
        if kind is right.__class__:
            if kind is dict:
                if len(left) != len(right):
                    return False
                for key, value in left.items():
                    other = right.get(key, MISSING)
                    if other is MISSING or not (value is other or self._same_checked(value, other)):
                        return False
                return True
            if kind is list:
                return len(left) == len(right) and all(map(self._same_checked, left, right))
            if kind is not Repeating:
                return bool(left == right or (left != left and right != right))
        return canonical(left, self._strict) == canonical(right, self._strict)

    def _alike(self, left: Any, right: Any, without: str | None = None) -> float:
        """0.0 for values of different types up to 1.0 for equal ones; objects by fields, lists by elements."""
        self._alike_calls += 1
        if self._alike_calls > _ALIKE_CALLS_MAX:
            return 0.3
        if type_name(left) != type_name(right):
            return 0.0
        if isinstance(left, dict):
            left_keys, right_keys = left.keys() - {without}, right.keys() - {without}
            every = len(left_keys | right_keys)
            common = left_keys & right_keys
            if not every:
                return 1.0
            equal = sum(1 for key in common if self._same(left[key], right[key]))
            score = 0.3 * len(common) / every + 0.7 * equal / every
            return score if equal else max(score, self._deep_alike(left, right))
        if isinstance(left, list):
            longer = max(len(left), len(right))
            equal = sum(map(self._same, left, right))
            return 0.3 + 0.7 * equal / longer if longer else 1.0
        return 1.0 if self._same(left, right) else 0.3

    def _deep_alike(self, left: dict[Any, Any], right: dict[Any, Any]) -> float:
        """How alike two objects are that have no field in common as a whole, only parts of fields: by DeepDiff.

        It costs milliseconds, so only objects with nested parts are asked about, and only so many in a comparison.
        """
        if self._deep_calls >= _DEEP_CALLS_MAX or not any(isinstance(value, dict | list) for value in left.values()):
            return 0.0
        if len(canonical(left, False)) > 4096 or len(canonical(right, False)) > 4096:
            return 0.0
        self._deep_calls += 1
        from deepdiff import DeepDiff  # Imported late: it takes a good part of a second and is seldom needed.

        found = DeepDiff(left, right, ignore_order=True, get_deep_distance=True)
        return 1.0 - float(found.get("deep_distance", 0.0))


def _trimmed(left: list[Any], right: list[Any], same: Callable[[Any, Any], bool]) -> tuple[int, int, int]:
    shorter = min(len(left), len(right))
    if shorter <= _SHORT_LIST:
        start, tail = 0, 0
        while start < shorter and same(left[start], right[start]):
            start += 1
        while tail < shorter - start and same(left[-1 - tail], right[-1 - tail]):
            tail += 1
    else:
        start = _alike_for(map(same, left, right))
        tail = min(_alike_for(map(same, reversed(left), reversed(right))), shorter - start)
    return start, len(left) - tail, len(right) - tail


def _trimmed_by_value(left: list[Any], right: list[Any]) -> tuple[int, int, int]:
    """As `_trimmed` with Python's ==, and faster for lists that are short or of one length."""
    shorter = min(len(left), len(right))
    if len(left) == len(right):
        differ = list(map(operator.ne, left, right))
        if True not in differ:
            return shorter, shorter, shorter
        end = shorter - differ[::-1].index(True)
        return differ.index(True), end, end
    if shorter > _SHORT_LIST:
        return _trimmed(left, right, operator.eq)
    start = 0
    for mine, other in zip(left, right, strict=False):
        if mine != other:
            break
        start += 1
    tail, room = 0, shorter - start
    for mine, other in zip(reversed(left), reversed(right), strict=False):
        if tail >= room or mine != other:
            break
        tail += 1
    return start, len(left) - tail, len(right) - tail


def _alike_for(verdicts: Iterator[bool]) -> int:
    """How many come before the first that is false. It asks for all in C, faster than stopping early would be."""
    flags = list(verdicts)
    return flags.index(False) if False in flags else len(flags)


def _same_words(left: list[Any], right: list[Any]) -> bool:
    """True where both are lists of the same strings, each as often, which then only stand in another order."""
    if len(left) != len(right) or set(map(type, left)) != {str} or set(map(type, right)) != {str}:
        return False
    return sorted(left) == sorted(right)


def _encoded_by_value(value: Any) -> bytes:
    """As the sorting encoder, with 1 for 1.0."""
    return _STRING_OR_INTEGRAL.sub(lambda found: b"" if found[0] == b".0" else found[0], _ENCODE_SORTED(value))


def _step(key: Any) -> str:
    return key if key.__class__ is str else repr(key)


def _align_unordered_by_name(left: Sequence[Hashable], right: Sequence[Hashable], alike: Alike) -> Alignment:
    return align_unordered(left, right, alike, named=True)


def _names(left: list[Any], right: list[Any], field: str) -> bool:
    """Whether the learned field can name these elements: in each, of another value in each, and some in both lists."""
    sides = []
    for elements in (left, right):
        try:
            values = {(element[field].__class__, element[field]) for element in elements}
        except (TypeError, KeyError, IndexError):
            return False
        if len(values) != len(elements):
            return False
        sides.append(values)
    return not sides[0].isdisjoint(sides[1])


def canonical(value: Any, strict_numbers: bool = False) -> bytes:
    """Bytes that are equal exactly where two values are: key order, white space and, unless strict, 1 and 1.0 apart.

    Slower than an encoder in C by far, and needed where values hold anything that one would alter or refuse.
    """
    pieces: list[bytes] = []
    _spell(value, strict_numbers, pieces)
    return b"".join(pieces)


def _spell(value: Any, strict_numbers: bool, pieces: list[bytes]) -> None:
    kind = value.__class__
    if kind is str:
        text = value.encode("utf-8", "surrogatepass")
        pieces.append(b"s%d:%b" % (len(text), text))
    elif kind is dict or kind is Repeating:
        pieces.append(b"{")
        for key in sorted(value, key=_sort_key):
            _spell(key, strict_numbers, pieces)
            if kind is Repeating and key in value.earlier:
                _spell(value.earlier[key], strict_numbers, pieces)
                pieces.append(b"|")
            _spell(value[key], strict_numbers, pieces)
        pieces.append(b"}")
    elif kind is list:
        pieces.append(b"[")
        for item in value:
            _spell(item, strict_numbers, pieces)
        pieces.append(b"]")
    elif kind is int or (kind is float and not strict_numbers and value.is_integer()):
        pieces.append(b"i%x;" % int(value))
    elif kind is bytes:
        pieces.append(b"b%d:%b" % (len(value), value))
    else:
        pieces.append(f"{kind.__name__}:{value!r};".encode("utf-8", "surrogatepass"))


def _sort_key(key: Any) -> tuple[str, str]:
    return key.__class__.__name__, key if key.__class__ is str else repr(key)
