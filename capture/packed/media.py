"""Which packed format a media type names."""

from __future__ import annotations

from capture.packed.cbor import CBOR
from capture.packed.items import Format
from capture.packed.messagepack import MESSAGEPACK

__all__ = ["format_of"]


def format_of(content_type: str) -> Format | None:
    """MessagePack or CBOR by a Content-Type in lower case, None for all others; how a body begins says nothing."""
    media = content_type.partition(";")[0]
    if media.startswith("application/grpc"):
        return None  # their messages stand in frames
    if "msgpack" in media or "messagepack" in media:
        return MESSAGEPACK
    return CBOR if "cbor" in media else None
