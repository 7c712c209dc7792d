"""Finds the IP packet in a captured frame, by the link type of the capture (libpcap's numbers)."""

from __future__ import annotations

from typing import Final

__all__ = ["ETHERNET", "LINK_TYPES", "ip_offset"]

ETHERNET: Final = 1
LINK_TYPES: Final = {
    0: "BSD NULL",
    1: "Ethernet",
    12: "raw IP",
    14: "raw IP",
    101: "raw IP",
    108: "BSD LOOP",
    113: "Linux SLL",
    228: "raw IPv4",
    229: "raw IPv6",
    276: "Linux SLL2",
}
"""Link types that are read, with their usual names."""

_IP: Final = (b"\x08\x00", b"\x86\xdd")
_VLAN: Final = (b"\x81\x00", b"\x88\xa8", b"\x91\x00")
_MPLS: Final = (b"\x88\x47", b"\x88\x48")
_PPPOE: Final = b"\x88\x64"
_PPP_IP: Final = (b"\x00\x21", b"\x00\x57")
_TAGS_MAX: Final = 8


def ip_offset(link_type: int, frame: bytes) -> int:
    """Where the IPv4 or IPv6 header starts in `frame`; -1 where there is none or the frame is too short for one."""
    if link_type == ETHERNET:
        kind = frame[12:14]
        return 14 if kind in _IP else _tagged(frame, kind, 14)
    if link_type in (0, 108):
        return 4 if len(frame) > 4 else -1
    if link_type == 113:
        kind = frame[14:16]
        return 16 if kind in _IP else _tagged(frame, kind, 16)
    if link_type == 276:
        kind = frame[0:2]
        return 20 if kind in _IP else _tagged(frame, kind, 20)
    return 0 if link_type in LINK_TYPES and frame else -1


def _tagged(frame: bytes, kind: bytes, offset: int) -> int:
    """Past VLAN tags (802.1Q, QinQ), MPLS labels and PPPoE; kind: the EtherType that says what is at offset."""
    for _ in range(_TAGS_MAX):
        if kind in _VLAN:
            kind = frame[offset + 2 : offset + 4]
            offset += 4
        elif kind in _MPLS:
            while offset + 4 < len(frame) and not frame[offset + 2] & 1:
                offset += 4
            offset += 4
            first = frame[offset] >> 4 if offset < len(frame) else 0
            return offset if first in (4, 6) else -1
        elif kind == _PPPOE:
            return offset + 8 if frame[offset + 6 : offset + 8] in _PPP_IP else -1
        else:
            return offset if kind in _IP else -1
    return -1
