"""The mitmproxy addon: flows in, exchanges out through the same pipeline as every source, bodies copied as they pass.

Knows mitmproxy's flows by their attributes only, and imports nothing of it. A hook never raises and a tap always
returns the bytes that it was given: what goes wrong here costs a sample, never a request.
"""

from __future__ import annotations

import itertools
from typing import Any

from capture.clock import Clock
from capture.exchange import Exchange, Headers, Request, Response, Times, header
from capture.pipeline import Pipeline
from capture.sample import Decision

__all__ = ["MitmTap"]

_CANCELLED = "connection cancelled"  # mitmproxy's own word for an attempt that its end cut short
_LEFT = frozenset(("client_closed", "capture_ended"))
"""Reasons for which an exchange is incomplete though the server did nothing to end it."""
_VERSIONS = {"HTTP/2.0": "HTTP/2", "HTTP/3.0": "HTTP/3"}


class _Copy:
    """A copy of one body, up to a cap. Called by mitmproxy with each piece, the last one empty."""

    __slots__ = ("_cap", "_tap", "bytes", "kept_bytes", "parts")

    def __init__(self, tap: MitmTap) -> None:
        self._tap = tap
        self._cap = tap.body_bytes_max
        self.parts: list[bytes] = []
        self.bytes = 0
        self.kept_bytes = 0

    def __call__(self, data: bytes) -> bytes:
        self.bytes += len(data)
        room = self._cap - self.kept_bytes
        if data and room > 0:
            part = bytes(data[:room])
            if self._tap.hold(len(part)):
                self.parts.append(part)
                self.kept_bytes += len(part)
            else:
                self._cap = self.kept_bytes
        return data

    def take(self, unstreamed: bytes | None) -> tuple[bytes, int, bool]:
        """(body, full length, cut); unstreamed: what mitmproxy holds of a body that it did not stream."""
        if unstreamed and not self.bytes:
            return unstreamed[: self._cap], len(unstreamed), len(unstreamed) > self._cap
        body = b"".join(self.parts)
        return body, self.bytes, self.bytes > len(body)


class _Flight:
    """One flow under way."""

    __slots__ = (
        "client", "decision", "flow", "request_body", "request_end", "response_body", "response_start", "start",
    )  # fmt: skip

    def __init__(self, decision: Decision, start: int, flow: Any, tap: MitmTap) -> None:
        self.decision = decision
        self.start = start
        self.flow = flow
        self.client = flow.client_conn.id
        self.request_end: int | None = None
        self.response_start: int | None = None
        self.request_body = _Copy(tap)
        self.response_body = _Copy(tap)


