"""Packets for tests: a scripted TCP connection as segments, and frames that scapy builds around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from capture.conservation import Conservation
from capture.exchange import Exchange, Request
from capture.sources.packets.connections import Connections
from capture.sources.packets.follow import Counted, Followed
from capture.sources.packets.ip import ACK, FIN, SYN, Segment

__all__ = ["Collector", "Talk", "flow", "follow_all", "read"]


def flow(client_port: int, server_port: int = 80) -> bytes:
    """Client 10.0.0.1 to server 10.0.0.2."""
    ports = client_port.to_bytes(2, "big") + server_port.to_bytes(2, "big")
    return bytes((10, 0, 0, 1, 10, 0, 0, 2)) + ports


class Talk:
    """A TCP connection between two well-behaved ends, as segments. isn: initial numbers of client and server."""

    def __init__(self, client_port: int = 1000, isn: tuple[int, int] = (100, 500), server_port: int = 80) -> None:
        self.forth = flow(client_port, server_port)
        self.back = Segment(self.forth, 0, 0, 0, b"", 0).reverse
        self.next = [isn[0], isn[1]]
        self.segments: list[Segment] = []

    def _add(self, side: int, flags: int, data: bytes = b"") -> None:
        way, seq, ack = (self.forth, self.back)[side], self.next[side], self.next[1 - side]
        if not flags & ACK:
            ack = 0
        self.segments.append(Segment(way, seq % 2**32, ack % 2**32, flags, data, 0))
        self.next[side] += len(data) + bool(flags & (SYN | FIN))

    def open(self) -> Talk:
        self._add(0, SYN)
        self._add(1, SYN | ACK)
        self._add(0, ACK)
        return self

    def client(self, data: bytes, size: int = 1 << 16) -> Talk:
        for start in range(0, len(data), size):
            self._add(0, ACK, data[start : start + size])
        return self

    def server(self, data: bytes, size: int = 1 << 16) -> Talk:
        for start in range(0, len(data), size):
            self._add(1, ACK, data[start : start + size])
        return self

    def close(self) -> Talk:
        self._add(0, FIN | ACK)
        self._add(1, FIN | ACK)
        self._add(0, ACK)
        return self


class Collector:
    """A pipeline that keeps everything; counts are conserved like the real one's."""

    def __init__(self, kept: bool = True) -> None:
        self.counts = Conservation()
        self.exchanges: list[Exchange] = []
        self.order: list[int] = []
        self.reasons: list[str] = []
        self.clients: list[str] = []
        self.kept = kept
        self.began = 0

    def connection_kept(self, client: str, at_ns: int | None = None) -> bool:
        return self.kept

    def begin(self, request: Request, client: str, at_ns: int) -> Any:
        self.counts.seen += 1
        self.clients.append(client)
        self.began += 1
        return self.began

    def finish(self, exchange: Exchange, decision: Any) -> None:
        self.exchanges.append(exchange)
        self.order.append(decision)
        if exchange.incomplete_reason is None:
            self.counts.kept += 1
        else:
            self.counts.incomplete[exchange.incomplete_reason] += 1

    def opaque(self, reason: str) -> None:
        self.counts.seen += 1
        self.counts.opaque += 1
        self.reasons.append(reason)

    def skimmed(self, n: int) -> None:
        self.counts.seen += n
        self.counts.sampled_out += n

    def lost(self, reason: str, n: int = 1) -> None:
        self.counts.seen += n
        self.counts.shed[reason] += n

    def in_order(self) -> list[Exchange]:
        """The exchanges in the order in which their requests began."""
        return [exchange for _, exchange in sorted(zip(self.order, self.exchanges, strict=True), key=lambda p: p[0])]


def follow_all(collector: Collector, ports: Iterable[int] = (), **bounds: int) -> Connections:
    """A table that follows every connection into the collector."""

    def make(client: str, server: str, number: int, at_ns: int) -> Followed | Counted:
        if collector.connection_kept(client):
            return Followed(collector, client, server, number, 1 << 20)
        return Counted(collector)

    return Connections(make, frozenset(ports), **bounds)


def read(segments: Iterable[Segment], *, kept: bool = True, tick_ns: int = 1000) -> tuple[Collector, Connections]:
    """What becomes of these segments, captured one tick after the other."""
    collector = Collector(kept)
    table = follow_all(collector)
    now = 1_000_000
    for segment in segments:
        now += tick_ns
        table.segment(segment, now)
    table.close(now)
    assert collector.counts.balanced(), collector.counts.line()
    assert len(collector.exchanges) == collector.began
    return collector, table
