"""Trees of elements, as HTML and XML have them, and the walk that finds where two of them differ.

A path goes from the root element down: the tag, then its index among the siblings of that tag; ["@name"] is an
attribute, ["#text"] and an index a run of text: $['html']['body'][0]['a'][2]['@href']. Where an element has become one
of another tag, or text, the step is ["#child"] and the index among all children. Indexes are those on the left, but for
what is extra, as everywhere.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final

from diff.body.reading import Unreadable
from diff.collector import Collector
from diff.difference import MISSING, Path
from diff.lists import Alignment, align, align_by_name, find_name_field, mirrored
from diff.options import CompareOptions

__all__ = ["ELEMENTS_MAX", "Builder", "Child", "Element", "compare_elements"]

_SHOWN_CHARACTERS_MAX: Final = 2000
ELEMENTS_MAX: Final = 100_000
_PAIRED_AGAIN_MAX: Final = 10_000
_PAIRED_AGAIN_ALIKE: Final = 0.5
_WHITE: Final = re.compile(r"[ \t\n\f\r]+")


class Element:
    """One element. children: elements and runs of text. key: equal exactly where all that is compared is equal."""

    __slots__ = ("attributes", "children", "key", "tag")

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: list[Child] = []
        self.key = b""

    def close(self) -> None:
        """Compute `key`; the children must be closed."""
        digest = hashlib.blake2b(digest_size=16)
        parts = [self.tag]
        for name in sorted(self.attributes):
            parts += (name, _attribute(name, self.attributes[name]))
        for part in parts:
            digest.update(b"%d:" % len(part))
            digest.update(part.encode("utf-8", "surrogatepass"))
        for child in self.children:
            digest.update(_key(child))
        self.key = digest.digest()

    def markup(self) -> str:
        """The element as markup for a person, cut to a few lines."""
        pieces: list[str] = []
        _write(self, pieces, [_SHOWN_CHARACTERS_MAX])
        return "".join(pieces)


Child = Element | str


def _write(child: Child, pieces: list[str], room: list[int]) -> None:
    if room[0] <= 0:
        return
    if isinstance(child, str):
        pieces.append(child[: room[0]] + ("…" if len(child) > room[0] else ""))
        room[0] -= len(child)
        return
    attributes = "".join(f' {name}="{value}"' for name, value in child.attributes.items())
    opening = f"<{child.tag}{attributes}>"[: room[0]]
    pieces.append(opening)
    room[0] -= len(opening)
    for inner in child.children:
        _write(inner, pieces, room)
    pieces.append(f"</{child.tag}>" if room[0] > 0 else "…")


def _key(child: Child) -> bytes:
    if isinstance(child, Element):
        return child.key
    text = child.encode("utf-8", "surrogatepass")
    return b"#" + hashlib.blake2b(text, digest_size=16).digest()


def _attribute(name: str, value: str) -> str:
    """What an attribute says: a class is a set of words (HTML, section 3.2.6)."""
    return " ".join(sorted(set(_WHITE.split(value.strip())))) if name == "class" else value


class Builder:
    """Builds a tree from starts, texts and ends, within bounds. Raises Unreadable where a bound is met."""

    __slots__ = ("_count", "_depth_max", "_open", "root")

    def __init__(self, depth_max: int) -> None:
        self._depth_max = depth_max
        self._open: list[Element] = []
        self._count = 0
        self.root: Element | None = None

    @property
    def depth(self) -> int:
        """How many elements are open."""
        return len(self._open)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Open an element within the one that is open."""
        self._count += 1
        if self._count > ELEMENTS_MAX:
            raise Unreadable(f"more than {ELEMENTS_MAX} elements")
        if len(self._open) >= self._depth_max:
            raise Unreadable(f"elements nested deeper than {self._depth_max}")
        element = Element(tag, attributes)
        if self._open:
            self._open[-1].children.append(element)
        elif self.root is None:
            self.root = element
        self._open.append(element)

    def text(self, text: str) -> None:
        """Add text to the element that is open, joined to text just before it."""
        if not self._open:
            return
        children = self._open[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += text
        else:
            children.append(text)

    def end(self) -> Element:
        """Close the element that is open, and return it, for its text to be tidied before `Element.close`."""
        return self._open.pop()


def compare_elements(left: Element, right: Element, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two trees; raises TooManyDifferences. The roots' tags are part of every path."""
    if left.tag != right.tag:
        collector.add((), "type", left.markup(), right.markup())
        return
    _Walk(collector, options).elements(left, right, (left.tag,))


class _Walk:
    __slots__ = ("_collector", "_options")

    def __init__(self, collector: Collector, options: CompareOptions) -> None:
        self._collector = collector
        self._options = options

    def elements(self, left: Element, right: Element, path: Path) -> None:
        if left.key == right.key:
            return
        add = self._collector.add
        for name, value in left.attributes.items():
            other = right.attributes.get(name)
            if other is None:
                add((*path, f"@{name}"), "missing", value)
            elif _attribute(name, value) != _attribute(name, other):
                add((*path, f"@{name}"), "value", value, other)
        for name, other in right.attributes.items():
            if name not in left.attributes:
                add((*path, f"@{name}"), "extra", MISSING, other)
        self._children(left.children, right.children, path)

    def _children(self, left: list[Child], right: list[Child], path: Path) -> None:
        left_keys, right_keys = [_key(child) for child in left], [_key(child) for child in right]
        if left_keys == right_keys:
            return
        alignment = _aligned(left, right, left_keys, right_keys, self._options.align_work_max)
        left_steps, right_steps = _steps(left), _steps(right)
        add = self._collector.add
        if alignment.by_position:
            self._collector.limit(f"{len(left)} against {len(right)} children were compared by position")
        if alignment.moved:
            add(path, "order", [_shown(child) for child in left], [_shown(child) for child in right])
        again = _paired_again(left, right, alignment) if alignment.moved else {}
        for at_left, at_right in [*alignment.pairs(len(left), len(right)), *sorted(again.items())]:
            mine, other = left[at_left], right[at_right]
            if left_steps[at_left][0] != right_steps[at_right][0]:
                add((*path, "#child", at_left), "type", _shown(mine), _shown(other))
            elif isinstance(mine, Element) and isinstance(other, Element):
                self.elements(mine, other, (*path, *left_steps[at_left]))
            elif mine != other:
                add((*path, *left_steps[at_left]), "value", mine, other)
        for index in alignment.missing:
            if index not in again:
                add((*path, *left_steps[index]), "missing", _shown(left[index]))
        taken = set(again.values())
        for index in alignment.extra:
            if index not in taken:
                add((*path, *right_steps[index]), "extra", MISSING, _shown(right[index]))


def _shown(child: Child) -> str:
    return child if isinstance(child, str) else child.markup()


def _steps(children: list[Child]) -> list[Path]:
    """For each child its tag, or "#text", and its index among its like."""
    counts: dict[str, int] = {}
    steps: list[Path] = []
    for child in children:
        name = "#text" if isinstance(child, str) else child.tag
        at = counts.get(name, 0)
        counts[name] = at + 1
        steps.append((name, at))
    return steps


def _aligned(
    left: list[Child], right: list[Child], left_keys: list[bytes], right_keys: list[bytes], work_max: int
) -> Alignment:
    """Align two lists of children; exchanging them mirrors the result exactly."""
    if left_keys > right_keys:
        return mirrored(_aligned(right, left, right_keys, left_keys, work_max))
    fields = [_fields(child) for child in left], [_fields(child) for child in right]
    name = find_name_field(*fields) if left and right else None
    if name is None:
        return align(left_keys, right_keys, lambda i, j: _alike(left[i], right[j]), work_max)
    left_names, right_names = ([(child["<tag>"], child[name]) for child in side] for side in fields)
    return align_by_name(left_names, right_names, lambda i, j: _alike(left[i], right[j]))


def _fields(child: Child) -> Any:
    """What may name an element among its siblings: its attributes, and child elements that hold nothing but text."""
    if isinstance(child, str):
        return child
    fields = {"<tag>": child.tag, **child.attributes}
    for inner in child.children:
        if isinstance(inner, Element) and len(inner.children) == 1 and isinstance(inner.children[0], str):
            fields.setdefault(inner.tag, inner.children[0])
    return fields


def _paired_again(left: list[Child], right: list[Child], alignment: Alignment) -> dict[int, int]:
    """Where children changed places: those that are alone on both sides and alike moved too, and changed.

    The most alike pair first, then the nearest; exchanging the sides mirrors the result.
    """
    if len(alignment.missing) * len(alignment.extra) > _PAIRED_AGAIN_MAX:
        return {}
    found = []
    for i in alignment.missing:
        for j in alignment.extra:
            alike = _alike(left[i], right[j])
            if alike >= _PAIRED_AGAIN_ALIKE:
                found.append((-alike, abs(i - j), i + j, i, j))
    again: dict[int, int] = {}
    taken: set[int] = set()
    for _, _, _, i, j in sorted(found):
        if i not in again and j not in taken:
            again[i] = j
            taken.add(j)
    return again


def _alike(left: Child, right: Child) -> float:
    """Runs of text are somewhat alike; elements of one tag by the attributes and children that they share."""
    if isinstance(left, str) or isinstance(right, str):
        return 0.3 if isinstance(left, str) and isinstance(right, str) else 0.0
    if left.tag != right.tag:
        return 0.0
    mine, other = _features(left), _features(right)
    every = len(mine | other)
    return 0.3 + 0.7 * len(mine & other) / every if every else 1.0


def _features(element: Element) -> set[Any]:
    attributes = {(name, _attribute(name, value)) for name, value in element.attributes.items()}
    return attributes | {_key(child) for child in element.children}
