"""HTTP/1 messages of both directions of one connection, paired into exchanges, from any split of the bytes (RFC 9112).

Strict where a message is ambiguous: the exchange says why (`incomplete_reason`) and the rest of that direction is left
unread; a response that was on its way by then is still read. Everything kept is bounded: heads by `HEAD_BYTES_MAX`,
bodies by `body_bytes_max`, requests that wait for a response by `PIPELINE_MAX`.

Reasons: `request_...` and `response_...` with a fault of `head` or `body` (request_obs_fold, response_bad_chunk_size);
request_cut, response_cut, no_response (the connection ended first), reset (it was aborted), gap (bytes were lost on
the way to the observer), upgrade and connect (pipelined behind a request that switched protocols), response_unreadable
(behind a response that could not be read), request_transfer_coding and response_transfer_coding (the framing is sound,
but a coding besides chunked is still on the body).
"""

from __future__ import annotations

from typing import NamedTuple

from capture.observe.events import Begin, Observed
from capture.observe.flight import Flights
from capture.observe.requests import PIPELINE_MAX, RequestReader
from capture.observe.responses import ResponseReader

__all__ = ["PIPELINE_MAX", "Http1Observer", "Place"]


class Place(NamedTuple):
    """How far the messages of a connection are, for a reader that has to pass over a hole.

    client_left, server_left: bytes to the known end of the message that is being read, 0 between two; None where that
    is not known. asking: a request is being read. begun: an exchange is under way whose request has been begun.
    answered: the server spoke last, or nobody has.
    """

    client_left: int | None
    server_left: int | None
    asking: bool
    begun: bool
    answered: bool


class Http1Observer:
    """Follows one HTTP/1 connection; `ConnectionObserver` says what the methods do."""

    __slots__ = ("_answering", "_flights", "_requests", "_responses")

    def __init__(
        self,
        begin: Begin,
        *,
        connection: int = -1,
        source: str = "relay",
        server: str = "",
        scheme: str = "http",
        body_bytes_max: int = 1 << 20,
    ) -> None:
        self._flights = Flights(begin, connection, source, server, scheme)
        self._requests = RequestReader(self._flights, body_bytes_max)
        self._responses = ResponseReader(self._flights, self._requests, body_bytes_max)
        self._answering = True  # the server has not ended its direction

    @property
    def off(self) -> bool:
        """True where neither direction is read any more."""
        return self._requests.off and self._responses.off

    @property
    def between_requests(self) -> bool:
        """True where the client's next byte begins a new request."""
        return self._requests.between

    @property
    def idle(self) -> bool:
        """True between two exchanges, where both directions can be read on."""
        return self._requests.between and not self._flights.waiting and self._responses.left == 0

    def pass_over(self, at_ns: int) -> None:
        """A GET without a body that is not recorded has begun and ended."""
        self._flights.passed(at_ns)

    @property
    def place(self) -> Place:
        """How far the messages of both directions are."""
        requests, responses, waiting = self._requests, self._responses, bool(self._flights.waiting)
        reading = self._flights.reading is not None
        asking = reading or requests.head_begun
        answered = responses.begun if waiting else not asking
        return Place(requests.left, responses.left, asking, waiting or reading, answered)

    def client_bytes(self, data: bytes, at_ns: int) -> list[Observed]:
        if not self._requests.off:
            self._requests.feed(data, at_ns)
            if self._responses.lost and len(self._flights.waiting) > 1:
                self._lose(asked_whole=self._requests.between)  # which of them the next response answers is not known
        return self._flights.take()

    def server_bytes(self, data: bytes, at_ns: int) -> list[Observed]:
        if not self._responses.off:
            self._responses.feed(data, at_ns)
            if self._responses.unsure:
                self._lose(asked_whole=self._requests.between)
        return self._flights.take()

    def client_end(self, at_ns: int) -> list[Observed]:
        self._left(at_ns)
        self._requests.end()
        if self._responses.off:
            self._flights.flush("no_response", "request_cut")
        return self._flights.take()

    def server_end(self, at_ns: int) -> list[Observed]:
        self._answering = False
        self._responses.end(at_ns)
        if self._requests.off:
            self._flights.flush("no_response", "request_cut")
        return self._flights.take()

    def abort(self, at_ns: int, by_client: bool = False) -> list[Observed]:
        if by_client:
            self._left(at_ns)
        return self._over("reset", "reset", "reset")

    def close(self, at_ns: int) -> list[Observed]:
        self._left(at_ns)
        return self._over("request_cut", "response_cut", "no_response")

    def _left(self, at_ns: int) -> None:
        """The client is gone, or nobody looks at it any more, before the server has ended."""
        if self._answering and self._flights.left_ns is None:
            self._flights.left_ns = at_ns

    def _over(self, unended: str, cut: str, unanswered: str) -> list[Observed]:
        requests, responses = self._requests, self._responses
        responses.cut(cut)
        unanswered = "gap" if responses.lost else unanswered
        responses.stop()
        requests.stop_body()
        self._flights.flush(unanswered, unended)
        requests.end()
        return self._flights.take()

    def gap(self, from_client: bool, missing_bytes: int, at_ns: int) -> list[Observed]:
        """Bytes of one direction were lost; missing_bytes 0: it is not known how many."""
        requests, responses = self._requests, self._responses
        reader_off = requests.off if from_client else responses.off
        if reader_off:
            return []
        passed = requests.gap(missing_bytes, at_ns) if from_client else responses.gap(missing_bytes)
        if not passed and not from_client and self._only_asking:
            responses.lose()  # of an interim answer, or of one that did not wait for the end: the request goes on
        elif not passed:
            self._lose(asked_whole=not from_client and requests.between)
        return self._flights.take()

    @property
    def _only_asking(self) -> bool:
        """True where one request is being read, no other waits, and nothing of its answer has come."""
        flights = self._flights
        return len(flights.waiting) == 1 and flights.waiting[0] is flights.reading and not self._responses.begun

    def _lose(self, *, asked_whole: bool = False) -> None:
        """It is not known any more where messages begin: end what is under way, and look for a sure start of both.

        asked_whole: the client's direction is whole, and between two requests: it is read on. Where requests were
        pipelined no later response could be paired for sure, and the rest is opaque.
        """
        requests, responses = self._requests, self._responses
        responses.cut("gap")
        requests.stop_body()
        self._flights.flush("gap", "gap")
        if self._flights.pipelined:
            requests.stop()
            responses.stop()
            self._flights.opaque("gap")
            return
        if not asked_whole:
            requests.lose()
        responses.lose()
