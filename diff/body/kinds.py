"""What kind of content a body is: by its Content-Type, and where that says little or nothing, by its first bytes."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, Literal

import msgspec

from diff.header_grammar import media_type as parse_media_type

__all__ = ["ContentType", "Kind", "kind_of", "magic", "parse_content_type"]

Kind = Literal[
    "json",
    "ndjson",
    "events",
    "html",
    "xml",
    "form",
    "multipart",
    "text",
    "protobuf",
    "grpc",
    "msgpack",
    "cbor",
    "binary",
]


class ContentType(msgspec.Struct, frozen=True, gc=False):
    """A parsed Content-Type. media_type: lower case, "" where there is none. parameters: lower-case names."""

    media_type: str
    parameters: dict[str, str]

    @property
    def charset(self) -> str | None:
        """The charset parameter in lower case, or None."""
        return self.parameters.get("charset")


@lru_cache(maxsize=1024)
def parse_content_type(value: str | None) -> ContentType:
    """The parts of a Content-Type value; anything that is not one has the media type ""."""
    if not value or len(value) > 1000:
        return ContentType("", {})
    media_type, parameters = parse_media_type(value)
    return ContentType(media_type, {name: text or "" for name, text in parameters})


_EXACT: Final[dict[str, Kind]] = {
    "application/json": "json",
    "text/json": "json",
    "application/manifest+json": "json",
    "application/ndjson": "ndjson",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/x-jsonlines": "ndjson",
    "application/json-seq": "ndjson",
    "application/stream+json": "ndjson",
    "text/event-stream": "events",
    "text/html": "html",
    "application/xhtml+xml": "xml",
    "application/xml": "xml",
    "text/xml": "xml",
    "image/svg+xml": "xml",
    "application/x-www-form-urlencoded": "form",
    "application/protobuf": "protobuf",
    "application/x-protobuf": "protobuf",
    "application/x-google-protobuf": "protobuf",
    "application/vnd.google.protobuf": "protobuf",
    "application/msgpack": "msgpack",
    "application/x-msgpack": "msgpack",
    "application/vnd.msgpack": "msgpack",
    "application/cbor": "cbor",
    "application/cbor-seq": "cbor",
    "application/javascript": "text",
    "application/x-javascript": "text",
    "application/ecmascript": "text",
    "application/graphql": "text",
    "application/yaml": "text",
    "application/x-yaml": "text",
    "application/toml": "text",
    "application/sql": "text",
    "application/x-sh": "text",
    "application/vnd.apple.mpegurl": "text",
    "application/x-mpegurl": "text",
}
_SUFFIXES: Final[dict[str, Kind]] = {
    "+json": "json",
    "+json-seq": "ndjson",
    "+xml": "xml",
    "+proto": "protobuf",
    "+protobuf": "protobuf",
    "+msgpack": "msgpack",
    "+cbor": "cbor",
    "+cbor-seq": "cbor",
    "+yaml": "text",
}
_BINARY: Final = ("image/", "audio/", "video/", "font/")
_SAYS_LITTLE: Final = frozenset({"", "text/plain", "application/octet-stream", "binary/octet-stream", "text/x-json"})


@lru_cache(maxsize=1024)
def _declared(content_type: str | None) -> Kind | None:
    """The kind that a Content-Type stands for; None where it says little and the content decides."""
    media_type = parse_content_type(content_type).media_type
    if media_type in _SAYS_LITTLE:
        return None
    if media_type in _EXACT:
        return _EXACT[media_type]
    if media_type.startswith(("application/grpc-web-text",)):
        return "text"
    if media_type.startswith("application/grpc"):
        return "grpc"
    if media_type.startswith("multipart/"):
        return "multipart"
    for suffix, kind in _SUFFIXES.items():
        if media_type.endswith(suffix):
            return kind
    if media_type.startswith("text/"):
        return "text"
    # Of what is not known the content decides: application/x-amz-json-1.1 is JSON, and says so in no way of its own.
    return "binary" if media_type.startswith(_BINARY) else None


def kind_of(content_type: str | None, body: bytes) -> Kind:
    """The kind of content that a body is to be read as; whether it really is shows when it is read."""
    declared = _declared(content_type)
    return _recognised(body) if declared is None else declared


_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"wOF2", "font/woff2"),
    (b"wOFF", "font/woff"),
    (b"\x00asm", "application/wasm"),
    (b"OggS", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"\x7fELF", "application/x-elf"),
)


def magic(body: bytes) -> str | None:
    """The media type that the first bytes of a body stand for, None where they say nothing."""
    for beginning, media_type in _MAGIC:
        if body.startswith(beginning):
            return media_type
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return "image/webp"
    if body[4:8] == b"ftyp":
        return "video/mp4"
    return None


_TEXT_CONTROLS: Final = bytes(code for code in range(0x20) if code not in (0x09, 0x0A, 0x0C, 0x0D, 0x1B))


def _recognised(body: bytes) -> Kind:
    start = body[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start[:1] in (b"{", b"["):
        return "json"
    if start.startswith(b"<?xml"):
        return "xml"
    if start.startswith((b"<!doctype html", b"<html")):
        return "html"
    if magic(body) is not None:
        return "binary"
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "text"
    sample = body[:4096]
    if sample.translate(None, _TEXT_CONTROLS) != sample:
        return "binary"
    return "text"
