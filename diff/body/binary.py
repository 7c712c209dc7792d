"""Bodies that are only bytes here: their size, digest and type, and where they first differ."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

from diff.body.kinds import magic
from diff.collector import Collector

__all__ = ["compare_binary", "describe"]


def describe(body: bytes) -> dict[str, Any]:
    """{"bytes", "sha256", "type"} of a body, and {"width", "height"} in pixels where it is a PNG, GIF or JPEG image.

    type: what its first bytes say, None where they say nothing.
    """
    described: dict[str, Any] = {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), "type": magic(body)}
    size = _pixels(body, described["type"])
    if size is not None:
        described["width"], described["height"] = size
    return described


def compare_binary(left: bytes, right: bytes, collector: Collector) -> None:
    """Add one difference at the root where two bodies are not the same bytes; the sides are described, not carried."""
    if left == right:
        return
    at = _first_difference(left, right)
    collector.note(f"compared as bytes; the first that differs is at offset {at}")
    collector.add((), "value", describe(left), describe(right))


def _first_difference(left: bytes, right: bytes) -> int:
    """Offset of the first byte that differs, or the length of the shorter: by halving, so that C does the comparing."""
    low, high = 0, min(len(left), len(right))
    while low < high:
        middle = (low + high + 1) // 2
        if left[low:middle] == right[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _pixels(body: bytes, media_type: str | None) -> tuple[int, int] | None:
    if media_type == "image/png" and len(body) >= 24 and body[12:16] == b"IHDR":
        return struct.unpack_from(">II", body, 16)
    if media_type == "image/gif" and len(body) >= 10:
        return struct.unpack_from("<HH", body, 6)
    if media_type == "image/jpeg":
        return _jpeg_pixels(body)
    return None


def _jpeg_pixels(body: bytes) -> tuple[int, int] | None:
    """Width and height from the first start-of-frame segment (ITU-T T.81, B.2.2)."""
    at = 2
    while at + 9 <= len(body) and body[at] == 0xFF:
        marker = body[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", body, at + 5)
            return width, height
        at += 2 + int.from_bytes(body[at + 2 : at + 4], "big")
    return None
