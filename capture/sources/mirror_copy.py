"""One mirrored request under way, whatever protocol it came by: its body within bounds, and its record at the end."""

from __future__ import annotations

import dataclasses

from capture.clock import Clock
from capture.exchange import Exchange, Headers, Request, Times
from capture.pipeline import Pipeline
from capture.sample import Decision
from capture.sources.mirror_request import Mirrored

__all__ = ["Copies", "Copy", "MirrorLimits"]


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorLimits:
    """What one sink takes on.

    body_bytes_max: a longer body is cut, its full length kept. held_bytes_max: bodies under way together; what comes
    beyond is shed. connections_max: further ones are refused. body_s: how long a body may take to arrive.
    """

    body_bytes_max: int = 1 << 20
    held_bytes_max: int = 64 << 20
    connections_max: int = 1024
    body_s: float = 30.0


@dataclasses.dataclass(slots=True)
class Copy:
    """One request under way. parts: of the body, as far as it is kept; body_bytes: the length of all that came."""

    mirrored: Mirrored
    started_ns: int
    connection: int
    decision: Decision | None = None
    parts: list[bytes] = dataclasses.field(default_factory=list)
    kept_bytes: int = 0
    body_bytes: int = 0


class Copies:
    """All requests under way of one sink, and the pipeline behind it. limits: what it takes on."""

    def __init__(self, pipeline: Pipeline, clock: Clock, limits: MirrorLimits) -> None:
        self.limits = limits
        self._pipeline = pipeline
        self._now_ns = clock.now_ns
        self._held_bytes = 0

    def begin(self, mirrored: Mirrored, client: str, connection: int) -> Copy:
        """A request's head is there. Each one must go to `finish` once."""
        copy = Copy(mirrored, self._now_ns(), connection)
        copy.decision = self._pipeline.begin(mirrored.request, client, copy.started_ns)
        return copy

    def take(self, copy: Copy, chunk: bytes) -> None:
        """More of a body; kept as far as it is wanted and there is room."""
        copy.body_bytes += len(chunk)
        room = self.limits.body_bytes_max - copy.kept_bytes
        if copy.decision is None or room <= 0:
            return
        part = chunk[:room]
        if self._held_bytes + len(part) > self.limits.held_bytes_max:
            self._pipeline.abandon(copy.decision, "memory")
            copy.decision = None
            self._release(copy)
            return
        self._held_bytes += len(part)
        copy.kept_bytes += len(part)
        copy.parts.append(part)

    def _release(self, copy: Copy) -> None:
        self._held_bytes -= copy.kept_bytes
        copy.parts.clear()
        copy.kept_bytes = 0

    def finish(self, copy: Copy, why: str | None, trailers: Headers = ()) -> None:
        """The request is over. why: it is incomplete, None where it is whole."""
        data = b"".join(copy.parts)
        self._release(copy)
        if copy.decision is None:
            return
        head, mirrored, length = copy.mirrored.request, copy.mirrored, copy.body_bytes
        exchange = Exchange(
            "",
            "",
            "mirror",
            1.0,
            Request(head.method, head.target, head.version, head.headers, data, length, length > len(data), trailers),
            None,
            Times(copy.started_ns, self._now_ns()),
            incomplete_reason=why,
            connection=copy.connection,
            server=mirrored.server,
            scheme=mirrored.scheme,
            notes=mirrored.notes,
        )
        self._pipeline.finish(exchange, copy.decision)

    def lost(self, reason: str) -> None:
        """A request, or a connection of them, that could not be taken."""
        self._pipeline.lost(reason)
