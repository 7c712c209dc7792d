"""pcap and pcapng, recognised by their magic numbers; passive capture (capture/sources/sniff.py) reads them."""

from __future__ import annotations

__all__ = ["recognise"]

_MAGICS = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")


def recognise(head: bytes) -> bool:
    """True for the first bytes of a capture file, of either byte order, in microseconds or nanoseconds."""
    return head.startswith(_MAGICS)
