"""Blocks of pcapng files for tests, in either byte order (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct

__all__ = ["block", "interface", "option", "packet", "section"]


def block(order: str, kind: int, body: bytes) -> bytes:
    """Any block. order: "<" or ">"."""
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def option(order: str, code: int, value: bytes) -> bytes:
    """One option, to be appended to what a block holds."""
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str) -> bytes:
    """The head of a section: what stands before it says nothing about what follows."""
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order: str, link_type: int, options: bytes = b"") -> bytes:
    """An interface without a limit of a packet's length."""
    return block(order, 1, struct.pack(order + "HHI", link_type, 0, 0) + options)


def packet(order: str, number: int, ticks: int, frame: bytes) -> bytes:
    """A frame of the interface of this number in its section. ticks: its time in that interface's units."""
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
    return block(order, 6, head + frame)
