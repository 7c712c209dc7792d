"""From recorded exchanges in time order to planned requests: sessions, what waits for what, or why one is skipped."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Final

from capture.exchange import Exchange, Request, Times
from replay.planned import Planned
from replay.row import MARKER, TOKEN, Row, row_of
from replay.stay import stay_of

__all__ = ["MARKER", "SAFE_METHODS", "SKIP_REASONS", "Planned", "Planner", "skip_reason"]

SAFE_METHODS: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "QUERY"))
"""Methods that are defined to be read-only (RFC 9110 section 9.2.1, and QUERY)."""

SKIP_REASONS = {
    "breaker": "every candidate, or the current build, had refused too many connections in a row",
    "captured_address": "it was captured from the address of one of the builds",
    "captured_by_replay": "it carries the marker of a replay",
    "connect_or_upgrade": "CONNECT, or a change of protocol, after which the bytes are not HTTP",
    "hook_failed": "the hook of a build failed for it, so that it could not be signed",
    "incomplete_request": "the capture did not see the request whole",
    "invalid_request": "the method, the target or a header cannot be put on the wire safely",
    "no_body": "the source could not see the request's body",
    "truncated_body": "the request's body is longer than the capture kept",
    "unresolved_binding": "no build gave the value that this request needs",
    "unsafe_method": "the method may change something, and writes were not allowed",
}
"""Every reason for which a planned request is not sent, and what it means."""

_TARGET = re.compile(r"[^\x00-\x20\x7f\u0100-\U0010ffff]+\Z")
_OVERLAP_MAX: Final = 256


def skip_reason(exchange: Exchange, allow_writes: bool) -> str | None:
    """Why this exchange cannot or may not be sent again; None where it can. An incomplete response is no reason."""
    request = exchange.request
    return _reason(exchange, request, *row_of(request.headers), allow_writes)


def _reason(exchange: Exchange, request: Request, row: Row, values: tuple[str, ...], allow_writes: bool) -> str | None:
    method, response = request.method, exchange.response
    if row.marked:
        return "captured_by_replay"
    if (
        method == "CONNECT"
        or (row.upgrades and any("websocket" in values[at].lower() for at in row.upgrades))
        or (response is not None and response.status == 101)
    ):
        return "connect_or_upgrade"
    if request.truncated:
        return "truncated_body"
    if request.body is None:
        return "no_body"
    if exchange.incomplete_reason is not None and exchange.times.request_end is None:
        return "incomplete_request"
    if not (row.valid and _can_be_sent(request.target, values)):
        return "invalid_request"
    if method not in SAFE_METHODS:
        if not TOKEN.match(method):
            return "invalid_request"
        if not allow_writes:
            return "unsafe_method"
    return None


def _end_of(exchange: Exchange, times: Times) -> int | None:
    """When what follows may have begun because of this answer; None where nothing waits for it.

    A client that left before the end had read as far as it wanted, and went on; from what it left without an answer
    nothing follows. Where it is not known when it left, what was changed for it was changed before its first byte; a
    stream that was only read may have no end, and nothing waits for one but what carries a value of it (bind.py).
    """
    end = times.response_end
    if end is not None:
        return end
    if times.left is None and exchange.request.method not in SAFE_METHODS:
        return times.response_start
    return times.left if exchange.response is not None else None


def _can_be_sent(target: str, values: tuple[str, ...]) -> bool:
    """True where the target and the values of all headers can be put on the wire as they are.

    Text that another program wrote may have what no wire can carry; text from a wire is a byte each.
    """
    if not (target.isascii() and target.isprintable() and target and " " not in target) and not _TARGET.match(target):
        return False
    text = "".join(values)
    return "\r" not in text and "\n" not in text and "\0" not in text and (text.isascii() or max(text) <= "\xff")


class Planner:
    """Plans a stream of exchanges in bounded memory; one use, for one pass over a log.

    The exchanges must come in order of request_start. sessions_max: sessions remembered at once; the one that was
    used longest ago is forgotten first, and `forgotten` counts those that came back after it.
    """

    def __init__(self, allow_writes: bool = False, sessions_max: int = 20_000) -> None:
        self.forgotten = 0
        self._allow_writes = allow_writes
        self._sessions_max = sessions_max
        self._open: OrderedDict[str, list[tuple[int, int, int]]] = OrderedDict()
        self._evicted: OrderedDict[str, None] = OrderedDict()

    def plan(self, exchanges: Iterable[Exchange]) -> Iterator[Planned]:
        """One Planned for each exchange, in the same order."""
        first_ns: int | None = None
        latest = 0
        allow_writes = self._allow_writes
        for position, exchange in enumerate(exchanges):
            times, request = exchange.times, exchange.request
            start = times.request_start
            if first_ns is None:
                first_ns = start
            # Logs of several machines can step back by their clocks' difference; the schedule does not.
            if start - first_ns > latest:
                latest = start - first_ns
            row, values = row_of(request.headers)
            reason = _reason(exchange, request, row, values, allow_writes)
            waits_for = () if reason is not None else self._happens_before(exchange, times, position)
            stay = stay_of(exchange) if times.response_end is None else None
            yield Planned(position, exchange, latest, waits_for, reason, row, values, stay)

    def _happens_before(self, exchange: Exchange, times: Times, position: int) -> tuple[int, ...]:
        """Positions that must be answered first, and remember this one for those that follow."""
        start, left, session = times.request_start, times.left, exchange.session
        end = _end_of(exchange, times)
        earlier = self._open.get(session)
        if earlier is None:
            earlier = self._remember(session)
        else:
            self._open.move_to_end(session)
            if len(earlier) == 2 and end is not None and left is None:
                before, last = earlier
                if before[2] <= last[1] and before[1] <= last[1] and last[2] <= start:
                    # One thing after the other, the usual case: what follows comes to the same.
                    earlier[0] = last
                    earlier[1] = (position, start, end)
                    return (last[0],)
        ended = [entry for entry in earlier if entry[2] <= start]
        waits_for: tuple[int, ...] = ()
        if ended:
            # What ended before another ended one began is waited for through that other one.
            last_start = max(entry[1] for entry in ended)
            direct = [entry for entry in ended if entry[2] > last_start or entry[1] == last_start]
            waits_for = tuple(dict.fromkeys(entry[0] for entry in direct))
            if len(direct) < len(ended):
                earlier[:] = [entry for entry in earlier if entry[2] > start or entry in direct]
        if end is not None:
            opened = times.response_start
            if left is not None and opened is not None and opened < left:
                # Once for its beginning, which is waited for while it is open, and once for when it was left.
                earlier.append((position, start, opened))
            earlier.append((position, start, end))
            while len(earlier) > _OVERLAP_MAX:
                del earlier[0]
        return waits_for

    def _remember(self, session: str) -> list[tuple[int, int, int]]:
        if session in self._evicted:
            self.forgotten += 1
            del self._evicted[session]
        if len(self._open) >= self._sessions_max:
            name, _ = self._open.popitem(last=False)
            self._evicted[name] = None
            if len(self._evicted) > 10 * self._sessions_max:
                self._evicted.popitem(last=False)
        entries: list[tuple[int, int, int]] = []
        self._open[session] = entries
        return entries
