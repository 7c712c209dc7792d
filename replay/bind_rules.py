"""Rules of a person about bindings: this place of that response feeds this place of that request, or never anything."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from replay.place import Place

__all__ = ["BindRules", "Spot", "spot_of"]

_MEMBER = re.compile(r"\.([A-Za-z_][\w-]*)")
_KINDS = (
    "path[",
    "query:",
    "header:",
    "cookie:",
    "form:",
    "part:",
    "html:",
    "script:",
    "event:",
    "xml:",
    "protobuf:",
    "text",
    "$",
)


class Spot(NamedTuple):
    """A place in the messages of some routes: a method, a glob of the path, a glob of the place; "*" fits all."""

    method: str
    path: re.Pattern[str]
    place: re.Pattern[str]

    def fits(self, method: str, target: str, place: Place) -> bool:
        """True where a message of that method and target has this place here."""
        return self.fits_route(method, target) and self.place.fullmatch(place.text()) is not None

    def fits_route(self, method: str, target: str) -> bool:
        """True where a message of that method and target may have such a place."""
        return self.method in ("*", method) and self.path.fullmatch(_path_of(target)) is not None


def spot_of(text: str) -> Spot:
    """From "METHOD /path/* PLACE", or PLACE alone for all routes. Raises ValueError where it is neither.

    PLACE is written as `--explain-bindings` shows it; of JSON also as $.a.b[0]. `*` stands for any characters.
    """
    words = text.split()
    if len(words) == 1:
        words = ["*", "*", words[0]]
    if len(words) != 3 or words[1][:1] not in ("/", "*") or not words[2].startswith((*_KINDS, "*")):
        raise ValueError(f"{text!r} is no place; write 'PLACE' or 'METHOD /path/* PLACE', PLACE as query:page or $.id")
    place = words[2]
    if place.startswith("$"):
        place = _MEMBER.sub(r"['\1']", place)
    return Spot(words[0].upper(), _glob(words[1]), _glob(place))


def _glob(pattern: str) -> re.Pattern[str]:
    """`*` is any characters; everything else, brackets too, is itself."""
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)


@lru_cache(maxsize=4096)
def _path_of(target: str) -> str:
    path = target.partition("?")[0]
    return "/" + path.split("://", 1)[1].partition("/")[2] if "://" in path else path


class BindRules:
    """All rules of a run. feeds: "SOURCE -> TARGET" each; exclude: places that are never replaced.

    Raises ValueError where one is not understood.
    """

    def __init__(self, feeds: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        self.feeds: list[tuple[Spot, Spot]] = []
        for text in feeds:
            source, arrow, target = text.partition("->")
            if not arrow:
                raise ValueError(f"{text!r} is no rule; write 'POST /orders $.id -> GET /orders/* path[1]'")
            self.feeds.append((spot_of(source), spot_of(target)))
        self._exclude = [spot_of(text) for text in exclude]

    def excluded(self, method: str, target: str, place: Place) -> bool:
        """True where this place of this request is never replaced."""
        return bool(self._exclude) and any(spot.fits(method, target, place) for spot in self._exclude)

    def feeding(self, method: str, target: str, place: Place) -> list[int]:
        """Numbers of the rules that feed this place of this request."""
        return [n for n, (_, wanted) in enumerate(self.feeds) if wanted.fits(method, target, place)]

    def supplies(self, method: str, target: str) -> bool:
        """True where the response to that request may be the source of a rule."""
        return any(source.fits_route(method, target) for source, _ in self.feeds)

    def supplying(self, method: str, target: str, place: Place) -> list[int]:
        """Numbers of the rules for which this place of the response to that request is the source."""
        return [n for n, (source, _) in enumerate(self.feeds) if source.fits(method, target, place)]
