"""A cookie jar: what one build has set in one session, so that its cookies are sent back as a client would."""

from __future__ import annotations

from collections.abc import Callable

from capture.exchange import Exchange, Headers
from replay.link import Link
from replay.set_cookie import cookies_set

__all__ = ["Jar"]

_SETS_MAX = 64
_NAMES_MAX = 256


class Jar:
    """The cookies that one build has set in one session (RFC 6265), by name; paths and domains are not looked at.

    Where the build sets cookies at the same places as production did, the recorded request says which of them it
    carried. The jar answers for the rest: a build that sets one more often, or less often.
    """

    __slots__ = ("_sets",)

    def __init__(self) -> None:
        self._sets: dict[str, list[tuple[int, str, str, bool]]] = {}

    def take(self, exchange: Exchange, position: int, headers: Headers) -> None:
        """Note the Set-Cookie headers of the build's answer to the exchange of that position."""
        recorded: set[str] | None = None
        for name, value in cookies_set(headers):
            if recorded is None:
                before = exchange.response.headers if exchange.response is not None else ()
                recorded = {name for name, _ in cookies_set(before)}
            sets = self._sets.get(name)
            if sets is None:
                if len(self._sets) >= _NAMES_MAX:
                    continue
                sets = self._sets[name] = []
            sets.append((position, value, exchange.id, name in recorded))
            del sets[:-_SETS_MAX]

    def set_since(self, link: Link) -> tuple[str, str] | None:
        """(value, origin) of what the build alone has set since the source of a link; None where it has not."""
        start = link.sources[0].position if link.sources else -1
        return self._last(link, lambda position, recorded: position > start and not recorded)

    def set_before(self, link: Link) -> tuple[str, str] | None:
        """(value, origin) of what the build had set last before the source of a link; None where it has not."""
        start = link.sources[0].position if link.sources else -1
        return self._last(link, lambda position, _: position <= start)

    def _last(self, link: Link, wanted: Callable[[int, bool], bool]) -> tuple[str, str] | None:
        name = str(link.place.path[0])
        for position, value, exchange_id, recorded in reversed(self._sets.get(name, ())):
            if value and wanted(position, recorded):
                return value, f"{exchange_id} {link.place.text()}"
        return None
