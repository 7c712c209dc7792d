"""Finds the IP packet in a tunnel: GRE with ERSPAN and NVGRE, VXLAN and GENEVE, as mirror ports and clouds send them.

RFC 2784, RFC 2890, RFC 7348, RFC 8926; ERSPAN: draft-foschiano-erspan-03.
"""

from __future__ import annotations

from typing import Final

from capture.sources.packets.link import ETHERNET, ip_offset

__all__ = ["GRE", "UDP", "inner_ip"]

UDP: Final = 17
GRE: Final = 47

_IP: Final = (b"\x08\x00", b"\x86\xdd")
_BRIDGED: Final = b"\x65\x58"  # an Ethernet frame
_ERSPAN: Final = {b"\x88\xbe": 8, b"\x22\xeb": 12}
_VXLAN: Final = (4789, 8472)
_GENEVE: Final = 6081


def inner_ip(protocol: int, payload: bytes) -> int:
    """Where in the payload of an IP packet of this protocol another IP packet starts; -1 where none does."""
    if protocol == GRE:
        return _gre(payload)
    if protocol == UDP and len(payload) >= 16:
        port = int.from_bytes(payload[2:4], "big")
        if port in _VXLAN and payload[8] & 8:
            return _ethernet(payload, 16)
        if port == _GENEVE and payload[8] >> 6 == 0:
            return _by_type(payload, payload[10:12], 16 + (payload[8] & 0x3F) * 4)
    return -1


def _gre(payload: bytes) -> int:
    if len(payload) < 4 or payload[1] & 7:
        return -1
    flags = payload[0]
    sequenced = bool(flags & 0x10)
    at = 4 + 4 * (bool(flags & 0x80) + bool(flags & 0x20) + sequenced)
    kind = payload[2:4]
    if kind in _ERSPAN:
        header = _ERSPAN[kind] if sequenced else 0  # the first version has no header of its own
        if header == 12 and payload[at + 11 : at + 12] and payload[at + 11] & 1:
            header += 8
        return _ethernet(payload, at + header)
    return _by_type(payload, kind, at)


def _by_type(payload: bytes, kind: bytes, at: int) -> int:
    if kind == _BRIDGED:
        return _ethernet(payload, at)
    return at if kind in _IP else -1


def _ethernet(payload: bytes, at: int) -> int:
    offset = ip_offset(ETHERNET, payload[at:])
    return at + offset if offset >= 0 else -1
