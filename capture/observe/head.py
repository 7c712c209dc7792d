"""The head of an HTTP/1 message, read strictly, and how its body is delimited (RFC 9112 sections 2 to 6).

A head that is ambiguous raises `Fault` with a short reason: two readers of such bytes may disagree on where the message
ends, which is what request smuggling lives on, so this one does not choose. `salvage` reads what is certain of such a
head for the record. All text is ISO 8859-1 (see `capture.exchange`).
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from capture.exchange import Headers, Request

__all__ = [
    "CHUNKED",
    "HEAD_BYTES_MAX",
    "UNTIL_CLOSE",
    "Fault",
    "RequestHead",
    "ResponseHead",
    "check_request_line",
    "explain",
    "find_head_end",
    "frame_response",
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

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

_ORDINARY, _LENGTH_FIELD, _CODING_FIELD, _SECRET_FIELD = 0, 1, 2, 3
_KIND_OF: Final = {
    "content-length": _LENGTH_FIELD,
    "transfer-encoding": _CODING_FIELD,
    "authorization": _SECRET_FIELD,
    "proxy-authorization": _SECRET_FIELD,
    "cookie": _SECRET_FIELD,
    "set-cookie": _SECRET_FIELD,
}
_KINDS: Final[dict[str, int]] = {}
"""Kinds of the header names met before, as they were written; up to `_KINDS_MAX`."""
_KINDS_MAX: Final = 2048
_KNOWN: Final[dict[str, tuple[str, str]]] = {}
"""Ordinary header lines met before, read: most lines of a service's traffic come again and again. Emptied when full."""
_KNOWN_MAX: Final = 4096
_KNOWN_OF: Final[dict[str, int]] = {}
"""How many of them each name has: those of an id or a token would only push out the others."""
_KNOWN_OF_MAX: Final = 256
_KNOWN_LINE_MAX: Final = 128


class Fault(Exception):
    """The bytes are not, or not certainly, an HTTP/1 message; str() is the reason in snake_case."""


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request without its body, and how that is delimited.

    length: of the body in bytes, 0 for none, or CHUNKED. coded: transfer codings besides chunked are applied. fault:
    why it is not certain where the request ends.
    """

    request: Request
    length: int = 0
    coded: bool = False
    fault: str | None = None


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
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

    Raises Fault where the head is not well-formed; `explain` says why more exactly. A head that reads well, but whose
    framing is ambiguous, is returned with `fault` set.
    """
    lines = head.decode("latin-1").split("\r\n")
    method, target, version = _request_line(lines[0])
    lengths: list[str] = []
    codings: list[str] = []
    request = Request(method, target, version, _fields(lines, lengths, codings))
    if not lengths and not codings:
        return RequestHead(request)
    try:
        length, coded = _framing(version, lengths, codings)
        if length == UNTIL_CLOSE:  # RFC 9112 section 6.3: only a response may end with the connection
            raise Fault("bad_transfer_encoding")
    except Fault as fault:
        return RequestHead(request, 0, False, str(fault))
    return RequestHead(request, length, coded)


def parse_response(head: bytes) -> ResponseHead:
    """Read a response head; `head` and the errors are as for `parse_request`."""
    lines = head.decode("latin-1").split("\r\n")
    version, status, reason = _status_line(lines[0])
    lengths: list[str] = []
    codings: list[str] = []
    headers = _fields(lines, lengths, codings)
    return _response_head(version, status, reason, headers, lengths, codings)


def frame_response(head: bytes) -> ResponseHead:
    """As `parse_response`, without the headers, and blind to faults that say nothing about the framing."""
    lower = head.lower()
    at = lower.find(b"\ncontent-length")
    if b"\ntransfer-encoding" in lower or (at >= 0 and lower.find(b"\ncontent-length", at + 1) >= 0):
        return parse_response(head)
    version, status, reason = _status_line(head[: head.find(b"\r\n")].decode("latin-1"))
    if at < 0:
        return ResponseHead(version, status, reason, (), UNTIL_CLOSE)
    value = lower[at + 15 : lower.find(b"\r\n", at)]
    if value[:1] != b":":
        return parse_response(head)
    return _response_head(version, status, reason, (), [value[1:].strip(b" \t").decode("latin-1")], [])


