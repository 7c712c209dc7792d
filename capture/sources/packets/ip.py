"""IPv4 and IPv6 packets to TCP segments: extension headers, fragments, packets in packets, and captures cut short."""

from __future__ import annotations

import ipaddress
import struct
from collections import Counter
from typing import Final, NamedTuple

from capture.sources.packets.tunnel import inner_ip

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "Decoder", "Segment", "address_of"]

FIN: Final = 0x01
SYN: Final = 0x02
RST: Final = 0x04
PSH: Final = 0x08
ACK: Final = 0x10

_IPV4: Final = struct.Struct(">BxHHHxBxx8s")
_IPV6: Final = struct.Struct(">BxxxHBx32s")
_TCP: Final = struct.Struct(">4sIIBB")
_TCP_PROTOCOL: Final = 6
_ENCAPSULATED: Final = (4, 41)
_EXTENSIONS: Final = (0, 43, 60, 135, 139, 140)
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_DEPTH_MAX: Final = 4
_EXTENSIONS_MAX: Final = 16

_FRAGMENTED_MAX: Final = 1024
_PIECES_MAX: Final = 2048
_PIECES_BYTES_MAX: Final = 128 * 1024
_FRAGMENT_NS: Final = 30 * 1_000_000_000


class Segment(NamedTuple):
    """One TCP segment.

    flow: addresses and ports of sender and receiver as on the wire (8 + 4 or 32 + 4 bytes). seq, ack: 32 bits. data:
    what was captured of the payload; missing: bytes of it that were cut off by the capture.
    """

    flow: bytes
    seq: int
    ack: int
    flags: int
    data: bytes
    missing: int

    @property
    def reverse(self) -> bytes:
        """The flow of the other direction."""
        flow = self.flow
        half = (len(flow) - 4) // 2
        return flow[half : 2 * half] + flow[:half] + flow[-2:] + flow[-4:-2]


def address_of(flow: bytes) -> tuple[str, str]:
    """("host:port" of the sender, of the receiver), IPv6 in brackets."""
    half = (len(flow) - 4) // 2
    hosts = [str(ipaddress.ip_address(flow[:half])), str(ipaddress.ip_address(flow[half : 2 * half]))]
    ports = struct.unpack(">HH", flow[-4:])
    sender, receiver = (f"[{host}]:{port}" if half > 4 else f"{host}:{port}" for host, port in zip(hosts, ports))  # noqa: B905 - both have two
    return sender, receiver


class _Pieces:
    """The fragments of one datagram. size: of the whole payload, None until the last fragment is there."""

    __slots__ = ("at_ns", "held", "length", "size")

    def __init__(self, at_ns: int) -> None:
        self.held: dict[int, bytes] = {}
        self.length = 0
        self.size: int | None = None
        self.at_ns = at_ns

    def add(self, offset: int, piece: bytes, last: bool) -> bool:
        """Take one fragment; False where there are too many of them."""
        if offset not in self.held:
            self.held[offset] = piece
            self.length += len(piece)
        if last and self.size is None:
            self.size = offset + len(piece)
        return len(self.held) <= _PIECES_MAX and self.length <= _PIECES_BYTES_MAX

    def whole(self) -> bytes | None:
        """The payload once all of it is there; where pieces overlap, the first that was captured wins."""
        if self.size is None or self.length < self.size:
            return None
        data = bytearray(self.size)
        filled = bytearray(self.size)
        for offset, piece in reversed(self.held.items()):
            piece = piece[: max(0, self.size - offset)]
            data[offset : offset + len(piece)] = piece
            filled[offset : offset + len(piece)] = b"\1" * len(piece)
        return bytes(data) if filled.count(1) == self.size else None


