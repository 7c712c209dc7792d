"""Cleartext HTTP/2 with prior knowledge: the frames of both directions to one exchange a stream (RFC 9113, RFC 7541).

How an HTTP/2 message is written down: version "HTTP/2"; `:method` and `:path` become method and target (`:authority` is
the target of CONNECT); `:authority` stands first among the headers as `host`, unless a host field is there; other
pseudo header fields (`:scheme`, `:protocol`) keep their colon; names are lower case as sent; reason is "". gRPC needs
nothing more: its status is in the response's trailers, or in the headers of a response that has no body.

Pushed streams are ignored. What breaks the connection (a frame or header block that cannot be read, a bound that was
passed) ends every stream as incomplete with that reason and makes the rest opaque. Bounds: `STREAMS_MAX` open streams,
`FRAME_BYTES_MAX` a frame, `HEAD_BYTES_MAX` a header block before and after decompression, and together at most eight
times `body_bytes_max` of bodies. HTTP/2 begun by `Upgrade: h2c` is opaque behind the 101 (RFC 9113 has given it up).

Reasons: those of `http1` for ends and gaps; reset (RST_STREAM), goaway (the server says it did not process it),
request_bad_pseudo_headers, response_bad_status; h2_... where the connection broke.
"""

from __future__ import annotations

from typing import Final

from hpack import Decoder
from hpack.exceptions import HPACKError
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from capture.exchange import Exchange, Headers, Request, Response, Times, header
from capture.observe.body import Digest
from capture.observe.events import Begin, Finished, Observed, Opaque
from capture.observe.head import HEAD_BYTES_MAX

__all__ = ["FRAME_BYTES_MAX", "PREFACE", "STREAMS_MAX", "Http2Observer", "request_of"]

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
STREAMS_MAX: Final = 256
FRAME_BYTES_MAX: Final = 1 << 20
_TABLE_BYTES_MAX: Final = 1 << 16
_BODIES: Final = 8


class _Broken(Exception):
    """The connection cannot be read on; str() is the reason."""


class _Message:
    """One direction of a stream."""

    __slots__ = ("digest", "ended_ns", "headers", "kept", "length", "started_ns", "trailers")

    def __init__(self) -> None:
        self.headers: Headers | None = None
        self.trailers: Headers = ()
        self.kept = bytearray()
        self.length = 0
        self.digest: Digest | None = None
        self.started_ns: int | None = None
        self.ended_ns: int | None = None


class _Stream:
    __slots__ = ("asked", "fault", "request", "response", "status", "token")

    def __init__(self, request: Request, token: object | None) -> None:
        self.request = request
        self.token = token
        self.fault: str | None = None
        self.asked = _Message()
        self.response = _Message()
        self.status = 0


class _Side:
    """What is held of one direction between two calls: an unfinished frame, an unfinished header block."""

    __slots__ = ("block", "block_frame", "decoder", "ended", "from_client", "held", "held_ns")

    def __init__(self, from_client: bool) -> None:
        self.from_client = from_client
        self.held = bytearray()
        self.held_ns = 0
        self.decoder = Decoder(max_header_list_size=HEAD_BYTES_MAX)
        self.block = bytearray()
        self.block_frame: HeadersFrame | PushPromiseFrame | None = None
        self.ended = False


