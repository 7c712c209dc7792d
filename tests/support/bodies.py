"""One call for tests that compare two bodies of one content type, and check the mirror image at the same time."""

from __future__ import annotations

from typing import Any

from diff.compare import CompareOptions, Comparison, compare_bodies
from diff.difference import Difference, generalise, swapped


def compare(left: bytes | str, right: bytes | str, content_type: str | None, **options: Any) -> Comparison:
    """The comparison of two bodies; asserts that exchanging the sides exchanges the differences."""
    mine, other = (body.encode() if isinstance(body, str) else body for body in (left, right))
    chosen = CompareOptions(**options)
    there = compare_bodies(mine, other, content_type, content_type, chosen)
    back = compare_bodies(other, mine, content_type, content_type, chosen)
    assert _without_indexes(there.differences) == _without_indexes(tuple(map(swapped, back.differences)))
    assert (there.verdict, there.limits, len(there.notes)) == (back.verdict, back.limits, len(back.notes))
    assert compare_bodies(mine, bytes(bytearray(mine)), content_type, content_type, chosen).verdict == "equal"
    return there


def found(left: bytes | str, right: bytes | str, content_type: str | None, **options: Any) -> list[tuple[Any, ...]]:
    """(path, kind, left, right) of every difference."""
    comparison = compare(left, right, content_type, **options)
    return [(d.path, d.kind, d.left, d.right) for d in comparison.differences]


def _without_indexes(differences: tuple[Difference, ...]) -> list[str]:
    return sorted(repr((d.place, generalise(d.path), d.kind, d.left, d.right)) for d in differences)