class Decoder:
    """Takes IP packets and gives TCP segments; holds fragments in bounded memory.

    counts: what was not a segment, by reason: "not_tcp", "malformed", "fragment_lost", and "cut" for segments whose
    payload the capture has cut short.
    """

    __slots__ = ("_fragments", "counts")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._fragments: dict[bytes, _Pieces] = {}

    def segment(self, packet: bytes, offset: int, at_ns: int) -> Segment | None:
        """The TCP segment in the IP packet that starts at offset; None where there is none, or not yet."""
        return self._packet(packet, offset, at_ns, 0)

    def _packet(self, packet: bytes, offset: int, at_ns: int, depth: int) -> Segment | None:
        size = len(packet)
        if offset + 20 > size:
            self.counts["malformed"] += 1
            return None
        version = packet[offset] >> 4
        if version == 4:
            first, total, number, fragment, protocol, addresses = _IPV4.unpack_from(packet, offset)
            header = (first & 15) * 4
            end = offset + total if total else size  # 0: the sender leaves cutting into packets to the network card
            if header < 20 or end < offset + header:
                self.counts["malformed"] += 1
                return None
            at = offset + header
            if fragment & 0x3FFF:
                return self._fragment(
                    b"4" + addresses + struct.pack(">HB", number, protocol),
                    (fragment & 0x1FFF) * 8,
                    bool(fragment & 0x2000),
                    packet[at : min(end, size)],
                    end > size,
                    (addresses, protocol, at_ns, depth),
                )
        elif version == 6 and offset + 40 <= size:
            _, total, protocol, addresses = _IPV6.unpack_from(packet, offset)
            at = offset + 40
            end = at + total if total else size
            if protocol != _TCP_PROTOCOL:
                return self._extended(packet, at, end, protocol, addresses, at_ns, depth)
        else:
            self.counts["malformed"] += 1
            return None
        return self._payload(packet, at, end, protocol, addresses, at_ns, depth)

    def _payload(
        self, packet: bytes, at: int, end: int, protocol: int, addresses: bytes, at_ns: int, depth: int
    ) -> Segment | None:
        if protocol != _TCP_PROTOCOL:
            if depth < _DEPTH_MAX:
                inside = packet[at:end]
                start = 0 if protocol in _ENCAPSULATED else inner_ip(protocol, inside)
                if start >= 0:
                    return self._packet(inside, start, at_ns, depth + 1)
            self.counts["not_tcp"] += 1
            return None
        size = len(packet)
        if at + 14 > size:
            self.counts["malformed"] += 1
            return None
        ports, seq, ack, length, flags = _TCP.unpack_from(packet, at)
        start = at + (length >> 4) * 4
        if start < at + 20 or start > end:
            self.counts["malformed"] += 1
            return None
        if end <= size:
            return Segment(addresses + ports, seq, ack, flags, packet[start:end], 0)
        self.counts["cut"] += 1
        data = packet[start:]
        return Segment(addresses + ports, seq, ack, flags, data, end - start - len(data))

    def _extended(
        self, packet: bytes, at: int, end: int, protocol: int, addresses: bytes, at_ns: int, depth: int
    ) -> Segment | None:
        """Past the extension headers of IPv6, RFC 8200 section 4."""
        for _ in range(_EXTENSIONS_MAX):
            if at + 8 > len(packet):
                break
            if protocol in _EXTENSIONS:
                protocol, at = packet[at], at + (packet[at + 1] + 1) * 8
            elif protocol == _AUTHENTICATION:
                protocol, at = packet[at], at + (packet[at + 1] + 2) * 4
            elif protocol == _FRAGMENT:
                place = struct.unpack_from(">H", packet, at + 2)[0]
                following = packet[at]
                key = b"6" + addresses + packet[at + 4 : at + 8]
                return self._fragment(
                    key,
                    place & 0xFFF8,
                    bool(place & 1),
                    packet[at + 8 : min(end, len(packet))],
                    end > len(packet),
                    (addresses, following, at_ns, depth),
                )
            else:
                return self._payload(packet, at, end, protocol, addresses, at_ns, depth)
        self.counts["malformed"] += 1
        return None

    def _fragment(
        self,
        key: bytes,
        offset: int,
        more: bool,
        piece: bytes,
        cut: bool,
        rest: tuple[bytes, int, int, int],
    ) -> Segment | None:
        addresses, protocol, at_ns, depth = rest
        if cut or offset + len(piece) > 65535:
            self.counts["fragment_lost"] += 1
            return None
        pieces = self._fragments.get(key)
        if pieces is not None and at_ns - pieces.at_ns > _FRAGMENT_NS:
            self.counts["fragment_lost"] += 1
            pieces = None
        if pieces is None:
            self._forget(at_ns)
            pieces = self._fragments[key] = _Pieces(at_ns)
        if not pieces.add(offset, piece, not more):
            del self._fragments[key]
            self.counts["fragment_lost"] += 1
            return None
        payload = pieces.whole()
        if payload is None:
            return None
        del self._fragments[key]
        return self._payload(payload, 0, len(payload), protocol, addresses, at_ns, depth)

    def _forget(self, at_ns: int) -> None:
        """Make room: at most `_FRAGMENTED_MAX` datagrams of at most 64 KiB are held."""
        if len(self._fragments) >= _FRAGMENTED_MAX:
            oldest = next(iter(self._fragments))
            del self._fragments[oldest]
            self.counts["fragment_lost"] += 1
