"""Redaction of a body by its content: which scanner reads it, in which text encoding, and what cannot be made safe."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from capture.packed.media import format_of
from capture.redact.detect import may_hold
from capture.redact.fields import redact_form, shown
from capture.redact.found import Found
from capture.redact.json_named import redact_named
from capture.redact.json_text import redact_json
from capture.redact.markup import redact_markup
from capture.redact.packed import redact_packed
from capture.redact.pairs import redact_text
from capture.redact.text import redact_csv, redact_events

__all__ = ["BodyKind", "is_plain_json", "kind_of", "redact_body", "seek_body"]

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_PART_NAME = re.compile(rb"(?:^|;)\s*name\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.IGNORECASE)
_PART_TYPE = re.compile(rb"^content-type\s*:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PART_DISPOSITION = re.compile(rb"^content-disposition\s*:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_JSON_TYPE = re.compile(r"json|javascript", re.IGNORECASE)
_ASCII_LIKE = frozenset(("utf-8", "ascii", "iso8859-1", "cp1252", "iso8859-15"))
_MULTIPART_DEPTH_MAX = 3
_VALIDATE = msgspec.json.Decoder(msgspec.Raw).decode

BodyKind = str
"""One of "json", "lines", "events", "form", "multipart", "xml", "html", "csv", "text", "binary"."""


def kind_of(content_type: str, body: bytes) -> BodyKind:
    """How to read a body: by its media type, and by its first byte where that says nothing or is wrong."""
    declared = _declared(content_type)
    if declared.kind is not None:
        return declared.kind
    media = declared.media
    begun = body[:64].lstrip(b" \t\r\n\xef\xbb\xbf")[:2]
    head = begun[:1]
    if media == "application/x-www-form-urlencoded":
        return "json" if head in (b"{", b"[") else "form"
    if head in (b"{", b"[") and not media.startswith(("image/", "audio/", "video/", "font/")):
        return "json"  # perhaps: `redact_body` looks at it as text, too, where it turns out to be none
    if head == b"<" and begun[1:] not in (b" ", b"\t") and (not media or media.startswith("text/")):
        return "xml"
    if media in ("text/csv", "text/tab-separated-values"):
        return "csv"
    if media.startswith("text/"):
        return "text"
    if b"\0" in body[:1024] or media.startswith(("image/", "audio/", "video/", "font/", "application/grpc")):
        return "binary"
    return "text" if _is_utf8(body) else "binary"


class _Declared(NamedTuple):
    """What a Content-Type says. kind: None where the body decides; encoding: of its charset, else UTF-8."""

    media: str
    kind: BodyKind | None
    encoding: str


@lru_cache(maxsize=256)
def _declared(content_type: str) -> _Declared:
    media = content_type.partition(";")[0].strip().lower()
    match = _CHARSET.search(content_type)
    kind: BodyKind | None = None
    if media.endswith(("ndjson", "jsonlines", "jsonl", "json-seq", "stream+json")):
        kind = "lines"
    elif media.endswith(("json", "javascript")) and media != "text/javascript":
        kind = "json"
    elif media == "text/event-stream":
        kind = "events"
    elif media.startswith("multipart/"):
        kind = "multipart"
    elif media in ("text/html", "application/xhtml+xml"):
        kind = "html"
    elif media.endswith(("/xml", "+xml")):
        kind = "xml"
    return _Declared(media, kind, "utf-8" if match is None else _codec(match.group(1)))


@lru_cache(maxsize=256)
def is_plain_json(content_type: str) -> bool:
    """True for a media type whose bodies are read as JSON in UTF-8, whatever they are."""
    declared = _declared(content_type)
    return declared.kind == "json" and declared.encoding == "utf-8" and format_of(declared.media) is None


def _is_utf8(body: bytes) -> bool:
    """True where the first KiB is UTF-8 text, but for a character cut at its end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(body[:1024])
    except UnicodeDecodeError:
        return False
    return True


