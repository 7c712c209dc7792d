"""A link: one value of a request, and the places in earlier answers of its session that supplied it."""

from __future__ import annotations

from typing import NamedTuple

from replay.place import Place

__all__ = ["Link", "Source"]


class Source(NamedTuple):
    """A place in the captured response of an earlier request; it supplied the value, "" where any will do (a rule).

    whole: False where the client or the capture left before the response ended: a stream that was read for its first
    events. The plan lets nothing wait for its end, but a request that carries a value of it must. open_until: then,
    when the client left, ns since the epoch; beyond all times where that is not known.
    """

    position: int
    exchange_id: str
    place: Place
    value: str
    whole: bool = True
    open_until: int = 0

    @property
    def sure(self) -> bool:
        """False where it is not known whether the value had come when it was used: it is of an answer under way, and
        not of its head or its first event."""
        return self.whole or self.place.kind in ("header", "cookie") or self.place.path[:1] == (0,)


class Link(NamedTuple):
    """One value of a request that a response of its session supplied; sources in the order in which to try them.

    fold: "upper" or "lower" where the client wrote it so and the response did not. No sources: only the cookie jar has
    it, where it has it at all.
    """

    place: Place
    value: str
    sources: tuple[Source, ...]
    fold: str = ""
