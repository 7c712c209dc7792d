"""The one boundary between traffic and capture: what fails behind it is counted, and the bytes go on.

Everything that looks at a connection (observer, sampler, redactor, log) runs inside a tap. A tap never raises: the
first error turns it off for the rest of its connection, which goes on as plain bytes; the exchanges that were under
way are shed with a reason, so that the counts still add up.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from time import monotonic_ns
from typing import Any, Protocol

from capture.exchange import Exchange, Request
from capture.guard import Guard
from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished, Observed
from capture.observe.glance import is_simple_request, is_whole_response
from capture.observe.skim import Skim

__all__ = ["Capture", "ExchangeTap", "Recorder", "SkimTap"]

_LOG = logging.getLogger("understudy.relay")
_MEASURED = 7


class Recorder(Protocol):
    """What a capture pipeline offers a source; capture/pipeline.py is the real one."""

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool: ...
    def left_out(self, head: bytes, client: str, at_ns: int) -> bool: ...
    def begin(self, request: Request, client: str, at_ns: int) -> Any: ...
    def finish(self, exchange: Exchange, decision: Any) -> None: ...
    def abandon(self, decision: Any, reason: str) -> None: ...
    def opaque(self, reason: str) -> None: ...
    def skimmed(self, n: int) -> None: ...
    def lost(self, reason: str, n: int = 1) -> None: ...


class Capture:
    """What all taps of one relay share.

    server: the upstream's address, which goes into every record. spent_ns: time that capture took in the loop.
    added_ns: called, for one chunk in eight, with its time in this process until it was written on. errors: what
    failed, by reason. bypassed: connections that not even a tap could be made for.
    """

    __slots__ = (
        "_chunks",
        "_offset_ns",
        "added_ns",
        "body_bytes_max",
        "bypassed",
        "errors",
        "guard",
        "now_ns",
        "recorder",
        "scheme",
        "server",
        "spent_ns",
    )

    def __init__(
        self,
        recorder: Recorder,
        now_ns: Callable[[], int],
        *,
        server: str,
        scheme: str = "http",
        body_bytes_max: int = 1 << 20,
        added_ns: Callable[[int], None] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self.recorder = recorder
        self.guard = guard
        self.bypassed = 0
        self.now_ns = now_ns
        self.server = server
        self.scheme = scheme
        self.body_bytes_max = body_bytes_max
        self.added_ns = added_ns
        self.spent_ns = 0
        self._chunks = -1
        self._offset_ns = now_ns() - monotonic_ns()
        self.errors: Counter[str] = Counter()

    @property
    def off(self) -> str | None:
        """Why a budget has stopped capture, None while it has not."""
        return self.guard.off if self.guard is not None else None

    def tap(self, client: str, number: int) -> ExchangeTap | SkimTap | None:
        """A tap for a connection just accepted; None where not even that could be made."""
        try:
            if not self.recorder.connection_kept(client):
                return SkimTap(self)
            if self.off is not None:
                return SkimTap(self, self.off)
            return ExchangeTap(self, client, number)
        except Exception as error:  # noqa: BLE001 - fail open: whatever capture does, the connection is served
            self.failed("sampler_error", error)
            self.recorder.lost("sampler_error")
            self.bypassed += 1
            return None

    def took(self, start_ns: int, at_ns: int) -> None:
        """Account for one chunk that came at at_ns and was written on by start_ns of the monotonic clock."""
        self.spent_ns += monotonic_ns() - start_ns
        self._chunks += 1
        if self._chunks & _MEASURED == 0 and self.added_ns is not None:
            self.added_ns(start_ns + self._offset_ns - at_ns)

    def glanced(self, start_ns: int, at_ns: int) -> None:
        """As `took`, for one of `_MEASURED + 1` chunks that took a glance only, standing for all of them."""
        self.spent_ns += (monotonic_ns() - start_ns) * (_MEASURED + 1)
        if self.added_ns is not None:
            self.added_ns(start_ns + self._offset_ns - at_ns)

    def failed(self, reason: str, error: Exception) -> None:
        """Count an error; the first of its kind is logged with its traceback."""
        self.errors[reason] += 1
        if self.errors[reason] == 1:
            _LOG.error("%s: this connection goes on without capture", reason, exc_info=error)


class ExchangeTap:
    """Observes one connection whose exchanges may be kept; goes on as a skim once it is known that none will be.

    An exchange that is left out, simple and alone on its connection is only glanced at (`_passing` from its request to
    its response); as soon as it is anything else the observer takes over, as if it had seen all of it.
    """

    sees_server = True
    __slots__ = (
        "_capture",
        "_client",
        "_glances",
        "_leaving",
        "_observer",
        "_open",
        "_passed",
        "_passing",
        "_passing_ns",
        "_skim",
    )

    def __init__(self, capture: Capture, client: str, number: int) -> None:
        self._capture = capture
        self._client = client
        self._open: list[Any] = []
        self._leaving: bool | None = None  # None until the first request was sampled out
        self._skim: SkimTap | None = None
        self._passed = False  # the last exchange was glanced at, so the observer is idle
        self._passing = False
        self._passing_ns = 0
        self._glances = 0
        self._observer: ConnectionObserver | None = ConnectionObserver(
            self._begin,
            connection=number,
            source="relay",
            server=capture.server,
            scheme=capture.scheme,
            body_bytes_max=capture.body_bytes_max,
        )

    def client_bytes(self, data: bytes, at_ns: int) -> None:
        observer = self._observer
        if observer is None:
            if self._skim is not None:
                self._skim.client_bytes(data, at_ns)
        elif not self._passing and self._glance(observer, data, at_ns):
            self._passing = True
            self._passing_ns = at_ns
        elif (self._leaving or self._capture.off is not None) and observer.between_requests and not self._open:
            self._observer = None
            self._passing = False
            self._skim = SkimTap(self._capture, None if self._leaving else self._capture.off)
            self._skim.client_bytes(data, at_ns)
        else:
            start_ns = monotonic_ns()
            self._passed = False
            try:
                if self._passing:
                    self._take_over(observer)
                events = observer.client_bytes(data, at_ns)
                if events:
                    self._take(events)
            except Exception as error:  # noqa: BLE001 - fail open
                self._fail(error)
            self._capture.took(start_ns, at_ns)

    def server_bytes(self, data: bytes, at_ns: int) -> None:
        observer = self._observer
        if self._passing and is_whole_response(data):
            self._passing = False
            self._passed = True
        elif observer is not None:
            start_ns = monotonic_ns()
            self._passed = False
            try:
                if self._passing:
                    self._take_over(observer)
                events = observer.server_bytes(data, at_ns)
                if events:
                    self._take(events)
            except Exception as error:  # noqa: BLE001 - fail open
                self._fail(error)
            self._capture.took(start_ns, at_ns)

    def client_end(self, at_ns: int) -> None:
        if self._observer is not None:
            self._event(self._observer.client_end, at_ns)

    def server_end(self, at_ns: int) -> None:
        if self._observer is not None:
            self._event(self._observer.server_end, at_ns)

    def abort(self, at_ns: int, by_client: bool = False) -> None:
        if self._observer is not None:
            self._event(partial(self._observer.abort, by_client=by_client), at_ns)

    def close(self, at_ns: int) -> None:
        if self._observer is not None:
            self._event(self._observer.close, at_ns)

    def _glance(self, observer: ConnectionObserver, data: bytes, at_ns: int) -> bool:
        """True where this chunk is one request that is left out and need not be read; it is counted."""
        capture = self._capture
        self._glances += 1
        start_ns = monotonic_ns() if self._glances & _MEASURED == 0 else 0
        try:
            if (
                capture.off is not None
                or not capture.recorder.left_out(data, self._client, at_ns)
                or not (self._passed or observer.idle)
                or not is_simple_request(data)
            ):
                return False
            if not self._passed:
                observer.speaks_http1()
            capture.recorder.skimmed(1)
        except Exception as error:  # noqa: BLE001 - fail open
            self._fail(error)
            return False
        if start_ns:
            capture.glanced(start_ns, at_ns)
        return True

    def _take_over(self, observer: ConnectionObserver) -> None:
        """The observer has to see what was only glanced at so far."""
        self._passing = False
        observer.pass_over(self._passing_ns)

    def _event(self, method: Callable[[int], list[Observed]], at_ns: int) -> None:
        self._passed = False
        try:
            if self._passing and self._observer is not None:
                self._take_over(self._observer)
            self._take(method(at_ns))
        except Exception as error:  # noqa: BLE001 - fail open
            self._fail(error)

    def _begin(self, request: Request, at_ns: int) -> object | None:
        recorder, guard = self._capture.recorder, self._capture.guard
        if guard is not None and guard.off is not None:
            recorder.lost(guard.off)
            return None
        token: object | None = recorder.begin(request, self._client, at_ns)
        if token is not None:
            if guard is not None and (reason := guard.admit(at_ns)) is not None:
                recorder.abandon(token, reason)
                return None
            self._open.append(token)
        elif self._leaving is None:
            self._leaving = not recorder.connection_kept(self._client, at_ns)
        return token

    def _take(self, events: list[Observed]) -> None:
        capture = self._capture
        for event in events:
            if isinstance(event, Finished):
                self._open.remove(event.token)
                capture.recorder.finish(event.exchange, event.token)
            else:
                capture.recorder.opaque(event.reason)

    def _fail(self, error: Exception) -> None:
        """Give this connection up, with what was under way on it."""
        self._observer = None
        self._passing = False
        recorder = self._capture.recorder
        under_way, self._open = self._open, []
        for token in under_way:
            recorder.abandon(token, "observer_error")
        if not under_way:
            recorder.lost("observer_error")
        self._capture.failed("observer_error", error)


class SkimTap:
    """Only counts the exchanges of a connection: left out by the sampler, or shed by `reason`; sees no answers."""

    sees_server = False
    __slots__ = ("_capture", "_reason", "_skim")

    def __init__(self, capture: Capture, reason: str | None = None) -> None:
        self._capture = capture
        self._reason = reason
        self._skim: Skim | None = Skim()

    def client_bytes(self, data: bytes, at_ns: int) -> None:
        skim = self._skim
        if skim is not None:
            try:
                begun = skim.client_bytes(data)
                if begun and self._reason is None:
                    self._capture.recorder.skimmed(begun)
                elif begun and self._reason is not None:
                    self._capture.recorder.lost(self._reason, begun)
                if skim.opaque is not None:
                    self._skim = None
                    self._capture.recorder.opaque(skim.opaque)
            except Exception as error:  # noqa: BLE001 - fail open
                self._skim = None
                self._capture.recorder.lost("observer_error")
                self._capture.failed("observer_error", error)

    def server_bytes(self, data: bytes, at_ns: int) -> None:
        pass

    def client_end(self, at_ns: int) -> None:
        pass

    def server_end(self, at_ns: int) -> None:
        pass

    def abort(self, at_ns: int, by_client: bool = False) -> None:
        pass

    def close(self, at_ns: int) -> None:
        pass
