"""How many exchanges of a connection were lost: asking and answering take turns, and a turn that was not read is one.

Acknowledgement numbers put the two directions in order, holes included, so that a client that speaks after the server
did begins another exchange, whether a byte of it was captured or not. What remains is told by the ends of messages
that are known. Exchanges in a row of which no packet at all was captured are one hole, and count once, unless the
requests beside them say how many of the same size it holds. Pure; nothing here is called before the first hole.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, Literal, NamedTuple

__all__ = ["UNKNOWN", "Direction", "Hole", "Place", "Turns", "path"]

Direction = Literal["client", "server"]

UNKNOWN: Final = -1
"""So many bytes that it is not known how many, or a connection that began before the capture did."""


class Hole(NamedTuple):
    """Bytes that were not captured. client, server: how many of each direction, >= 0 or UNKNOWN.

    before: whose bytes come next; None where the connection ends behind the hole.
    """

    client: int
    server: int
    before: Direction | None


class Place(NamedTuple):
    """Where a connection stands. answered: the server spoke last, so that what it answered is known to have ended.

    client_left, server_left: bytes to the known end of the message that is being sent, 0 between two; None: not known.
    """

    answered: bool
    client_left: int | None
    server_left: int | None


def path(hole: Hole, place: Place) -> list[tuple[Direction, int]]:
    """The bytes of a hole in the order in which they were sent, as far as that is known; else for the fewest exchanges.

    A single byte behind a whole message is none: it is the number that a FIN takes, which was not captured either.
    """
    client, server = hole.client, hole.server
    if client == 1 and hole.before == "server" and place.client_left == 0:
        client = 0
    if server == 1 and hole.before == "client" and place.answered and place.server_left == 0:
        server = 0
    if UNKNOWN in (client, server):
        return [(way, UNKNOWN) for way, missing in _both(client, server) if missing]
    if place.answered:
        first = server if place.server_left is None else min(place.server_left, server)
        parts: list[tuple[Direction, int]] = [("server", first), ("client", client), ("server", server - first)]
    else:
        first = client if place.client_left is None else min(place.client_left, client)
        if first < client and not server:  # asked again before the answer
            first = client
        parts = [("client", first), ("server", server), ("client", client - first)]
    return [part for part in parts if part[1]]


def _both(client: int, server: int) -> tuple[tuple[Direction, int], tuple[Direction, int]]:
    return (("client", client), ("server", server))


class Turns:
    """The turns of one connection, and of those that ended without a request that was read, why they are lost.

    take: how many by reason since the last call: "no_request" where nothing but the answer was seen, else "gap".
    """

    __slots__ = ("_answered", "_asked", "_begun", "_heard", "_lost", "_missing", "_open", "_skipped", "_torn")

    def __init__(self, *, begun: bool = False, asking: bool = False, answered: bool = True) -> None:
        """begun: an exchange is under way that the reader began before the first hole. asking: a request is being read.
        answered: the server spoke last, or nobody has."""
        self._lost: Counter[str] = Counter()
        self._new(is_open=begun or asking)
        self._begun, self._asked, self._answered = begun, asking, answered

    def _new(self, *, is_open: bool) -> None:
        self._open = is_open
        self._answered = False
        self._begun = False  # the reader began it
        self._asked = False  # bytes of the client were captured
        self._heard = False  # bytes of the server were captured
        self._missing = False  # bytes of the client were not
        self._torn = False  # bytes of a request were not that the reader has not begun
        self._skipped = False  # the start of the answer was not captured

    @property
    def answered(self) -> bool:
        """True where the server spoke last, or nobody has spoken yet."""
        return self._answered or not self._open

    @property
    def torn(self) -> bool:
        """True where bytes of the client were lost in this turn, of a request that the reader has not begun."""
        return self._open and self._torn and not self._answered

    def asks(self, *, captured: bool, goes_on: bool, between: bool = False, begins: bool = False) -> None:
        """The client sent bytes. goes_on: they belong to the request that is being read. between: to another one.
        begins: they are the start of one."""
        if not self._open or (self._answered and not goes_on):
            self._close()
            self._new(is_open=True)
        if begins:
            self._torn_off()
        if captured:
            self._asked = True
        else:
            self._missing = True
            self._torn = self._torn or between or not self._begun

    def begins(self) -> None:
        """The reader read a request's head."""
        self._torn_off()
        self._begun = True

    def _torn_off(self) -> None:
        """A request starts; what was lost before it in this turn was another one."""
        if self._torn:
            self._lost["gap"] += 1
            self._torn = self._begun = self._asked = False

    def answers(self, *, captured: bool, begins: bool = False, ended: bool = False) -> None:
        """The server sent bytes. begins: they are the start of an answer that is not interim. ended: the last one is
        over, so that they belong to another."""
        if not (captured or self._open or ended):
            return  # of an exchange before the first that was captured
        if (begins and self._skipped and self._missing) or (self._open and self._answered and ended):
            self._close()
            self._new(is_open=True)
        if not captured and not self._answered:
            self._skipped = True
        self._open = self._answered = True
        self._heard = self._heard or captured

    def repeats(self, n: int) -> None:
        """A hole holds n more exchanges than turns."""
        self._lost["gap"] += n

    def over(self) -> None:
        """The connection has ended."""
        self._close()
        self._new(is_open=False)

    def _close(self) -> None:
        if self._open and (self._torn or not self._begun):
            self._lost["no_request" if self._heard and not self._asked else "gap"] += 1

    def take(self) -> dict[str, int]:
        """How many exchanges were lost since the last call, by reason."""
        lost = {reason: n for reason, n in self._lost.items() if n}
        if lost:
            self._lost = Counter()
        return lost
