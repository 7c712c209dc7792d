"""Text of other tools brought into the form of the wire: bytes as ISO 8859-1, targets as sent, known versions."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from capture.exchange import Headers, header

__all__ = [
    "Address",
    "address_of",
    "bytes_of",
    "charset_of",
    "encoded",
    "version_of",
    "wire_text",
    "with_host",
    "without",
]

_VERSIONS = {
    "h2": "HTTP/2", "http/2": "HTTP/2", "http/2.0": "HTTP/2", "h3": "HTTP/3", "http/3": "HTTP/3", "http/3.0": "HTTP/3",
    "http/1.0": "HTTP/1.0", "http/1.1": "HTTP/1.1", "h2c": "HTTP/2", "h3-29": "HTTP/3", "quic": "HTTP/3",
}  # fmt: skip
_CHARSET = re.compile(r"charset\s*=\s*\"?([A-Za-z0-9_.:-]{1,40})", re.IGNORECASE)
_TEXT = re.compile(r"^text/|json|xml|script|form|multipart|graphql|yaml|csv", re.IGNORECASE)
_URL_SAFE = "!#$%&'()*+,-./:;=?@[]_~\"<>\\^`{|}"
_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}


def wire_text(text: str) -> str:
    """A header value or reason as the log keeps it: each byte of its UTF-8 as the code point of the same number.

    Text that is ISO 8859-1 already stays as it is: those were the bytes.
    """
    if text.isascii():
        return text
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("latin-1")
    return text


def version_of(text: object) -> str:
    """HTTP/1.0, HTTP/1.1, HTTP/2 or HTTP/3; HTTP/1.1 where the file does not say."""
    return _VERSIONS.get(text.strip().lower(), "HTTP/1.1") if isinstance(text, str) else "HTTP/1.1"


class Address:
    """An URL taken apart. authority: host and port as written; server: "host:port"; target: path and query as sent."""

    __slots__ = ("authority", "scheme", "server", "target")

    def __init__(self, scheme: str, authority: str, server: str, target: str) -> None:
        self.scheme, self.authority, self.server, self.target = scheme, authority, server, target


def address_of(url: str) -> Address:
    """Raises ValueError where it is not the address of a request over HTTP."""
    parts = urlsplit(url.strip())
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme.lower(), parts.scheme.lower())
    if scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url[:60]!r} is not an http or https address")
    port = parts.port or _PORTS[scheme]
    host = parts.hostname
    authority = parts.netloc.rpartition("@")[2]
    # Cut from the text itself: urlsplit loses an empty query's question mark, and what was sent is what counts.
    rest = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", url.strip()).partition("#")[0]
    target = rest if rest.startswith("/") else "/" + rest
    if not target.isascii() or not target.isprintable() or " " in target:
        target = quote(target.encode("utf-8", "surrogatepass"), safe=_URL_SAFE)
    return Address(scheme, wire_text(authority), f"[{host}]:{port}" if ":" in host else f"{host}:{port}", target)


def charset_of(content_type: str | None) -> str | None:
    """The charset that a content type names, None where it names none."""
    found = _CHARSET.search(content_type or "")
    return found[1].lower() if found else None


def encoded(text: str, content_type: str | None) -> bytes:
    """Text as the bytes it was decoded from: by the charset of its type where that can say it, else UTF-8."""
    charset = charset_of(content_type)
    if charset is not None and charset not in ("utf-8", "utf8"):
        try:
            return text.encode(charset)
        except (LookupError, UnicodeEncodeError, ValueError):
            pass
    return text.encode("utf-8", "surrogatepass")


def bytes_of(text: str, content_type: str | None, length: int | None, size: int | None) -> bytes:
    """Text as `encoded` says, but as Latin-1 where bytes that are no text were exported so.

    length: as declared on the wire, size: as the export says, None where they do not. Some tools count characters, so
    a size decides only for types that are no text; without one, the bytes of these are taken as Latin-1.
    """
    body = encoded(text, content_type)
    if length is not None:
        taken = len(body) == length or len(text) != length
    else:
        taken = len(body) == size or not _no_text(content_type)
    if taken or text.isascii():
        return body
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return body


def _no_text(content_type: str | None) -> bool:
    kind = (content_type or "").partition(";")[0].strip()
    return bool(kind) and _TEXT.search(kind) is None


def without(headers: Headers, *names: str) -> Headers:
    """The fields but for those of these names (lower case)."""
    return tuple((name, value) for name, value in headers if name.lower() not in names)


def with_host(headers: Headers, authority: str) -> Headers:
    """The fields with a Host in front, where they have none."""
    return headers if header(headers, "host") is not None else (("Host", authority), *headers)
