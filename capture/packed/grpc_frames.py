"""The frames of a gRPC body: length-prefixed messages (the protocol of gRPC over HTTP/2, and gRPC-Web)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

from capture.packed.items import Broken

__all__ = ["COMPRESSED", "HEAD_BYTES", "TRAILERS", "Frame", "read_frames"]

HEAD_BYTES: Final = 5
COMPRESSED, TRAILERS = 0x01, 0x80
"""Flags: the message has the coding that grpc-encoding names; it is the trailers of gRPC-Web, and no message."""

Frame: TypeAlias = "tuple[int, int, int]"
"""Flags, where the message begins, and where it ends; the five bytes of the head are before it."""


def read_frames(body: bytes, *, cut_off: bool) -> Iterator[Frame]:
    """The frames that are there to their last byte.

    cut_off: True where the body may end anywhere, as of a stream that was left: what is not whole is passed over, and
    flags are what they are. Else raises Broken, saying where, for a frame that is cut off or has unknown flags.
    """
    at, size = 0, len(body)
    while at < size:
        start = at + HEAD_BYTES
        end = start + int.from_bytes(body[at + 1 : start], "big")
        if end > size or start > size:
            if cut_off:
                return
            raise Broken(f"not gRPC frames: the frame at byte {at} is cut off")
        flags = body[at]
        if flags & 0x7E and not cut_off:
            raise Broken(f"not gRPC frames: the frame at byte {at} has unknown flags")
        yield flags, start, end
        at = end
