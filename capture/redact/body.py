"""Redaction of a body by its content: which scanner reads it, in which text encoding, and what cannot be made safe."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

from capture.redact.detect import may_hold
from capture.redact.fields import redact_form, shown
from capture.redact.found import Found
from capture.redact.json_text import json_names, redact_json
from capture.redact.markup import redact_markup

__all__ = ["BodyKind", "kind_of", "redact_body", "seek_body"]

_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]{1,40})", re.IGNORECASE)
_BOUNDARY = re.compile(r"boundary\s*=\s*(?:\"([^\"]{1,200})\"|([^\s;\"]{1,200}))", re.IGNORECASE)
_PART_NAME = re.compile(rb"(?:^|;)\s*name\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;\"]+))", re.IGNORECASE)
_PART_TYPE = re.compile(rb"^content-type\s*:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_PART_DISPOSITION = re.compile(rb"^content-disposition\s*:\s*([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_ASCII_LIKE = frozenset(("utf-8", "ascii", "iso8859-1", "cp1252", "iso8859-15"))
_LINE_PAIR = re.compile(
    r"(?<![\w.-])([\"']?)([A-Za-z_][\w.-]{0,63})\1([ \t]{0,8}[:=][ \t]{0,8})"
    r"(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s&,;\"'<>{}]+)"
)
_STEMS = re.compile(
    r"pass|pwd|secret|token|jwt|key|auth|ssn|cvv|cvc|credential|session|sid|otp|pin|iban|card|sig|csrf|xsrf|code|"
    r"hmac|account|routing|ticket|assertion|saml|mnemonic|seed|license|dsn|connection|number|no\b|num|tax|national|"
    r"mfa|bearer|nino|csc|sort|anti",
    re.IGNORECASE,
)
_MULTIPART_DEPTH_MAX = 3

BodyKind = str
"""One of "json", "lines", "events", "form", "multipart", "xml", "html", "text", "binary"."""


def kind_of(content_type: str, body: bytes) -> BodyKind:
    """How to read a body: by its media type, and by its first byte where that says nothing or is wrong."""
    media = content_type.partition(";")[0].strip().lower()
    head = body[:64].lstrip(b" \t\r\n\xef\xbb\xbf")[:1]
    if media.endswith(("ndjson", "jsonlines", "jsonl", "json-seq", "stream+json")):
        return "lines"
    if media.endswith(("json", "javascript")) and media != "text/javascript":
        return "json"
    if media == "text/event-stream":
        return "events"
    if media == "application/x-www-form-urlencoded":
        return "json" if head in (b"{", b"[") else "form"
    if media.startswith("multipart/"):
        return "multipart"
    if media in ("text/html", "application/xhtml+xml"):
        return "html"
    if media.endswith(("/xml", "+xml")):
        return "xml"
    if head in (b"{", b"[") and not media.startswith(("image/", "audio/", "video/", "font/")):
        return "json"
    if head == b"<" and (not media or media.startswith("text/")):
        return "xml"
    if media.startswith("text/") or (not media and b"\0" not in body[:1024]):
        return "text"
    return "binary"


def redact_body(body: bytes, content_type: str, found: Found, depth: int = 0) -> bytes | None:
    """`body` without secrets, the same object where it held none; None where it cannot be made safe.

    body: decoded of its content coding. The text encoding is that of the media type's charset, else UTF-8; bytes that
    do not fit it stay as they are.
    """
    kind = kind_of(content_type, body)
    if kind == "json" and not found.rules.strict and _json_is_clean(body, found):
        return body
    if kind == "multipart":
        return _multipart(body, content_type, found, depth)
    if found.rules.strict and kind in ("text", "html", "binary", "events"):
        media = content_type.partition(";")[0].strip().lower()
        return body if media in found.rules.keep["body"] else None
    encoding = _encoding(content_type, body)
    if kind == "binary" and not may_hold(body):
        return body
    try:
        text = body.decode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = body.decode(encoding)
    made = _READERS[kind](text, found)
    if made == text:
        return body
    try:
        return made.encode(encoding, "surrogateescape" if encoding == "utf-8" else "strict")
    except UnicodeEncodeError:
        return None


def seek_body(body: bytes, found: Found) -> bytes:
    """`body` with the secrets that were met anywhere in this exchange replaced; the same object where it has none."""
    text = body.decode("utf-8", "surrogateescape")
    made = found.seek(text, "body")
    return body if made == text else made.encode("utf-8", "surrogateescape")


def _json_is_clean(body: bytes, found: Found) -> bool:
    """True where no name in the text is a secret's and no detector can find anything; the fast way of most bodies."""
    if found.rules.json_secret or b"\\" in body or may_hold(body):
        return False
    clean = found.rules.clean_names
    names = json_names(body)
    if names <= clean:
        return True
    for name in names - clean:
        text = name.decode("utf-8", "replace")
        if found.rules.names.may_be_field(text):
            return False
        found.rules.add_clean(name)
    return True


def _encoding(content_type: str, body: bytes) -> str:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    match = _CHARSET.search(content_type)
    if match is None:
        return "utf-8"
    try:
        name = codecs.lookup(match.group(1)).name
        "".encode(name)  # some codecs are no text encodings
    except LookupError:
        return "utf-8"
    return "utf-8" if name in _ASCII_LIKE else name


def _json(text: str, found: Found) -> str:
    return redact_json(text, found)


def _lines(text: str, found: Found) -> str:
    return redact_json(text, found, lines=True)


def _form(text: str, found: Found) -> str:
    return redact_form(text, found, "form")


def _xml(text: str, found: Found) -> str:
    return redact_markup(text, found, "xml")


def _html(text: str, found: Found) -> str:
    return _text(redact_markup(text, found, "html"), found, False) if _STEMS.search(text) else _text(text, found, True)


def _events(text: str, found: Found) -> str:
    """Server-sent events (WHATWG HTML 9.2): the data lines that hold JSON are read as such."""
    parts = []
    for line in re.split(r"(\r\n|\r|\n)", text):
        if line.startswith("data:") and line[5:].lstrip()[:1] in ("{", "["):
            parts.append("data:" + redact_json(line[5:], found, "events"))
        else:
            parts.append(_text(line, found, True))
    return "".join(parts)


def _text(text: str, found: Found, pairs: bool = True) -> str:
    """Plain text: what detectors know, and `name: value` or `name=value` with the name of a secret."""
    if pairs and _STEMS.search(text):
        text = _LINE_PAIR.sub(lambda match: _line_pair(match, found), text)
    return found.scrub(text, "body")


def _line_pair(match: re.Match[str], found: Found) -> str:
    quote, name, mark, value = match.groups()
    if not found.rules.names.field(name) or name in found.rules.keep["form"]:
        return match.group()
    if value.lower() in ("true", "false", "null", "none", "bearer", "basic"):
        return match.group()
    if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1:
        value = value[0] + found.replace(value[1:-1], f"text:{name}") + value[0]
    else:
        value = found.replace(value, f"text:{name}")
    return f"{quote}{name}{quote}{mark}{value}"


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
        return found.replace(text, f"form:{shown(name, found)}").encode("utf-8", "surrogateescape")
    return redact_body(content, content_type, found, depth + 1)


_READERS: dict[BodyKind, Callable[[str, Found], str]] = {
    "json": _json,
    "lines": _lines,
    "events": _events,
    "form": _form,
    "xml": _xml,
    "html": _html,
    "text": _text,
    "binary": lambda text, found: found.scrub(text, "body"),
}