class Http2Observer:
    """Follows one HTTP/2 connection; `ConnectionObserver` says what the methods do. Starts with the preface."""

    __slots__ = (
        "_begin",
        "_body_bytes_max",
        "_client",
        "_connection",
        "_last_id",
        "_left_ns",
        "_out",
        "_preface_left",
        "_room",
        "_scheme",
        "_server",
        "_server_name",
        "_source",
        "_streams",
        "off",
    )

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
        self._begin = begin
        self._connection = connection
        self._source = source
        self._server_name = server
        self._scheme = scheme
        self._body_bytes_max = body_bytes_max
        self._room = body_bytes_max * _BODIES  # bytes of bodies that may still be kept
        self._preface_left = len(PREFACE)
        self._client = _Side(from_client=True)
        self._server = _Side(from_client=False)
        self._streams: dict[int, _Stream] = {}
        self._last_id = 0
        self._left_ns: int | None = None  # when the client left
        self._out: list[Observed] = []
        self.off = False

    # --- bytes

    def client_bytes(self, data: bytes, at_ns: int) -> list[Observed]:
        if self._preface_left:
            skipped = min(self._preface_left, len(data))
            self._preface_left -= skipped
            data = data[skipped:]
        return self._feed(self._client, data, at_ns)

    def server_bytes(self, data: bytes, at_ns: int) -> list[Observed]:
        return self._feed(self._server, data, at_ns)

    def _feed(self, side: _Side, data: bytes, at_ns: int) -> list[Observed]:
        if not self.off:
            if not side.held:
                side.held_ns = at_ns
            side.held += data
            try:
                self._frames(side, at_ns)
            except _Broken as broken:
                self._give_up(f"h2_{broken}")
        return self._take()

    def _frames(self, side: _Side, at_ns: int) -> None:
        held, start = side.held, 0
        while len(held) - start >= 9 and not self.off:
            length = int.from_bytes(held[start : start + 3], "big")
            if length > FRAME_BYTES_MAX:
                raise _Broken("frame_too_large")
            end = start + 9 + length
            if len(held) < end:
                break
            try:
                frame, _ = Frame.parse_frame_header(memoryview(bytes(held[start : start + 9])))
                frame.parse_body(memoryview(bytes(held[start + 9 : end])))
            except (HyperframeError, ValueError):
                raise _Broken("bad_frame") from None
            self._frame(side, frame, side.held_ns, at_ns)
            start = end
            side.held_ns = at_ns
        del held[:start]

    def _frame(self, side: _Side, frame: Frame, started_ns: int, at_ns: int) -> None:
        if side.block_frame is not None:
            if not isinstance(frame, ContinuationFrame) or frame.stream_id != side.block_frame.stream_id:
                raise _Broken("bad_continuation")
            self._header_block(side, frame.data, "END_HEADERS" in frame.flags, started_ns, at_ns)
        elif isinstance(frame, HeadersFrame | PushPromiseFrame):
            side.block_frame = frame
            self._header_block(side, frame.data, "END_HEADERS" in frame.flags, started_ns, at_ns)
        elif isinstance(frame, DataFrame):
            self._data(side, frame, at_ns)
        elif isinstance(frame, RstStreamFrame):
            self._reset(frame, at_ns if side.from_client else None)
        elif isinstance(frame, SettingsFrame):
            self._settings(side, frame)
        elif isinstance(frame, GoAwayFrame):
            if not side.from_client:
                for number in [number for number in self._streams if number > frame.last_stream_id]:
                    self._finish(number, "goaway")
        elif isinstance(frame, ContinuationFrame):
            raise _Broken("bad_continuation")

    def _settings(self, side: _Side, frame: SettingsFrame) -> None:
        size = frame.settings.get(SettingsFrame.HEADER_TABLE_SIZE)
        if size is not None:  # what one side allows, the other's encoder may use; lowering it takes effect by itself
            decoder = (self._server if side.from_client else self._client).decoder
            decoder.max_allowed_table_size = max(decoder.max_allowed_table_size, min(size, _TABLE_BYTES_MAX))

    # --- header blocks

    def _header_block(self, side: _Side, fragment: bytes, last: bool, started_ns: int, at_ns: int) -> None:
        side.block += fragment
        if len(side.block) > HEAD_BYTES_MAX:
            raise _Broken("header_block_too_large")
        if not last:
            return
        frame, side.block_frame = side.block_frame, None
        block = bytes(side.block)
        side.block.clear()
        try:
            fields = side.decoder.decode(block, raw=True)
        except HPACKError:
            raise _Broken("bad_header_block") from None
        if not isinstance(frame, HeadersFrame) or frame.stream_id % 2 == 0:
            return  # a push: decoded only because the compression state has to follow
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)
        ended = "END_STREAM" in frame.flags
        if side.from_client:
            self._request_headers(frame.stream_id, headers, ended, started_ns, at_ns)
        else:
            self._response_headers(frame.stream_id, headers, ended, started_ns, at_ns)

    def _request_headers(self, number: int, headers: Headers, ended: bool, started_ns: int, at_ns: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            if number <= self._last_id:
                return  # of a stream that is over
            if len(self._streams) >= STREAMS_MAX:
                raise _Broken("too_many_streams")
            self._last_id = number
            request, sound = request_of(headers)
            stream = self._streams[number] = _Stream(request, self._begin(request, started_ns))
            stream.asked.headers = request.headers
            stream.asked.started_ns = started_ns
            if not sound:
                stream.fault = "request_bad_pseudo_headers"
        else:
            stream.asked.trailers = headers
        if ended:
            self._ended(number, stream, stream.asked, at_ns)

    def _response_headers(self, number: int, headers: Headers, ended: bool, started_ns: int, at_ns: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        message = stream.response
        if message.headers is not None:
            message.trailers = headers
        else:
            text = header(headers, ":status") or ""
            if len(text) != 3 or not text.isascii() or not text.isdigit():
                self._finish(number, "response_bad_status")
                return
            if text[0] == "1":
                return
            stream.status = int(text)
            message.headers = tuple(field for field in headers if field[0] != ":status")
            message.started_ns = started_ns
            if stream.request.method == "CONNECT" and text[0] == "2":
                stream.asked.ended_ns = stream.asked.ended_ns or started_ns
                ended = True  # the tunnel's bytes are not the exchange's
        if ended:
            self._ended(number, stream, message, at_ns)

    # --- bodies and ends

    def _data(self, side: _Side, frame: DataFrame, at_ns: int) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            return
        message = stream.asked if side.from_client else stream.response
        if message.headers is None:
            self._finish(frame.stream_id, "response_bad_status")
            return
        message.length += len(frame.data)
        if stream.token is not None:
            room = min(self._body_bytes_max - len(message.kept), self._room)
            part = frame.data[: max(0, room)]
            if len(message.kept) + len(frame.data) == message.length:  # never with a hole in it
                message.kept += part
                self._room -= len(part)
            else:
                part = b""
            if len(message.kept) < message.length:
                if message.digest is None:
                    message.digest = Digest(message.kept)
                message.digest.update(frame.data[len(part) :])
        if "END_STREAM" in frame.flags:
            self._ended(frame.stream_id, stream, message, at_ns)

    def _ended(self, number: int, stream: _Stream, message: _Message, at_ns: int) -> None:
        if message.ended_ns is None:
            message.ended_ns = at_ns
        if stream.asked.ended_ns is not None and stream.response.ended_ns is not None:
            self._finish(number, None)

    def _reset(self, frame: RstStreamFrame, left_ns: int | None) -> None:
        """left_ns: when it was the client that wants no more of the stream."""
        stream = self._streams.get(frame.stream_id)
        if stream is not None:
            answered = stream.response.ended_ns is not None  # then the server only asks to send no more of the body
            self._finish(frame.stream_id, "request_cut" if answered else "reset", left_ns)

    def client_end(self, at_ns: int) -> list[Observed]:
        self._left(at_ns)
        self._client.ended = True
        for stream in self._streams.values():
            if stream.asked.ended_ns is None:
                stream.fault = stream.fault or "request_cut"
        return self.close(at_ns) if self._server.ended else self._take()

    def server_end(self, at_ns: int) -> list[Observed]:
        self._server.ended = True
        for number in list(self._streams):
            self._finish_cut(number)
        return self._take()

    def _left(self, at_ns: int) -> None:
        """The client is gone, or nobody looks at it any more, before the server has ended."""
        if not self._server.ended and self._left_ns is None:
            self._left_ns = at_ns

    def abort(self, at_ns: int, by_client: bool = False) -> list[Observed]:
        if by_client:
            self._left(at_ns)
        for number in list(self._streams):
            self._finish(number, "reset")
        self.off = True
        return self._take()

    def close(self, at_ns: int) -> list[Observed]:
        self._left(at_ns)
        for number in list(self._streams):
            self._finish_cut(number)
        self.off = True
        return self._take()

    def gap(self, from_client: bool, missing_bytes: int, at_ns: int) -> list[Observed]:
        """Header compression cannot be followed over a gap: the rest of the connection is opaque."""
        if not self.off:
            self._give_up("gap")
        return self._take()

    def _finish_cut(self, number: int) -> None:
        stream = self._streams[number]
        if stream.asked.ended_ns is None:
            self._finish(number, "request_cut")
        else:
            self._finish(number, "no_response" if stream.response.headers is None else "response_cut")

    def _give_up(self, reason: str) -> None:
        for number in list(self._streams):
            self._finish(number, reason)
        self.off = True
        self._client.held.clear()
        self._server.held.clear()
        self._out.append(Opaque(reason))

    def _take(self) -> list[Observed]:
        out, self._out = self._out, []
        return out

    def _finish(self, number: int, reason: str | None, left_ns: int | None = None) -> None:
        """left_ns: when the client has left this stream alone."""
        stream = self._streams.pop(number)
        asked, answered = stream.asked, stream.response
        self._room += len(asked.kept) + len(answered.kept)
        if stream.token is None:
            return
        request = stream.request
        request = Request(
            request.method,
            request.target,
            request.version,
            request.headers,
            bytes(asked.kept),
            asked.length,
            asked.length > len(asked.kept),
            asked.trailers,
        )
        response = None
        if answered.headers is not None:
            kept = bytes(answered.kept)
            response = Response(
                stream.status,
                "",
                "HTTP/2",
                answered.headers,
                kept,
                answered.length,
                answered.length > len(kept),
                answered.trailers,
            )
        left_ns = (self._left_ns if left_ns is None else left_ns) if answered.ended_ns is None else None
        times = Times(asked.started_ns or 0, asked.ended_ns, answered.started_ns, answered.ended_ns, left_ns)
        exchange_fault = stream.fault or reason
        sides = (("request", asked.digest), ("response", answered.digest))
        digests = tuple(digest.note(side) for side, digest in sides if digest is not None)
        exchange = Exchange(
            "",
            "",
            self._source,
            1.0,
            request,
            response,
            times,
            exchange_fault,
            (),
            self._connection,
            self._server_name,
            self._scheme,
            digests if exchange_fault is None else (),
        )
        self._out.append(Finished(exchange, stream.token))


def request_of(headers: Headers) -> tuple[Request, bool]:
    """The request that the fields describe, and whether its pseudo header fields are as RFC 9113 section 8.3.1 asks."""
    pseudo: dict[str, str] = {}
    kept = []
    sound = True
    for name, value in headers:
        if name in (":method", ":path", ":authority"):
            sound = sound and name not in pseudo
            pseudo.setdefault(name, value)
        else:
            kept.append((name, value))
    method = pseudo.get(":method", "")
    authority = pseudo.get(":authority", "")
    plain_connect = method == "CONNECT" and ":path" not in pseudo
    target = authority if plain_connect else pseudo.get(":path", "")
    if authority and header(tuple(kept), "host") is None:
        kept.insert(0, ("host", authority))
    return Request(method, target, "HTTP/2", tuple(kept)), sound and bool(method) and bool(target)
