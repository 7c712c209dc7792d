"""Which differences of a pair are the cause and which only follow from it, inside one response and along a session."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from diff.difference import Difference
from diff.odd import GroupKey
from replay.outcome import Outcome

__all__ = ["CascadeLedger", "Primary", "primary", "shared_followers"]

_BODY_VALIDATORS = frozenset(
    {"etag", "content-md5", "digest", "content-digest", "repr-digest", "content-length", "last-modified"}
)
"""Headers computed from the body: another value is no news where the body differs; presence still is."""

_REMEMBERED_MAX = 100_000


class Primary(NamedTuple):
    """kept: the differences that are not mere consequences of another in the same pair. swallowed: the rest of the
    response was, by a greater one. followers: validators with another value, which another body explains."""

    kept: list[Difference]
    swallowed: bool
    followers: tuple[Difference, ...] = ()


def primary(differences: Sequence[Difference]) -> Primary:
    """What of a pair's differences is the cause, and what only follows.

    An answer against a failure stands alone, and so does another status: such a pair's bodies are different documents.
    Where the body differs, validators and lengths computed from it follow; where the content type changed, a body of
    another type follows; where Location leads elsewhere, so does what repeats it in the body (a page saying "moved").
    """
    for place in ("outcome", "status"):
        alone = [difference for difference in differences if difference.place == place]
        if alone:
            return Primary(alone, True)
    body_differs = any(difference.place == "body" for difference in differences)
    if not body_differs:
        return Primary(list(differences), False)
    retyped = any(
        difference.place == "header" and difference.path == ("content-type",) and difference.kind == "value"
        for difference in differences
    )
    moved = _moved(differences)
    kept, followers = [], []
    for difference in differences:
        if moved is not None and _repeats(difference, *moved):
            continue
        if (
            difference.place == "header"
            and difference.kind == "value"
            and difference.path
            and difference.path[0] in _BODY_VALIDATORS
        ):
            followers.append(difference)
            continue
        if retyped and difference.place == "body" and not difference.path:
            continue
        kept.append(difference)
    return Primary(kept, False, tuple(followers))


def _moved(differences: Sequence[Difference]) -> tuple[str, str] | None:
    """The two values of Location, where they differ and say enough to be found again."""
    for one in differences:
        if one.place == "header" and one.path == ("location",) and one.kind == "value":
            left, right = one.left, one.right
            return (left, right) if isinstance(left, str) and isinstance(right, str) and len(left) > 1 else None
    return None


def _repeats(difference: Difference, left: str, right: str) -> bool:
    """Whether a text in the body has changed in this alone."""
    if difference.place != "body" or difference.kind != "value":
        return False
    mine, other = difference.left, difference.right
    return isinstance(mine, str) and left in mine and mine.replace(left, right) == other


def shared_followers(
    candidate: Sequence[Difference], witness: Sequence[Difference]
) -> tuple[list[Difference], list[Difference]]:
    """The validators that follow another body on both sides.

    Where even the witness has another body, all three have other validators, and whether those repeat, or are written
    otherwise, can still be told. A validator that only one side has changed follows from that side's body.
    """
    both = {one.path for one in candidate} & {one.path for one in witness}
    return [one for one in candidate if one.path in both], [one for one in witness if one.path in both]


def _may_follow(path: str, cause: str, fed_from: str) -> bool:
    """Whether what differs at path may come of what differed at cause, in the answer that fed this request.

    fed_from: the place of that answer that did ("header:location/path/1"). Another status, or no answer, explains all.
    What a body said otherwise may be stored and show in a later body. A header explains only what was fed from it.
    """
    if cause in ("status", "outcome"):
        return True
    if cause.startswith("$"):
        return path.startswith("$") or path in ("status", "outcome")
    return fed_from == cause or fed_from.startswith((f"{cause}/", f"{cause}["))


class CascadeLedger:
    """Remembers where the candidate stood apart, so that a later request fed from there can be traced back to it.

    Bounded: the oldest exchanges are forgotten first, and then a cascade is told as a finding of its own.
    """

    __slots__ = ("_apart", "_links")

    def __init__(self) -> None:
        self._apart: OrderedDict[str, tuple[GroupKey, ...]] = OrderedDict()
        self._links: dict[GroupKey, Counter[GroupKey]] = {}

    def note(self, exchange_id: str, candidate: Outcome, apart: Sequence[GroupKey]) -> None:
        """One pair: the groups in which the candidate stood apart, and what its request was fed from."""
        if not apart:
            return
        for group in apart:
            causes = {
                cause
                for binding in candidate.bindings
                for origin, _, place in (binding.origin.partition(" "),)
                for cause in self._apart.get(origin, ())
                if cause != group and _may_follow(group.path, cause.path, place)
            }
            if causes:
                self._links.setdefault(group, Counter()).update(causes)
        if exchange_id:
            self._apart[exchange_id] = tuple(apart)
            if len(self._apart) > _REMEMBERED_MAX:
                self._apart.popitem(last=False)

    def merge(self, other: CascadeLedger) -> None:
        """Add the links that were found in other sessions."""
        for group, links in other._links.items():
            self._links.setdefault(group, Counter()).update(links)

    def settle(self) -> None:
        """Forget what only further pairs would need."""
        self._apart.clear()

    def causes_of(self, group: GroupKey, count: int) -> list[GroupKey]:
        """The groups that stood behind at least nine tenths of this group's `count` requests, most frequent first."""
        links = self._links.get(group, Counter())
        often = [(n, cause) for cause, n in links.items() if n >= 0.9 * count]
        return [cause for _, cause in sorted(often, key=lambda item: (-item[0], item[1]))]
