"""The head of an HTTP/1 message, read strictly, and how its body is delimited (RFC 9112 sections 2 to 6).

A head that is ambiguous raises `Fault` with a short reason: two readers of such bytes may disagree on where the message
ends, which is what request smuggling lives on, so this one does not choose. `salvage` reads what is certain of such a
head for the record. All text is ISO 8859-1 (see `capture.exchange`).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from capture.exchange import Headers

__all__ = [
    "CHUNKED",
    "HEAD_BYTES_MAX",
    "UNTIL_CLOSE",
    "Fault",
    "RequestHead",
    "ResponseHead",
    "check_request_line",
    "find_head_end",
    "parse_fields",
    "parse_request",
    "parse_response",
    "salvage",
]

HEAD_BYTES_MAX: Final = 64 * 1024
"""Longest head, with its empty line, that is read; nginx and Apache refuse far shorter ones."""

CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME: Final = re.compile(_TOKEN)
_REQUEST_LINE: Final = re.compile(rf"({_TOKEN}) ([^\x00-\x20\x7f]+) (HTTP/1\.[0-9])")
_STATUS_LINE: Final = re.compile(r"(HTTP/1\.[0-9]) ([1-9][0-9][0-9])(?: ([^\x00-\x08\x0a-\x1f\x7f]*))?")
_LENGTH: Final = re.compile(r"0|[1-9][0-9]{0,17}")
_HEAD_END: Final = re.compile(rb"\n\r?\n")
_PLAIN: Final = bytes(n for n in range(256) if n >= 0x20 and n != 0x7F) + b"\t"
"""Every byte that may stand in a line; what is left of a head after deleting them must be its line ends alone."""

_KINDS: Final[dict[str, int]] = {}
"""Header names met before -> 0 ordinary, 1 Content-Length, 2 Transfer-Encoding. Bounded by `_KINDS_MAX`."""
_KINDS_MAX: Final = 2048
_KIND_OF: Final = {"content-length": 1, "transfer-encoding": 2}


class Fault(Exception):
    """The bytes are not, or not certainly, an HTTP/1 message; str() is the reason in snake_case."""


class RequestHead(NamedTuple):
    """length: of the body in bytes, 0 for none, or CHUNKED. coded: transfer codings besides chunked are applied."""

    method: str
    target: str
    version: str
    headers: Headers
    length: int
    coded: bool = False
    fault: str | None = None


class ResponseHead(NamedTuple):
    """length: as the fields say, or CHUNKED or UNTIL_CLOSE; whether there is a body at all depends on the request."""

    version: str
    status: int
    reason: str
    headers: Headers
    length: int
    coded: bool = False
    fault: str | None = None


def find_head_end(data: bytes | bytearray, start: int = 0) -> int:
    """Index behind the empty line that ends the head, or -1; bare line feeds count as line ends."""
    match = _HEAD_END.search(data, start)
    return match.end() if match else -1


def check_request_line(line: bytes) -> None:
    """Raise Fault where `line`, without its line end, cannot be a request line of HTTP/1."""
    _request_line(line.decode("latin-1"))


def parse_request(head: bytes) -> RequestHead:
    """Read a request head; `head` ends with the CRLF of its last line, the empty line is not part of it.

    Raises Fault where the head is not well-formed. A head that reads well, but whose framing is ambiguous, is returned
    with `fault` set and length 0.
    """
    lines = _lines(head)
    method, target, version = _request_line(lines[0])
    headers, lengths, codings = _fields(lines)
    if not lengths and not codings:
        return RequestHead(method, target, version, headers, 0)
    try:
        length, coded = _framing(version, lengths, codings)
        if length == UNTIL_CLOSE:  # RFC 9112 section 6.3: only a response may end with the connection
            raise Fault("bad_transfer_encoding")
    except Fault as fault:
        return RequestHead(method, target, version, headers, 0, False, str(fault))
    return RequestHead(method, target, version, headers, length, coded)


def parse_response(head: bytes) -> ResponseHead:
    """Read a response head; `head` and the errors are as for `parse_request`."""
    lines = _lines(head)
    match = _STATUS_LINE.fullmatch(lines[0])
    if match is None:
        raise Fault("bad_status_line")
    version, status, reason = match.groups("")
    headers, lengths, codings = _fields(lines)
    try:
        length, coded = _framing(version, lengths, codings) if lengths or codings else (UNTIL_CLOSE, False)
    except Fault as fault:
        return ResponseHead(version, int(status), reason, headers, 0, False, str(fault))
    return ResponseHead(version, int(status), reason, headers, length, coded)


def parse_fields(block: bytes) -> Headers:
    """Read trailer fields, each line ended with CRLF; raises Fault."""
    lines = _lines(b"\r\n" + block)
    return _fields(lines)[0]


def salvage(head: bytes) -> RequestHead | None:
    """The request line and the well-formed lines of a malformed request head; None without the first."""
    lines = [line.removesuffix("\r") for line in head.decode("latin-1").split("\n")]
    try:
        method, target, version = _request_line(lines[0])
    except Fault:
        return None
    headers = []
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon and _NAME.fullmatch(name) and "\r" not in value and "\0" not in value:
            headers.append((name, value.strip(" \t")))
    return RequestHead(method, target, version, tuple(headers), 0)


def _lines(head: bytes) -> list[str]:
    """The lines of a head, with one empty string behind the last; raises Fault on anything but CRLF and plain text."""
    lines = head.decode("latin-1").split("\r\n")
    ends = head.translate(None, _PLAIN)
    if len(ends) != 2 * len(lines) - 2 or ends != b"\r\n" * (len(lines) - 1):
        without = head.replace(b"\r\n", b"")
        raise Fault("bare_lf" if b"\n" in without else "bare_cr" if b"\r" in without else "control_character")
    return lines


def _request_line(line: str) -> tuple[str, str, str]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        parts = line.rsplit(" ", 1)
        version = parts[-1].rstrip("\r")
        bad_version = len(parts) == 2 and "/" in version and not version.startswith(("HTTP/1.", "/"))
        raise Fault("bad_version" if bad_version else "bad_request_line")
    return match.groups()  # type: ignore[return-value]  # three groups, none optional


def _fields(lines: list[str]) -> tuple[Headers, list[str], list[str]]:
    """All fields of the lines behind the first, and the values of Content-Length and of Transfer-Encoding."""
    headers = []
    lengths: list[str] = []
    codings: list[str] = []
    kinds = _KINDS
    for line in lines[1:-1]:
        name, colon, value = line.partition(":")
        value = value.strip(" \t")
        kind = kinds.get(name)
        if kind or kind is None:
            if kind is None:
                kind = _classify(name, line)
            if kind == 1:
                lengths.append(value)
            elif kind == 2:
                codings.append(value)
        elif not colon:
            raise Fault("no_colon")
        headers.append((name, value))
    return tuple(headers), lengths, codings


def _classify(name: str, line: str) -> int:
    if line[:1] in (" ", "\t"):
        raise Fault("obs_fold")
    if ":" not in line:
        raise Fault("no_colon")
    if _NAME.fullmatch(name) is None:
        raise Fault("space_before_colon" if name.rstrip(" \t") != name else "bad_header_name")
    kind = _KIND_OF.get(name.lower(), 0)
    if len(_KINDS) < _KINDS_MAX and len(name) <= 64:
        _KINDS[name] = kind
    return kind


def _framing(version: str, lengths: list[str], codings: list[str]) -> tuple[int, bool]:
    """RFC 9112 section 6.3 -> (length, CHUNKED or UNTIL_CLOSE; whether other transfer codings remain in the body)."""
    if codings:
        if lengths:
            raise Fault("content_length_and_transfer_encoding")
        if version == "HTTP/1.0":
            raise Fault("transfer_encoding_in_http_1_0")
        names = [part.strip(" \t").lower() for value in codings for part in value.split(",")]
        names = [name for name in names if name]
        if not names or names.count("chunked") > 1 or ("chunked" in names and names[-1] != "chunked"):
            raise Fault("bad_transfer_encoding")
        if names[-1] == "chunked":
            return CHUNKED, len(names) > 1
        return UNTIL_CLOSE, names != ["identity"]
    values = {part.strip(" \t") for value in lengths for part in value.split(",")} if lengths != [""] else {""}
    if len(values) != 1:
        raise Fault("differing_content_lengths")
    text = values.pop()
    if _LENGTH.fullmatch(text) is None:
        raise Fault("bad_content_length")
    return int(text), False
