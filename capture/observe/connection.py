"""Decides by the first bytes of a connection what is spoken on it, and hands it to the observer that reads that."""

from __future__ import annotations

import re
from typing import Final, Literal

from capture.observe.events import Begin, Observed, Opaque
from capture.observe.http1 import Http1Observer, Place
from capture.observe.http2 import PREFACE, Http2Observer

__all__ = ["ConnectionObserver", "Protocol", "recognise"]

Protocol = Literal["http1", "http2", "tls", "unknown"]

_TOKEN_BYTES: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz\r")
_SETTINGS: Final = re.compile(rb"\0[\0\1].[\4\0]\0\0\0\0\0", re.DOTALL)
"""A SETTINGS frame, or zeros where it has not come yet: what an HTTP/2 server may send first (RFC 9113 section 3.4)."""
_EARLY_BYTES_MAX: Final = 4096
_TLS_RECORDS: Final = frozenset((0x14, 0x15, 0x16, 0x17))


def recognise(first: bytes) -> Protocol | None:
    """What the client's first bytes begin; None where more of them are needed.

    "http1" is said of anything that may still become a request; its observer finds out.
    """
    if PREFACE.startswith(first[: len(PREFACE)]):
        return "http2" if len(first) >= len(PREFACE) else None
    if first[0] in _TOKEN_BYTES:
        return "http1"
    if first[0] == 0x16:
        if len(first) == 1:
            return None
        return "tls" if first[1] == 3 else "unknown"
    return "unknown"


