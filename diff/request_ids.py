"""Ids of requests in response headers: whether each answer still has one of its own, or the one that was asked for.

Their values are no behaviour (diff/volatile.py), but that they are made anew for each request is, and so is that an id
is handed back which the client sent. Neither shows in one pair: an id is told from the current build's, the witness's,
and those of the answers before. Pure, bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

from capture.exchange import Headers
from diff.difference import Difference
from diff.odd import Change, Seen
from diff.values import class_of
from diff.volatile import is_request_id

__all__ = ["RequestIds", "ids_in"]

_RECENT = 16
_PLACES_MAX = 2000

Ids = dict[str, str]
_Recent = tuple[OrderedDict[str, None], OrderedDict[str, None], OrderedDict[str, None]]


def ids_in(headers: Headers) -> Ids:
    """The ids of requests among header fields, by name in lower case; empty ones and those sent twice are left out."""
    found: Ids = {}
    for name, value in headers:
        lowered = _id_name(name)
        if lowered is not None:
            found[lowered] = "" if lowered in found else value
    return {name: value for name, value in found.items() if value} if found else found


@lru_cache(maxsize=1024)
def _id_name(name: str) -> str | None:
    lowered = name.lower()
    return lowered if is_request_id(lowered) else None


class RequestIds:
    """What a candidate's ids of requests were lately, route by route, beside those of the current build and witness."""

    __slots__ = ("_recent",)

    def __init__(self) -> None:
        self._recent: OrderedDict[tuple[str, str], _Recent] = OrderedDict()

    def compare(
        self, route: str, current: Ids, candidate: Ids, witness: Ids, now_ns: int
    ) -> tuple[list[Seen], list[Seen]]:
        """What of the ids only the candidate, and what only the witness (or both) has otherwise than the current build.

        An id on which the current build and the witness agree is one that the request or the data gave. Where all three
        have ids of their own, what counts is who gives one that it gave shortly before.
        """
        ours: list[Seen] = []
        theirs: list[Seen] = []
        for name, mine in current.items():
            other, third = candidate.get(name), witness.get(name)
            if other is None or third is None:
                continue
            again = [
                _is_again(recent, value)
                for recent, value in zip(self._recent_of(route, name), (mine, other, third), strict=True)
            ]
            repeats = False
            if mine not in (other, third) and other != third:
                repeats = not again[0] and again[1] != again[2]
                differs, witness_differs = repeats and again[1], repeats and again[2]
            else:
                differs, witness_differs = mine != other, mine != third
            if differs:
                ours.append(_seen(name, mine, other, now_ns, repeats=repeats))
            if witness_differs:
                theirs.append(_seen(name, mine, third, now_ns, repeats=repeats))
        return ours, theirs

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self._recent.clear()

    def _recent_of(self, route: str, name: str) -> _Recent:
        key = (route, name)
        recent = self._recent.get(key)
        if recent is None:
            if len(self._recent) >= _PLACES_MAX:
                self._recent.popitem(last=False)
            recent = self._recent[key] = (OrderedDict(), OrderedDict(), OrderedDict())
        return recent


def _is_again(recent: OrderedDict[str, None], value: str) -> bool:
    again = value in recent
    recent[value] = None
    if len(recent) > _RECENT:
        recent.popitem(last=False)
    return again


def _seen(name: str, mine: str, other: str, now_ns: int, *, repeats: bool) -> Seen:
    classes = class_of(mine, now_ns), class_of(other, now_ns)
    if repeats:
        classes = f"{classes[0]}, varying", f"{classes[1]}, repeating"
    return Seen(f"header:{name}", Change("value", *classes), Difference("header", (name,), "value", mine, other))