def redact_body(body: bytes, content_type: str, found: Found, depth: int = 0) -> bytes | None:
    """`body` without secrets, the same object where it held none; None where it cannot be made safe.

    body: decoded of its content coding. The text encoding is that of the media type's charset, else UTF-8; bytes that
    do not fit it stay as they are.
    """
    encoding = _encoding(content_type, body)
    plain = encoding in _ASCII_LIKE
    kind = kind_of(content_type, body if plain else _as_utf8(body, encoding))
    if kind == "multipart":
        return _multipart(body, content_type, found, depth)
    packed = None if found.rules.strict else format_of(_declared(content_type).media)
    if packed is not None:
        return redact_packed(body, packed, found)
    search = True
    if found.rules.strict:
        media = _declared(content_type).media
        if kind in ("text", "html", "binary", "events", "csv"):
            return body if media in found.rules.keep["body"] else None
    elif plain and kind == "json":
        searched = None if found.rules.clean is None else found.rules.clean.searched(body)
        search = searched is None
        made_here = None if searched is None else redact_named(body, searched, found, encoding)
        if made_here is not None:
            return made_here
    elif plain and kind == "binary" and not may_hold(body):
        return body
    try:
        text = body.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = body.decode(encoding)
    if kind == "json":
        made = redact_json(text, found, search=search or "\\" in text)
        if _JSON_TYPE.search(content_type) is None and not _is_json(body):
            made = redact_text(made, found)  # it only began as JSON does: an INI file, a line of a log
    else:
        made = _READERS[kind](text, found)
    if made == text:
        return body
    try:
        return made.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeEncodeError:
        return None


def seek_body(body: bytes, found: Found, spellings: list[tuple[str, str]]) -> bytes:
    """`body` with the secrets that were met anywhere in this exchange replaced; the same object where it has none."""
    text = body.decode("utf-8", "surrogateescape")
    made = found.seek(text, "body", spellings)
    return body if made == text else made.encode("utf-8", "surrogateescape")


def _is_json(body: bytes) -> bool:
    try:
        _VALIDATE(body)
    except msgspec.DecodeError:
        return False
    return True


def _as_utf8(body: bytes, encoding: str) -> bytes:
    return body[:256].decode(encoding, "ignore").encode()


def _encoding(content_type: str, body: bytes) -> str:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") and len(body) % 2 == 0:
        return "utf-16-le" if body[0] == 0xFF else "utf-16-be"
    return _declared(content_type).encoding


def _codec(charset: str) -> str:
    """Python's name of a charset; UTF-8 for one that is not known."""
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # some codecs are no text encodings
    except LookupError:
        return "utf-8"
    return "utf-8" if name == "ascii" else name


def _lines(text: str, found: Found) -> str:
    return redact_json(text, found, lines=True)


def _form(text: str, found: Found) -> str:
    return redact_form(text, found, "form")


def _xml(text: str, found: Found) -> str:
    return redact_markup(text, found, "xml")


def _html(text: str, found: Found) -> str:
    return redact_markup(text, found, "html")


def _multipart(body: bytes, content_type: str, found: Found, depth: int) -> bytes | None:
    """Every part by its name and its own type (RFC 7578); None where the boundary is not known."""
    match = _BOUNDARY.search(content_type)
    if match is None or depth >= _MULTIPART_DEPTH_MAX:
        return None
    mark = b"--" + (match.group(1) or match.group(2)).encode("utf-8")
    parts = body.split(mark)
    for n in range(1, len(parts)):
        head, gap, content = parts[n].partition(b"\r\n\r\n")
        if not gap:
            head, gap, content = parts[n].partition(b"\n\n")
        if not gap:
            continue
        ending = b"\r\n" if content.endswith(b"\r\n") else b"\n" if content.endswith(b"\n") else b""
        made = _part(head, content[: len(content) - len(ending)], found, depth)
        if made is None:
            return None
        parts[n] = head + gap + made + ending
    return mark.join(parts)


def _part(head: bytes, content: bytes, found: Found, depth: int) -> bytes | None:
    disposition = _PART_DISPOSITION.search(head)
    named = _PART_NAME.search(disposition.group(1)) if disposition else None
    name = (named.group(1) or named.group(2) or b"").decode("utf-8", "replace") if named else ""
    if name and name in found.rules.keep["form"]:
        found.keep(content.decode("utf-8", "replace"))
        return content
    typed = _PART_TYPE.search(head)
    content_type = typed.group(1).decode("latin-1") if typed else "text/plain"
    if name and (found.rules.names.query(name) or (found.rules.strict and not typed)):
        text = content.decode("utf-8", "surrogateescape")
        return found.named(name, text, f"form:{shown(name, found)}").encode("utf-8", "surrogateescape")
    return redact_body(content, content_type, found, depth + 1)


_READERS: dict[BodyKind, Callable[[str, Found], str]] = {
    "lines": _lines,
    "events": redact_events,
    "form": _form,
    "xml": _xml,
    "html": _html,
    "text": redact_text,
    "csv": redact_csv,
    "binary": lambda text, found: found.scrub(text, "body"),
}