class ConnectionObserver:
    """Bytes of the two directions of one connection, with times, to exchanges; never raises on any bytes.

    begin: called for each request whose head was read, see `capture.observe.events.Begin`. connection, source, server
    and scheme are written into each exchange. body_bytes_max: longer bodies are cut, their full length kept.

    Each method returns what came to an end with this call: `Finished` once for every request to which `begin` gave a
    token, `Opaque` at most once. Times are ns on the source's clock and must not go back. The client's bytes that
    caused a response must be given before the response's.
    """

    __slots__ = (
        "_begin",
        "_body_bytes_max",
        "_connection",
        "_early",
        "_early_ns",
        "_first",
        "_first_ns",
        "_midstream",
        "_off",
        "_on",
        "_scheme",
        "_server",
        "_source",
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
        self._server = server
        self._scheme = scheme
        self._body_bytes_max = body_bytes_max
        self._first = b""
        self._first_ns = 0
        self._early = b""  # HTTP/2 settings that the server sent before the client said anything
        self._early_ns = 0
        self._midstream = False
        self._off = False
        self._on: Http1Observer | Http2Observer | None = None

    @property
    def opaque(self) -> bool:
        """True where nothing that follows can be read (TLS, a tunnel, broken bytes): more need not be given."""
        return self._off or (self._on is not None and self._on.off)

    @property
    def between_requests(self) -> bool:
        """True where the client's next byte begins a new HTTP/1 request, so that `Skim` could go on from here."""
        return isinstance(self._on, Http1Observer) and self._on.between_requests

    @property
    def idle(self) -> bool:
        """True where nothing is under way, so that the next exchange could be passed over (`pass_over`)."""
        if self._on is not None:
            return isinstance(self._on, Http1Observer) and self._on.idle
        return not (self._first or self._early or self._midstream or self._off)

    def pass_over(self, at_ns: int) -> None:
        """A simple request (`capture.observe.glance`) that is not recorded came, which `begin` is not asked about.

        Only while `idle`. Its response may be given here, or passed over too where that is whole.
        """
        self.speaks_http1()
        assert isinstance(self._on, Http1Observer)
        self._on.pass_over(at_ns)

    def speaks_http1(self) -> None:
        """The first bytes of this connection were a request of HTTP/1 that is passed over."""
        if self._on is None:
            self._start("http1")

    @property
    def place(self) -> Place | None:
        """How far the messages of an HTTP/1 connection are; None where nothing of the kind is known."""
        if self._on is None and not (self._first or self._midstream):
            return Place(0, 0, False, False, True)
        return self._on.place if isinstance(self._on, Http1Observer) else None

    def client_bytes(self, data: bytes, at_ns: int) -> list[Observed]:
        """The client sent these bytes."""
        if self._on is not None:
            return self._on.client_bytes(data, at_ns)
        if self._off or not data:
            return []
        if self._midstream:
            return self._join(data, at_ns, True)
        first = self._first + data
        protocol = recognise(first)
        if protocol is None:
            if not self._first:
                self._first_ns = at_ns
            self._first = first
            return []
        if protocol in ("tls", "unknown"):
            return self._give_up(protocol)
        if self._early and protocol != "http2":
            return self._give_up("server_first")
        on = self._start(protocol)
        if not self._first and not self._early:
            return on.client_bytes(data, at_ns)
        held, early, self._first, self._early = self._first, self._early, b"", b""
        out = on.client_bytes(held, self._first_ns)  # bytes that were waited with keep their own time
        out += on.server_bytes(early, self._early_ns)
        return out + on.client_bytes(data, at_ns)

    def server_bytes(self, data: bytes, at_ns: int) -> list[Observed]:
        """The server sent these bytes."""
        if self._on is not None:
            return self._on.server_bytes(data, at_ns)
        if self._off or not data:
            return []
        if self._midstream:
            return self._join(data, at_ns, False)
        self._early += data
        opening = PREFACE.startswith(self._first)  # or nothing yet
        if not opening or len(self._early) > _EARLY_BYTES_MAX or not _SETTINGS.match(self._early.ljust(9, b"\0")):
            return self._give_up("server_first")
        if not self._early_ns:
            self._early_ns = at_ns
        return []

    def client_end(self, at_ns: int) -> list[Observed]:
        """The client sends nothing any more (a clean FIN)."""
        return self._on.client_end(at_ns) if self._on is not None else self._undecided()

    def server_end(self, at_ns: int) -> list[Observed]:
        """The server sends nothing any more (a clean FIN)."""
        return self._on.server_end(at_ns) if self._on is not None else []

    def abort(self, at_ns: int, by_client: bool = False) -> list[Observed]:
        """The connection was reset, by_client: by the client; everything in flight becomes incomplete."""
        return self._on.abort(at_ns, by_client) if self._on is not None else self._undecided()

    def close(self, at_ns: int) -> list[Observed]:
        """The connection is over, or no longer looked at; what is in flight becomes incomplete. May be called again."""
        return self._on.close(at_ns) if self._on is not None else self._undecided()

    def gap(self, direction: Literal["client", "server"], missing_bytes: int, at_ns: int) -> list[Observed]:
        """Bytes of one direction were lost on the way to the observer (passive capture).

        missing_bytes: how many; 0 where that is not known, or where the connection began before the capture did.
        Inside a body of known length the reader passes over them; else everything in flight ends as "gap", and reading
        goes on at the next chunk that surely starts a request, and the response behind it.
        """
        if self._on is not None:
            return self._on.gap(direction == "client", missing_bytes, at_ns)
        if not self._off:
            self._first = self._early = b""
            self._midstream = True
        return []

    def _join(self, data: bytes, at_ns: int, from_client: bool) -> list[Observed]:
        """The first bytes seen of a connection that began before."""
        if data[0] in _TLS_RECORDS and data[1:2] == b"\3":
            return self._give_up("tls")
        if from_client and data.startswith(PREFACE):
            return self._start("http2").client_bytes(data, at_ns)
        on = self._start("http1")
        on.gap(from_client, 0, at_ns)
        return on.client_bytes(data, at_ns) if from_client else on.server_bytes(data, at_ns)

    def _start(self, protocol: Protocol) -> Http1Observer | Http2Observer:
        kind = Http2Observer if protocol == "http2" else Http1Observer
        self._on = kind(
            self._begin,
            connection=self._connection,
            source=self._source,
            server=self._server,
            scheme=self._scheme,
            body_bytes_max=self._body_bytes_max,
        )
        return self._on

    def _undecided(self) -> list[Observed]:
        """The end came before it was known what is spoken; bytes were lost only if there were any."""
        if self._off or not (self._first or self._early):
            return []
        return self._give_up("unknown" if self._first else "server_first")

    def _give_up(self, reason: str) -> list[Observed]:
        self._off = True
        self._first = self._early = b""
        return [Opaque(reason)]