def parse_fields(block: bytes) -> Headers:
    """Read trailer fields, each line ended with CRLF; raises Fault."""
    try:
        return _fields(["", *block.decode("latin-1").split("\r\n")], [], [])
    except Fault as fault:
        raise Fault(explain(block, fault)) from None


def explain(head: bytes, fault: Fault) -> str:
    """Why the head, cut behind its empty line, could not be read; a fault in its lines' ends comes first."""
    rest = head.replace(b"\r\n", b"").translate(None, _PLAIN)
    if b"\n" in rest:
        return "bare_lf"
    if b"\r" in rest:
        return "bare_cr"
    return "control_character" if rest else str(fault)


def salvage(head: bytes) -> RequestHead | None:
    """The request line and the well-formed lines of a malformed request head; None without the first."""
    lines = [line.removesuffix("\r") for line in head.decode("latin-1").split("\n")]
    try:
        method, target, version = _request_line(lines[0])
    except Fault:
        return None
    headers = []
    for line in lines[1:]:
        try:
            headers.append(_field(line)[0])
        except Fault:
            continue
    return RequestHead(Request(method, target, version, tuple(headers)))


def _response_head(
    version: str, status: int, reason: str, headers: Headers, lengths: list[str], codings: list[str]
) -> ResponseHead:
    if not lengths and not codings:
        return ResponseHead(version, status, reason, headers, UNTIL_CLOSE)
    try:
        length, coded = _framing(version, lengths, codings)
    except Fault as fault:
        return ResponseHead(version, status, reason, headers, 0, False, str(fault))
    return ResponseHead(version, status, reason, headers, length, coded)


def _status_line(line: str) -> tuple[str, int, str]:
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise Fault("bad_status_line")
    version, status, reason = match.groups("")
    return version, int(status), reason


def _request_line(line: str) -> tuple[str, str, str]:
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        parts = line.rsplit(" ", 1)
        version = parts[-1].rstrip("\r")
        bad_version = len(parts) == 2 and "/" in version and not version.startswith(("HTTP/1.", "/"))
        raise Fault("bad_version" if bad_version else "bad_request_line")
    return match.groups()  # type: ignore[return-value]  # three groups, none optional


def _fields(lines: list[str], lengths: list[str], codings: list[str]) -> Headers:
    """All fields of the lines between the first and the last, which is empty.

    Values of Content-Length are added to lengths, those of Transfer-Encoding to codings. Raises Fault.
    """
    headers = []
    known = _KNOWN
    for line in lines[1:-1]:
        field = known.get(line)
        if field is None:
            field, kind = _field(line)
            if kind == _ORDINARY:
                if len(line) <= _KNOWN_LINE_MAX:
                    _remember(line, field)
            elif kind == _LENGTH_FIELD:
                lengths.append(field[1])
            elif kind == _CODING_FIELD:
                codings.append(field[1])
        headers.append(field)
    return tuple(headers)


def _remember(line: str, field: tuple[str, str]) -> None:
    """Know this line again, unless lines of its name are ever others."""
    count = _KNOWN_OF.get(field[0], 0)
    if count >= _KNOWN_OF_MAX:
        return
    if len(_KNOWN) >= _KNOWN_MAX:
        _KNOWN.clear()
        _KNOWN_OF.clear()
        count = 0
    _KNOWN[line] = field
    _KNOWN_OF[field[0]] = count + 1


def _field(line: str) -> tuple[tuple[str, str], int]:
    """One line -> (its name and value, its kind). Raises Fault."""
    name, colon, value = line.partition(":")
    kind = _KINDS.get(name)
    if kind is None:
        kind = _classify(name, line)
    if not colon:
        raise Fault("no_colon")
    if not value.isprintable() and _CONTROL.search(value) is not None:
        raise Fault("control_character")
    return (name, value.strip(" \t")), kind


def _classify(name: str, line: str) -> int:
    if line[:1] in (" ", "\t"):
        raise Fault("obs_fold")
    if ":" not in line:
        raise Fault("no_colon")
    if _NAME.fullmatch(name) is None:
        raise Fault("space_before_colon" if name.rstrip(" \t") != name else "bad_header_name")
    kind = _KIND_OF.get(name.lower(), _ORDINARY)
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
