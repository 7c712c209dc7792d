"""The record everything stands on: one request, its response, its four times, how it came to be kept.

Records are frozen `msgspec.Struct`s written to the log as MessagePack arrays by position. The rule for changing them:
fields are only ever appended, with a default; never renamed in meaning, reordered or removed (docs/log-format.md).

Text from the wire (method, target, reason, header names and values) is `str` decoded as ISO 8859-1, which maps each
byte to the code point of the same number, so `text.encode("latin-1")` is exactly what was on the wire (the convention
of PEP 3333). Bodies are bytes after transfer coding is removed and before content coding is.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

__all__ = ["Exchange", "Headers", "Request", "Response", "Times", "header", "headers_named"]

Headers: TypeAlias = tuple[tuple[str, str], ...]
"""Name and value pairs in wire order, case and repetition kept, optional white space around values removed."""


class Request(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A request as it was seen on the wire.

    body: None where the source could not see one; b"" where there was none. body_bytes: the full length even where
    `body` was cut to the cap, and then truncated is True. trailers: fields after the last chunk.
    """

    method: str
    target: str
    version: str
    headers: Headers
    body: bytes | None = b""
    body_bytes: int = 0
    truncated: bool = False
    trailers: Headers = ()


class Response(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The final response; interim 1xx responses are not recorded, except 101, which is final."""

    status: int
    reason: str
    version: str
    headers: Headers
    body: bytes | None = b""
    body_bytes: int = 0
    truncated: bool = False
    trailers: Headers = ()


class Times(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """ns since the Unix epoch on the source's one monotonic clock; None where the source cannot know.

    request_start, response_start: first byte of the message; request_end, response_end: last byte of it. left: when
    the client left before the response had ended, or was last seen waiting for it because the capture ended; None where
    the response ended, where it was the server that broke off, and where that is not known.
    """

    request_start: int
    request_end: int | None = None
    response_start: int | None = None
    response_end: int | None = None
    left: int | None = None


class Exchange(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request and what was answered.

    id: unique and stable; "" until a log gave it one (docs/log-format.md says how). session: opaque key that joins the
    exchanges of one user's visit, a keyed hash. kept_with: the probability in (0, 1] with which this record was kept;
    its production weight is 1 / kept_with. incomplete_reason: None for a whole exchange, else why it is not.
    redacted: paths replaced by pseudonyms before anything was written. connection: number of the client connection
    within its source, -1 where unknown. server: "host:port" the request was captured from, "" where unknown; replay
    refuses to send there. notes: short facts about the record, for example "session fell back to client", or
    "response body digest: xxh3-128:HEX" of a whole body of which only the beginning is kept.
    """

    id: str
    session: str
    source: str
    kept_with: float
    request: Request
    response: Response | None
    times: Times
    incomplete_reason: str | None = None
    redacted: tuple[str, ...] = ()
    connection: int = -1
    server: str = ""
    scheme: str = "http"
    notes: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True where request and response were seen whole (a mirrored request alone is whole for its source)."""
        return self.incomplete_reason is None


def header(headers: Headers, name: str) -> str | None:
    """The first value of `name` (any case), or None."""
    wanted = name.lower()
    for key, value in headers:
        if key.lower() == wanted:
            return value
    return None


def headers_named(headers: Headers, name: str) -> list[str]:
    """All values of `name` (any case), in wire order."""
    wanted = name.lower()
    return [value for key, value in headers if key.lower() == wanted]
