"""Mirrored requests over cleartext HTTP/2 with prior knowledge (RFC 9113), by the library h2: one request a stream."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, Final, cast

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
from hyperframe.frame import GoAwayFrame

from capture.exchange import Headers, header
from capture.observe.http2 import PREFACE, request_of
from capture.sources.mirror_copy import Copies, Copy
from capture.sources.mirror_request import restore

__all__ = ["MirrorHttp2"]

_STREAMS_MAX: Final = 256
_HEADERS_BYTES_MAX: Final = 64 << 10
_FRAME_HEAD_BYTES: Final = 9
_FRAME_BYTES_MAX: Final = 16_384  # as every connection begins, and this one goes on
_WINDOW_BYTES: Final = 1 << 20
_UNREAD_BYTES_MAX: Final = 1 << 20
"""Answers that a peer has not read; one that reads none of them is cut off."""
_GRPC: Final = "application/grpc"
_ERRORS: Final = (h2.exceptions.ProtocolError, ValueError, KeyError, IndexError)


@dataclasses.dataclass(slots=True)
class _Stream:
    copy: Copy
    timer: asyncio.TimerHandle
    trailers: Headers = ()


class _Frames:
    """Follows the lengths of frames: h2 would hold up to 16 MiB of one before it looks whether it is too long."""

    def __init__(self) -> None:
        self._left = len(PREFACE)
        self._head = b""

    def take(self, data: bytes) -> bool:
        """The next bytes; False where a frame is longer than the settings allow."""
        at = 0
        while at < len(data):
            if self._left:
                passed = min(self._left, len(data) - at)
                self._left -= passed
                at += passed
                continue
            head = data[at : at + _FRAME_HEAD_BYTES - len(self._head)]
            self._head += head
            at += len(head)
            if len(self._head) == _FRAME_HEAD_BYTES:
                self._left, self._head = int.from_bytes(self._head[:3], "big"), b""
                if self._left > _FRAME_BYTES_MAX:
                    return False
        return True


class MirrorHttp2(asyncio.Protocol):
    """One connection. Every request is answered as soon as it has ended: 204, or 200 with grpc-status 0 for gRPC.

    number: of the connection. on_closed: called once when it is gone.
    """

    def __init__(self, copies: Copies, number: int, on_closed: Callable[[MirrorHttp2], None]) -> None:
        self._copies = copies
        self._number = number
        self._on_closed = on_closed
        self._streams: dict[int, _Stream] = {}
        self._transport: asyncio.Transport | None = None
        self._client = ""
        self._frames = _Frames()
        self._draining = False
        self._gone = False  # the peer has said that it will send no further requests; h2 reads nothing behind that
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        self._h2: Any = h2.connection.H2Connection(config)
        codes = h2.settings.SettingCodes
        self._h2.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: _STREAMS_MAX,
                codes.MAX_HEADER_LIST_SIZE: _HEADERS_BYTES_MAX,
                codes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
            },
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        peer = transport.get_extra_info("peername")
        self._client = str(peer[0]) if isinstance(peer, tuple) else ""
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW_BYTES)
        self._flush()

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        try:
            if not self._frames.take(data):
                raise h2.exceptions.FrameTooLargeError("too large")
            for event in self._h2.receive_data(data):
                self._event(event)
        except _ERRORS:
            if not self._gone:
                self._copies.lost("malformed")
            self._flush()  # h2 has put a GOAWAY there
            transport.close()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for number in list(self._streams):
            self._finish(number, "cut")
        self._on_closed(self)

    def drain(self) -> None:
        """Take no further requests; the connection closes when those under way are over."""
        self._draining = True
        if self._transport is not None:
            # That of h2 would let no stream go on, as section 6.8 of the RFC means it to.
            goaway = GoAwayFrame(0, last_stream_id=self._h2.highest_inbound_stream_id)
            self._transport.write(goaway.serialize())
            self._close_if_drained()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    def _event(self, event: object) -> None:
        if isinstance(event, h2.events.RequestReceived):
            self._request(event.stream_id, event.headers)
        elif isinstance(event, h2.events.DataReceived):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                self._copies.take(stream.copy, event.data)
            if event.flow_controlled_length and not self._gone:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            stream = self._streams.get(event.stream_id)
            if stream is not None:
                stream.trailers = _text(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._finish(event.stream_id, "cut")
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._gone = self._draining = True

    def _request(self, number: int, fields: list[tuple[bytes, bytes]]) -> None:
        request, sound = request_of(_text(fields))
        mirrored = restore(request.method, request.target, request.version, request.headers)
        copy = self._copies.begin(mirrored, self._client, self._number)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self._copies.limits.body_s, self._timed_out, number)
        self._streams[number] = _Stream(copy, timer)
        if not sound:
            self._reset(number, "request_bad_pseudo_headers")

    def _ended(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        fields = stream.copy.mirrored.request.headers
        self._finish(number, None)
        kind = header(fields, "content-type") or ""
        answer = [(":status", "204")]
        if kind.startswith(_GRPC):
            answer = [(":status", "200"), ("content-type", kind), ("grpc-status", "0")]
        if not self._gone:
            self._h2.send_headers(number, answer, end_stream=True)

    def _timed_out(self, number: int) -> None:
        self._reset(number, "timeout")
        self._flush()

    def _reset(self, number: int, why: str) -> None:
        if number in self._streams:
            self._finish(number, why)
            if self._transport is not None and not self._gone:
                self._h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)

    def _finish(self, number: int, why: str | None) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.timer.cancel()
            self._copies.finish(stream.copy, why, stream.trailers)

    def _flush(self) -> None:
        transport = self._transport
        if transport is None:
            return
        data = self._h2.data_to_send()
        if data:
            transport.write(data)
        if transport.get_write_buffer_size() > _UNREAD_BYTES_MAX:
            transport.abort()
        self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._draining and not self._streams and self._transport is not None:
            self._transport.close()


def _text(fields: list[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
