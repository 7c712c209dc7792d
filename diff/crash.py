"""Failures that one crash made: what was under way broke off, and from then on, or for a while, nobody listened."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Failed", "causes_of_failures"]

_NEAR = 64
"""Requests that may be under way at the same time, in places of the plan."""
_MOST = 0.9
_BREAKING = frozenset(("reset", "cut", "timeout", "malformed"))


class Failed(NamedTuple):
    """Requests that a candidate alone did not answer, in one way: the kind, and the first places in the plan."""

    kind: str
    positions: Sequence[int]


def causes_of_failures(failed: Mapping[str, Failed]) -> dict[str, str]:
    """For failures that only follow from others, which ones those are; by name.

    Connections are refused because of a crash where each stretch of refusals begins just after an answer broke off. Of
    answers that broke off on several routes, each time near such a stretch, those that did so most often are the cause,
    or the first ones: the others were under way.
    """
    broken = {name: one for name, one in failed.items() if one.kind in _BREAKING and one.positions}
    refused = {name: one for name, one in failed.items() if one.kind == "refused" and one.positions}
    if not broken or not refused:
        return {}
    stretches = _stretches(sorted(place for one in refused.values() for place in one.positions))
    crashes = {name: _before(stretches, sorted(one.positions)) for name, one in broken.items()}
    cause = min(crashes, key=lambda name: (-len(crashes[name]), min(broken[name].positions), name))
    if len(set().union(*crashes.values())) < _MOST * len(stretches):
        return {}
    found = dict.fromkeys(refused, cause)
    for name, one in broken.items():
        near = sum(_is_near(stretches, place) for place in one.positions)
        if name != cause and near >= _MOST * len(one.positions):
            found[name] = cause
    return found


def _stretches(places: Sequence[int]) -> list[int]:
    """Where stretches begin, of places in order."""
    return [place for number, place in enumerate(places) if number == 0 or place - places[number - 1] > _NEAR]


def _before(starts: Sequence[int], places: Sequence[int]) -> set[int]:
    """The starts that have one of these places just before them, or among what was under way."""
    found = set()
    for start in starts:
        number = bisect.bisect_left(places, start - _NEAR)
        if number < len(places) and places[number] <= start + _NEAR:
            found.add(start)
    return found


def _is_near(starts: Sequence[int], place: int) -> bool:
    return any(abs(start - place) <= _NEAR for start in starts)
