"""Dialogues for observers: steps of bytes in, everything observed out, with conservation checked each time."""

from __future__ import annotations

from collections.abc import Iterable

from capture.exchange import Exchange, Request
from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished, Observed, Opaque

__all__ = ["Step", "exchanges", "observe", "only", "opaque"]

Step = tuple[str, bytes]


def observe(
    steps: Iterable[Step], *, end: str = "close", body_bytes_max: int = 1 << 20, tick_ns: int = 1
) -> list[Observed]:
    """Everything that a dialogue gives; a step is ("c" or "s", bytes), ("C" or "S", b"") a clean end.

    end: "close", "abort" (by nobody knows whom) or "left" (a reset by the client).
    """
    begun: list[Request] = []

    def begin(request: Request, at_ns: int) -> object:
        begun.append(request)
        return len(begun)

    observer = ConnectionObserver(begin, connection=7, server="h:1", body_bytes_max=body_bytes_max)
    out: list[Observed] = []
    now = 1000
    for side, data in steps:
        now += tick_ns
        call = {"c": observer.client_bytes, "s": observer.server_bytes}.get(side)
        if call is not None:
            out += call(data, now)
        elif side == "C":
            out += observer.client_end(now)
        else:
            out += observer.server_end(now)
    out += observer.close(now + 1) if end == "close" else observer.abort(now + 1, by_client=end == "left")
    assert observer.close(now + 2) == []
    tokens = [event.token for event in out if isinstance(event, Finished)]
    assert sorted(tokens) == list(range(1, len(begun) + 1)), "each request that began has one end"
    assert sum(isinstance(event, Opaque) for event in out) <= 1
    return out


def exchanges(events: Iterable[Observed]) -> list[Exchange]:
    return [event.exchange for event in events if isinstance(event, Finished)]


def opaque(events: Iterable[Observed]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Opaque)]


def only(events: list[Observed]) -> Exchange:
    (exchange,) = exchanges(events)
    return exchange
