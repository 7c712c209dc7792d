"""How long a stream is listened to: until production's client left, by its time or by what it had been given. Pure.

A stream that no server ends (server-sent events, NDJSON, a chunked answer without end, a server stream of gRPC) ends in
the log where the client left or the capture did. So does a long poll that was given up before it was answered.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from capture.exchange import Exchange, Headers, Response, header

__all__ = ["GRACE_NS", "Stay", "has_enough", "is_event_stream", "listen_ns", "stay_of"]

GRACE_NS: Final = 1_000_000_000
"""How much longer, at least, a build is listened to that has given less than production had by then."""

_COUNTED: Final = ("text/", "application/json", "application/x-ndjson", "application/ndjson", "application/jsonl")


class Stay(NamedTuple):
    """How production's client listened to one answer.

    listened_ns: from the first byte of the answer to its leaving, or from the request where no byte came; None where
    that is not known. left_ns: when that was, ns since the epoch, None where it is not known. body_bytes, lines: what
    it had been given by then; lines is 0 where they say nothing. answered: False where not one byte had come. certain:
    False where nothing of the answer was recorded, and only a build's own answer says whether it is a stream.
    """

    listened_ns: int | None
    left_ns: int | None = None
    body_bytes: int = 0
    lines: int = 0
    answered: bool = True
    certain: bool = True


_UNCERTAIN = Stay(None, certain=False)


def stay_of(exchange: Exchange) -> Stay | None:
    """How long to listen to the answers to this request; None where they are waited for to their end."""
    response, times = exchange.response, exchange.times
    if times.response_end is not None:
        return None
    left = times.left
    if response is None:
        if left is None:
            return _UNCERTAIN
        begun = times.request_end if times.request_end is not None else times.request_start
        return Stay(max(left - begun, 0), left, answered=False)
    if exchange.complete and not is_event_stream(response.headers):
        return None
    start = times.response_start
    listened = left - start if left is not None and start is not None and left > start else None
    return Stay(listened, left, response.body_bytes, _lines(response))


def is_event_stream(headers: Headers) -> bool:
    """True for what a server sends to a client that listens as long as it likes."""
    kind = (header(headers, "content-type") or "").partition(";")[0].strip().lower()
    return kind in ("text/event-stream", "multipart/x-mixed-replace")


def listen_ns(stay: Stay, speed: float | None, bound_ns: int) -> int:
    """How long to listen from the first byte of the answer.

    speed: of a recorded pace, at which the recorded time holds; None where there is none: then at most bound_ns, which
    also stands in for what is not known.
    """
    if stay.listened_ns is None:
        return bound_ns
    return min(stay.listened_ns, bound_ns) if speed is None else round(stay.listened_ns / speed)


def has_enough(stay: Stay, response: Response) -> bool:
    """True where a build has given as much as production had, in lines where they can be counted, else in bytes.

    Ids of another length are no reason to wait for more.
    """
    return response.body_bytes >= stay.body_bytes or 0 < stay.lines <= _lines(response)


def _lines(response: Response) -> int:
    kind = (header(response.headers, "content-type") or "").lower()
    if response.truncated or response.body is None or not kind.startswith(_COUNTED):
        return 0
    return 0 if header(response.headers, "content-encoding") else response.body.count(b"\n")
