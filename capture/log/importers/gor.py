"""GoReplay's files: payloads between monkeys, requests joined with their responses by id.

    1 932079936fa4306fc308d67588178d17d823647c 1439818823587396305 0
    GET /a HTTP/1.1
    Host: example.org

    🐵🙈🙉

The kinds are 1 request, 2 original response, 3 replayed response; the time is ns, the fourth field may be missing.
Where there is no original response, a replayed one stands in for it, with a note.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from capture.exchange import Exchange, header
from capture.log.importers.found import Found, Skipped, opened
from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished

__all__ = ["SEPARATOR", "read", "recognise"]

SEPARATOR = "\n🐵🙈🙉\n".encode()
_HEAD = re.compile(rb"\s*([123]) ([0-9A-Za-z_-]{1,64}) (\d{1,19})(?: (-?\d{1,19}))?(?: [^\n]*)?\n")
_PIECE_BYTES = 1 << 20
_PAYLOAD_BYTES_MAX = 64 << 20
_WAITING_MAX = 10_000
_WAITING_BYTES_MAX = 64 << 20
_BODY_BYTES_MAX = 24 << 20


@dataclass(slots=True)
class _Join:
    """What is known so far of one id. at: byte offset of the request's payload."""

    at: int
    request: bytes
    request_ns: int
    response: bytes | None = None
    response_ns: int = 0
    latency_ns: int = 0
    replayed: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return len(self.request) + len(self.response or b"")


@dataclass(frozen=True, slots=True)
class _Early:
    """A response that stands before its request in the file. at: byte offset of its payload."""

    at: int
    replayed: bool
    content: bytes
    time_ns: int
    latency_ns: int


def recognise(head: bytes) -> bool:
    """True where the file begins with a payload's first line, and an HTTP message or the monkeys follow."""
    found = _HEAD.match(head)
    return found is not None and (SEPARATOR in head or b"HTTP/1." in head)


def read(path: Path) -> Iterator[Found | Skipped]:
    """Every request with its response, in the order of the requests as far as memory bounds allow."""
    waiting: OrderedDict[bytes, _Join] = OrderedDict()
    early: OrderedDict[bytes, _Early] = OrderedDict()
    held = 0
    with opened(path) as stream:
        for at, payload in _payloads(stream):
            head = _HEAD.match(payload) if payload is not None else None
            if payload is None or head is None:
                yield Skipped(f"byte {at}", "bad_record", "not a payload: its first line is not `TYPE ID TIME`")
                continue
            kind, key, time_ns, latency = head[1], head[2], int(head[3]), int(head[4] or 0)
            content = payload[head.end() :]
            if kind == b"1":
                if key in waiting:
                    held -= waiting[key].bytes
                    yield _finish(waiting.pop(key))
                join = waiting[key] = _Join(at, content, time_ns)
                held += len(content)
                if (answer := early.pop(key, None)) is not None:
                    held += _respond(join, answer.replayed, answer.content, answer.time_ns, answer.latency_ns)
                    held -= len(answer.content)
            elif key not in waiting and key not in early:
                early[key] = _Early(at, kind == b"3", content, time_ns, latency)
                held += len(content)
            elif key not in waiting:
                yield _without_request(key, at)
            else:
                held += _respond(waiting[key], kind == b"3", content, time_ns, latency)
            while early and (len(early) > _WAITING_MAX or held > _WAITING_BYTES_MAX):
                key, answer = early.popitem(last=False)
                held -= len(answer.content)
                yield _without_request(key, answer.at)
            while len(waiting) > _WAITING_MAX or held > _WAITING_BYTES_MAX:
                _, oldest = waiting.popitem(last=False)
                held -= oldest.bytes
                yield _finish(oldest)
    for key, answer in early.items():
        yield _without_request(key, answer.at)
    for join in waiting.values():
        yield _finish(join)


def _without_request(key: bytes, at: int) -> Skipped:
    return Skipped(f"byte {at}", "no_request", f"a response whose request is not there (id {key.decode()})")


def _payloads(stream: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(byte offset, payload) in turn; None for one beyond the bound.

    A separator inside a body is no separator: what follows it does not begin like a payload.
    """
    rest, at, start = b"", 0, 0
    while True:
        piece = stream.read(_PIECE_BYTES)
        rest += piece
        search = start
        while (found := rest.find(SEPARATOR, search)) >= 0:
            behind = rest[found + len(SEPARATOR) : found + len(SEPARATOR) + 200]
            if len(behind) < 200 and piece:
                break  # what follows is not there yet
            if behind.strip() and _HEAD.match(behind) is None:
                search = found + 1
                continue
            yield at, rest[:found]
            taken = found + len(SEPARATOR)
            rest, at, search = rest[taken:], at + taken, 0
        start = max(0, len(rest) - 200 - len(SEPARATOR))
        if not piece:
            if rest.strip():
                yield at, rest.removesuffix(SEPARATOR.rstrip(b"\n"))
            return
        if len(rest) > _PAYLOAD_BYTES_MAX:
            yield at, None
            rest, at, start = b"", at + len(rest), 0


def _respond(join: _Join, replayed: bool, content: bytes, time_ns: int, latency_ns: int) -> int:
    """Add a response to what is known; returns how many bytes more are held."""
    if join.response is not None and (replayed or not join.replayed):
        join.notes.append(
            "gor: a second response was left out" if not replayed else "gor: the replayed one is left out"
        )
        return 0
    before = len(join.response or b"")
    join.response, join.response_ns, join.latency_ns, join.replayed = content, time_ns, latency_ns, replayed
    return len(content) - before


def _finish(join: _Join) -> Found | Skipped:
    """The exchange, read from the raw messages by the same observer as live traffic."""
    ended: list[Finished] = []
    reader = ConnectionObserver(lambda request, at_ns: True, source="gor", body_bytes_max=_BODY_BYTES_MAX)

    def take(events: list[object]) -> None:
        ended.extend(event for event in events if isinstance(event, Finished))

    take(list(reader.client_bytes(join.request, join.request_ns)))
    first_ns = max(join.request_ns, join.response_ns)
    if join.response is not None:
        take(list(reader.server_bytes(join.response, first_ns)))
        take(list(reader.client_end(first_ns)))
        take(list(reader.server_end(first_ns)))
    take(list(reader.close(first_ns)))
    if not ended:
        return Skipped(f"byte {join.at}", "bad_record", "its request is not HTTP/1 that can be read")
    exchange = ended[0].exchange
    reason = exchange.incomplete_reason
    if join.response is None:
        reason = None if reason in ("closed", "cut", "no_response") else reason
    notes = [*join.notes, *(["gor: the response is of the replay"] if join.replayed else [])]
    return Found(_with(exchange, reason, tuple(notes), join.response is None))


def _with(exchange: Exchange, reason: str | None, notes: tuple[str, ...], alone: bool) -> Exchange:
    from msgspec.structs import replace

    if alone and exchange.response is None:
        reason = "no_response"
    host = header(exchange.request.headers, "host") or ""
    server = host if not host or ":" in host else f"{host}:80"
    times = replace(exchange.times, left=None)  # the file does not say who ended what
    return replace(exchange, incomplete_reason=reason, notes=exchange.notes + notes, server=server, times=times)
