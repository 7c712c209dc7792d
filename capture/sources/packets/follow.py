"""What becomes of the bytes of a reassembled connection: exchanges for the pipeline, or a mere count of them."""

from __future__ import annotations

import re
from typing import Any, Final, Literal, Protocol

from capture.exchange import Exchange, Request
from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished, Observed, Opaque
from capture.observe.skim import Skim

__all__ = ["Counted", "Direction", "Follow", "Followed", "Recorder"]

Direction = Literal["client", "server"]

_START: Final = re.compile(rb"[A-Z][A-Z-]{1,19} [^\x00-\x20\x7f]+ HTTP/1\.[01]\r\n|PRI \* HTTP/2\.0\r\n")


class Recorder(Protocol):
    """What passive capture needs of a pipeline; `capture.pipeline.Pipeline` is the real one."""

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool: ...
    def begin(self, request: Request, client: str, at_ns: int) -> Any: ...
    def finish(self, exchange: Exchange, decision: Any) -> None: ...
    def opaque(self, reason: str) -> None: ...
    def skimmed(self, n: int) -> None: ...
    def lost(self, reason: str, n: int = 1) -> None: ...


class Follow(Protocol):
    """A reader of one connection's bytes in order. wants_server: False where the server's bytes need not be given."""

    wants_server: bool

    def client_bytes(self, data: bytes, at_ns: int) -> None: ...
    def server_bytes(self, data: bytes, at_ns: int) -> None: ...
    def gap(self, direction: Direction, missing_bytes: int, at_ns: int) -> None: ...
    def end(self, direction: Direction, at_ns: int) -> None: ...
    def over(self, reset: bool, at_ns: int) -> None: ...


class Followed:
    """Observes a connection whose exchanges may be kept."""

    __slots__ = ("_client", "_observer", "_recorder", "wants_server")

    def __init__(self, recorder: Recorder, client: str, server: str, number: int, body_bytes_max: int) -> None:
        self.wants_server = True
        self._recorder = recorder
        self._client = client
        self._observer = ConnectionObserver(
            self._begin, connection=number, source="sniff", server=server, body_bytes_max=body_bytes_max
        )

    def _begin(self, request: Request, at_ns: int) -> object | None:
        token: object | None = self._recorder.begin(request, self._client, at_ns)
        return token

    def client_bytes(self, data: bytes, at_ns: int) -> None:
        events = self._observer.client_bytes(data, at_ns)
        if events:
            self._take(events)

    def server_bytes(self, data: bytes, at_ns: int) -> None:
        events = self._observer.server_bytes(data, at_ns)
        if events:
            self._take(events)

    def gap(self, direction: Direction, missing_bytes: int, at_ns: int) -> None:
        self._take(self._observer.gap(direction, missing_bytes, at_ns))

    def end(self, direction: Direction, at_ns: int) -> None:
        observer = self._observer
        self._take(observer.client_end(at_ns) if direction == "client" else observer.server_end(at_ns))

    def over(self, reset: bool, at_ns: int) -> None:
        self._take(self._observer.abort(at_ns) if reset else self._observer.close(at_ns))

    def _take(self, events: list[Observed]) -> None:
        for event in events:
            if isinstance(event, Finished):
                self._recorder.finish(event.exchange, event.token)
            elif isinstance(event, Opaque):
                self._recorder.opaque(event.reason)
            else:
                self._recorder.lost(event.reason)


class Counted:
    """Counts the requests of a connection that the sampler has left out."""

    __slots__ = ("_lost", "_recorder", "_said", "_skim", "wants_server")

    def __init__(self, recorder: Recorder) -> None:
        self.wants_server = False
        self._recorder = recorder
        self._skim = Skim()
        self._lost = False
        self._said = False

    def client_bytes(self, data: bytes, at_ns: int) -> None:
        if self._said:
            return
        if self._lost:
            if _START.match(data) is None:
                return
            self._lost = False
        skim = self._skim
        count = skim.client_bytes(data)
        if count:
            self._recorder.skimmed(count)
        if skim.opaque is not None:
            self._said = True
            self._recorder.opaque(skim.opaque)

    def server_bytes(self, data: bytes, at_ns: int) -> None:
        pass

    def gap(self, direction: Direction, missing_bytes: int, at_ns: int) -> None:
        if direction == "client":
            self._skim = Skim()
            self._lost = True

    def end(self, direction: Direction, at_ns: int) -> None:
        pass

    def over(self, reset: bool, at_ns: int) -> None:
        pass
