"""The parts of a multipart body, and the HTTP messages that the parts of a batch are; read, and written again.

RFC 2046 section 5.1 and RFC 7578; a batch is multipart/mixed of application/http (OData 4.01 part 1 section 11.7.7,
and that of Google's services), where the parts of the answer stand in the order of those of the request.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from capture.exchange import Headers, Request, Response, header
from replay.coding import decode_body
from replay.place import Place, part_of

__all__ = [
    "DEPTH_MAX",
    "Part",
    "addressed",
    "put_part",
    "read_request",
    "read_response",
    "split_parts",
    "write_request",
]

DEPTH_MAX: Final = 3
"""How deep multipart bodies are looked into: a batch, a change set in it, and one level more."""

_PARTS_MAX: Final = 1000
_FIELD_MAX: Final = 8192
_BODY_MAX: Final = 4 << 20
_BOUNDARY: Final = re.compile(r'(?i)boundary="?([^";]+)"?')
_PART_NAME: Final = re.compile(r'(?i)(?:^|;)\s*name="([^"]*)"')
_LENGTH: Final = re.compile(rb"(?im)^(content-length:[ \t]*)\d+")
_VERSION: Final = re.compile(r"HTTP/\d(?:\.\d)?\Z")


class Part(NamedTuple):
    """One part. name: of a short field of a form that is no file, else None. head: where its header fields begin;
    start, end: of its content."""

    name: str | None
    headers: Headers
    head: int
    start: int
    end: int

    @property
    def is_message(self) -> bool:
        """True where the content is said to be an HTTP message."""
        return _kind(self.headers).startswith("application/http")


def split_parts(content_type: str, body: bytes) -> list[Part]:
    """The parts that are there whole, at most 1,000. content_type: as sent, since boundaries differ by case."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        return []
    name = re.escape(match[1].strip().encode("latin-1", "replace"))
    found: list[Part] = []
    since = -1
    for delimiter in re.finditer(rb"(?:\A|\r\n)--" + name + rb"(?:(--)|[ \t]*(?=\r\n))", body):
        end = delimiter.start()
        # Without header fields the empty line follows the boundary at once; without content it may be the delimiter's.
        gap = body.find(b"\r\n\r\n", since, end + 2) if since >= 0 else -1
        if gap >= 0:
            headers = _fields(body[since + 2 : gap])
            start = min(gap + 4, end)
            found.append(Part(_field_name(headers, end - start), headers, since + 2, start, end))
        since = delimiter.end()
        if len(found) >= _PARTS_MAX or delimiter[1] is not None:
            break
    return found


def _field_name(headers: Headers, length: int) -> str | None:
    disposition = header(headers, "content-disposition") or ""
    match = _PART_NAME.search(disposition)
    if match is None or "filename=" in disposition.lower() or length >= _FIELD_MAX:
        return None
    return match[1].encode("latin-1", "replace").decode("utf-8", "replace")


def _fields(head: bytes) -> Headers:
    lines = (line.partition(":") for line in head.decode("latin-1").split("\r\n"))
    return tuple((name, value.strip()) for name, colon, value in lines if colon)


def _kind(headers: Headers) -> str:
    return (header(headers, "content-type") or "").lower()


def read_request(content: bytes) -> Request | None:
    """The request that a part of a batch is; None where it is none. A target without a slash gets one before it."""
    first, headers, start, end = _message(content)
    words = first.split(" ")
    if len(words) not in (2, 3) or (len(words) == 3 and not _VERSION.match(words[2])):
        return None
    target = words[1] if words[1][:1] == "/" or "://" in words[1] else f"/{words[1]}"
    body = content[start:end]
    return Request(words[0], target, "HTTP/1.1", headers, body or None, len(body))


def read_response(content: bytes) -> Response | None:
    """The response that a part of the answer to a batch is; None where it is none."""
    first, headers, start, end = _message(content)
    version, _, rest = first.partition(" ")
    status = rest[:3]
    if not _VERSION.match(version) or not status.isdigit() or len(status) < 3:
        return None
    body = content[start:end]
    return Response(int(status), rest[4:], "HTTP/1.1", headers, body or None, len(body))


def write_request(content: bytes, old: Request, new: Request) -> bytes:
    """The part with what changed from one request to the other; every other byte, also between header fields, stays.

    old: what `read_request` made of the content; new: the same with other values, and as many header fields.
    """
    _, _, start, end = _message(content)
    body = new.body or b""
    head = content[:start].decode("latin-1")
    lines = head.split("\r\n")
    if new.target != old.target:
        method, _, rest = lines[0].partition(" ")
        recorded, space, version = rest.partition(" ")
        target = new.target if recorded[:1] == "/" or "://" in recorded else new.target[1:]
        lines[0] = f"{method} {target}{space}{version}"
    at = 0
    for (name, before), (_, after) in zip(old.headers, new.headers, strict=True):
        at = next(n for n in range(at + 1, len(lines)) if lines[n].partition(":")[0] == name and ":" in lines[n])
        if after != before:
            kept, _, white = lines[at].rpartition(before)
            lines[at] = f"{kept}{after}{white}"
    return "\r\n".join(lines).encode("latin-1", "replace") + body + content[end:]


def put_part(body: bytes, part: Part, content: bytes) -> bytes:
    """The body with another content of one part; a Content-Length among the part's own fields fits it again."""
    head = body[part.head : part.start]
    if header(part.headers, "content-length") == str(part.end - part.start):
        head = _LENGTH.sub(lambda match: match[1] + str(len(content)).encode(), head)
    return body[: part.head] + head + content + body[part.end :]


def _message(content: bytes) -> tuple[str, Headers, int, int]:
    """First line, header fields, and where the body begins and ends; the end by Content-Length where that fits."""
    gap = content.find(b"\r\n\r\n")
    start = gap + 4 if gap >= 0 else len(content)
    first, _, head = content[: gap if gap >= 0 else len(content)].partition(b"\r\n")
    headers = _fields(head)
    length = header(headers, "content-length") or ""
    end = start + int(length) if length.isdigit() and len(length) < 10 else len(content)
    return first.decode("latin-1"), headers, start, end if end <= len(content) else len(content)


def addressed(request: Request, place: Place) -> tuple[str, str]:
    """Method and target of what a place belongs to: of the request in that part of a batch, else of the request itself.

    Of a place in an answer, too, as the parts of both stand in the same order.
    """
    numbers: list[int] = []
    while (within := part_of(place)) is not None:
        number, place = within
        numbers.append(number)
    if not numbers or request.body is None:
        return request.method, request.target
    found = _addressed(
        request.body,
        header(request.headers, "content-type") or "",
        header(request.headers, "content-encoding"),
        tuple(numbers),
    )
    return (request.method, request.target) if found is None else found


@lru_cache(maxsize=256)
def _addressed(body: bytes, content_type: str, codings: str | None, numbers: tuple[int, ...]) -> tuple[str, str] | None:
    plain = decode_body(body, codings, _BODY_MAX)
    if plain is None:
        return None
    body = plain
    for number in numbers:
        parts = split_parts(content_type, body)
        if number >= len(parts):
            return None
        part = parts[number]
        body, content_type = body[part.start : part.end], header(part.headers, "content-type") or ""
        if part.is_message:
            request = read_request(body)
            return None if request is None else (request.method, request.target)
    return None
