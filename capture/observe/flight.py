"""The exchanges of one HTTP/1 connection that have begun and are not over, and the record each one ends as."""

from __future__ import annotations

from collections import deque

from capture.exchange import Exchange, Request, Response, Times
from capture.observe.body import Body, Digest
from capture.observe.events import Begin, Finished, Observed, Opaque
from capture.observe.head import RequestHead, ResponseHead

__all__ = ["Flight", "Flights"]

_PASSED = Request("GET", "", "", ())
"""Stands for requests that are not recorded."""


class Flight:
    """One exchange on its way; token None: followed for the framing, not recorded. fault: the first that befell it."""

    __slots__ = (
        "digests", "ended_ns", "fault", "request", "response", "response_ended_ns", "response_ns", "started_ns",
        "token",
    )  # fmt: skip

    def __init__(self, request: Request, started_ns: int, token: object | None) -> None:
        self.request = request
        self.started_ns = started_ns
        self.token = token
        self.ended_ns: int | None = None
        self.fault: str | None = None
        self.response: Response | None = None
        self.response_ns: int | None = None
        self.response_ended_ns: int | None = None
        self.digests: tuple[str, ...] = ()

    def take_request_body(self, body: Body) -> None:
        """Put what was read of the request's body into the request."""
        if body.lost:
            self.fault = self.fault or "gap"
        if self.token is None:
            return
        was = self.request
        kept = bytes(body.kept)
        if body.digest is not None:
            self.digests += (body.digest.note("request"),)
        self.request = Request(
            was.method, was.target, was.version, was.headers, kept, body.length, body.length > len(kept), body.trailers
        )

    def take_response(
        self, head: ResponseHead, kept: bytes, length: int, body: Body | None, digest: Digest | None
    ) -> None:
        """Put the response together; length: of the body as seen. body: its reader, None where none was needed."""
        if digest is not None:
            self.digests += (digest.note("response"),)
        if body is not None and body.lost:
            self.fault = self.fault or "gap"
        if head.coded and length:
            self.fault = self.fault or "response_transfer_coding"
        trailers = body.trailers if body is not None else ()
        self.response = Response(
            head.status, head.reason, head.version, head.headers, kept, length, length > len(kept), trailers
        )


class Flights:
    """All exchanges of one connection between their beginning and their end.

    waiting: those without a whole response, oldest first; the next response belongs to waiting[0]. reading: the one
    whose request body is being read, None between requests; it may have been answered already. pipelined: a request
    began while another waited. left_ns: when the client was seen to leave, None while it was not; what has no whole
    response by then was left by it.
    """

    __slots__ = (
        "_begin",
        "_connection",
        "_opaque_said",
        "_out",
        "_scheme",
        "_server",
        "_source",
        "left_ns",
        "pipelined",
        "reading",
        "waiting",
    )

    def __init__(self, begin: Begin, connection: int, source: str, server: str, scheme: str) -> None:
        self._begin = begin
        self._connection = connection
        self._source = source
        self._server = server
        self._scheme = scheme
        self._opaque_said = False
        self.pipelined = False
        self.left_ns: int | None = None
        self._out: list[Observed] = []
        self.waiting: deque[Flight] = deque()
        self.reading: Flight | None = None

    def take(self) -> list[Observed]:
        """What was observed since the last call."""
        out = self._out
        if out:
            self._out = []
            return out
        return []

    def began(self, head: RequestHead, started_ns: int) -> Flight:
        """A request's head was read: ask whether to record it, and wait for its response."""
        request = head.request
        flight = Flight(request, started_ns, self._begin(request, started_ns))
        self.waiting.append(flight)
        return flight

    def passed(self, at_ns: int) -> None:
        """A GET without a body that is not recorded has begun and ended; only its response is waited for."""
        flight = Flight(_PASSED, at_ns, None)
        flight.ended_ns = at_ns
        self.waiting.append(flight)

    def finish(self, flight: Flight) -> None:
        """The exchange is over, whole unless it has a fault."""
        if flight.token is None:
            return
        left_ns = self.left_ns if flight.response_ended_ns is None else None
        times = Times(flight.started_ns, flight.ended_ns, flight.response_ns, flight.response_ended_ns, left_ns)
        exchange = Exchange(
            "",
            "",
            self._source,
            1.0,
            flight.request,
            flight.response,
            times,
            flight.fault,
            (),
            self._connection,
            self._server,
            self._scheme,
            # Of a body that was not seen whole a digest says nothing.
            flight.digests if flight.fault is None else (),
        )
        self._out.append(Finished(exchange, flight.token))

    def flush(self, unanswered: str, unended: str) -> None:
        """End everything in flight; unended: the reason where the request itself was not seen whole.

        The request that is being read must have been taken from its reader before.
        """
        waiting = self.waiting
        current, self.reading = self.reading, None
        if current is not None and current.response is not None:
            current.fault = current.fault or unended
            self.finish(current)
        while waiting:
            flight = waiting.popleft()
            flight.fault = flight.fault or (unended if flight.ended_ns is None else unanswered)
            self.finish(flight)

    def opaque(self, reason: str) -> None:
        """The rest of the connection, or of one direction, cannot be read; said once."""
        if not self._opaque_said:
            self._opaque_said = True
            self._out.append(Opaque(reason))