class MitmTap:
    """Hooks of mitmproxy, by their names. `quiet` is True where no exchange is under way.

    body_bytes_max: a longer body is cut. held_bytes_max: copies under way together; beyond it bodies are cut at once.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        clock: Clock,
        body_bytes_max: int,
        held_bytes_max: int = 64 << 20,
    ) -> None:
        self.body_bytes_max = body_bytes_max
        self._pipeline = pipeline
        self._now_ns = clock.now_ns
        self._held_bytes = 0
        self._held_bytes_max = held_bytes_max
        self._flights: dict[str, _Flight] = {}
        self._open: dict[str, set[str]] = {}
        self._numbers = itertools.count(1)
        self._connections: dict[str, int] = {}

    @property
    def quiet(self) -> bool:
        """True where no flow is between its request and its end, sampled or not."""
        return not self._open

    def hold(self, n: int) -> bool:
        """Account for `n` bytes of a copy; False where there is no room for them."""
        if self._held_bytes + n > self._held_bytes_max:
            return False
        self._held_bytes += n
        return True

    # ---- hooks

    def client_connected(self, client: Any) -> None:
        self._connections[client.id] = next(self._numbers)

    def client_disconnected(self, client: Any) -> None:
        self._connections.pop(client.id, None)
        self._open.pop(client.id, None)
        for name in [name for name, flight in self._flights.items() if flight.client == client.id]:
            self._abandon(name, "connection_lost")

    def server_connect_error(self, data: Any) -> None:
        """No connection before a request was read: mitmproxy makes no flow of what the client may have sent."""
        if data.client.id not in self._open:
            self._pipeline.lost("drain" if data.server.error == _CANCELLED else "upstream_failed")

    def requestheaders(self, flow: Any) -> None:
        self._open.setdefault(flow.client_conn.id, set()).add(flow.id)
        try:
            start = self._now_ns()
            decision = self._pipeline.begin(_request(flow.request), _address(flow.client_conn.peername), start)
            if decision is None:
                flow.request.stream = True
                return
            flight = self._flights[flow.id] = _Flight(decision, start, flow, self)
            flow.request.stream = flight.request_body
        except Exception:  # noqa: BLE001  # a flow that we cannot read must pass all the same
            flow.request.stream = True
            self._pipeline.lost("observer_error")

    def request(self, flow: Any) -> None:
        if flight := self._flights.get(flow.id):
            flight.request_end = self._now_ns()

    def responseheaders(self, flow: Any) -> None:
        flight = self._flights.get(flow.id)
        if flight is not None:
            flight.response_start = self._now_ns()
        flow.response.stream = True if flight is None else flight.response_body

    def response(self, flow: Any) -> None:
        self._end(flow, None)

    def error(self, flow: Any) -> None:
        message = str(getattr(flow.error, "msg", "")).lower()
        if flow.response is not None and flow.id in self._flights and self._flights[flow.id].response_start:
            reason = "client_closed" if "client" in message else "cut"
        else:
            reason = "client_closed" if "client" in message else "upstream_failed"
        self._end(flow, reason)

    def websocket_message(self, flow: Any) -> None:
        """mitmproxy would keep every message for as long as the connection lives."""
        flow.websocket.messages.clear()

    def websocket_start(self, flow: Any) -> None:
        self._pipeline.opaque("websocket")

    def tcp_start(self, flow: Any) -> None:
        self._pipeline.opaque("tcp")

    def tcp_message(self, flow: Any) -> None:
        flow.messages.clear()

    def udp_start(self, flow: Any) -> None:
        self._pipeline.opaque("udp")

    def udp_message(self, flow: Any) -> None:
        flow.messages.clear()

    # ---- what becomes of a flow

    def abandon_all(self, reason: str) -> None:
        """At the end of a drain: what is under way is shed, but for answers that have begun: they may have no end."""
        for name, flight in list(self._flights.items()):
            if flight.response_start is not None:
                self._end(flight.flow, "capture_ended")
            else:
                self._abandon(name, reason)

    def _abandon(self, name: str, reason: str) -> None:
        flight = self._flights.pop(name, None)
        if flight is not None:
            self._release(flight)
            self._pipeline.abandon(flight.decision, reason)

    def _release(self, flight: _Flight) -> None:
        self._held_bytes -= flight.request_body.kept_bytes + flight.response_body.kept_bytes

    def _end(self, flow: Any, reason: str | None) -> None:
        client = flow.client_conn.id
        flows = self._open.get(client, set())
        flows.discard(flow.id)
        if not flows:
            self._open.pop(client, None)
        flight = self._flights.pop(flow.id, None)
        if flight is None:
            return
        self._release(flight)
        try:
            exchange = self._exchange(flow, flight, reason)
        except Exception:  # noqa: BLE001  # a flow that cannot be written down is a counted loss
            self._pipeline.abandon(flight.decision, "observer_error")
            return
        self._pipeline.finish(exchange, flight.decision)

    def _exchange(self, flow: Any, flight: _Flight, reason: str | None) -> Exchange:
        end = self._now_ns()
        head = _request(flow.request)
        body, length, cut = flight.request_body.take(flow.request.raw_content)
        request = Request(
            head.method, head.target, head.version, head.headers, body, length, cut, _fields(flow.request.trailers)
        )
        response = None
        if flow.response is not None and flight.response_start is not None:
            body, length, cut = flight.response_body.take(flow.response.raw_content)
            response = Response(
                flow.response.status_code,
                flow.response.data.reason.decode("latin-1"),
                _version(flow.response.http_version),
                _fields(flow.response.headers),
                body,
                length,
                cut,
                _fields(flow.response.trailers),
            )
        whole = response is not None and reason is None
        return Exchange(
            "",
            "",
            "mitm",
            1.0,
            request,
            response,
            Times(
                flight.start,
                flight.request_end,
                flight.response_start,
                end if whole else None,
                end if reason in _LEFT else None,
            ),
            incomplete_reason=reason,
            connection=self._connections.get(flight.client, -1),
            server=f"{flow.request.host}:{flow.request.port}",
            scheme=flow.request.scheme,
            notes=("websocket",) if response is not None and response.status == 101 else (),
        )


def _request(message: Any) -> Request:
    """Method, target and headers as they were sent; an HTTP/2 `:authority` stands first as `host`."""
    fields = _fields(message.headers)
    data = message.data
    authority = data.authority.decode("latin-1")
    if authority and header(fields, "host") is None:
        fields = (("host", authority), *fields)
    target = data.path.decode("latin-1")
    return Request(data.method.decode("latin-1"), target, _version(message.http_version), fields)


def _version(text: str) -> str:
    return _VERSIONS.get(text, text)


def _fields(headers: Any) -> Headers:
    if not headers:
        return ()
    return tuple([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields])


def _address(peer: Any) -> str:
    return str(peer[0]) if peer else ""
