"""A first look at a whole exchange: may a detector find anything in its target, its headers and its JSON bodies?

Most exchanges hold no form of a secret anywhere. One search of all that would be searched piece by piece says so in a
fraction of the time; where it says "perhaps", each piece is searched by itself, as if nobody had looked.
"""

from __future__ import annotations

from collections.abc import Collection

from capture.exchange import Request, Response
from capture.redact.body import is_plain_json
from capture.redact.detect import may_hold
from capture.redact.header_memory import HeaderMemory

__all__ = ["Side", "look"]

_TOGETHER_MAX = 1 << 16
"""Longer bodies are searched by themselves: to put them beside the rest would copy them for nothing."""


class Side:
    """What is known of one message before it is redacted.

    row: how its headers are read. headers_known: nothing is secret in those that are watched. content_type: "" where
    none is given. body_known: this very body was seen before, and kept. formless, body_formless: no detector finds
    anything in the headers that are only searched, in the body.
    """

    __slots__ = ("_body", "_values", "body_formless", "body_known", "content_type", "formless", "headers_known", "row")

    def __init__(
        self, message: Request | Response, headers: HeaderMemory, bodies: Collection[tuple[str, bytes]]
    ) -> None:
        """bodies: with their content types, those that are known to have nothing secret."""
        row = self.row = headers.row(message.headers)
        content_type = self.content_type = row.content_type(message.headers)
        self.headers_known = headers.known(message.headers, row)
        self._values = headers.unsearched(message.headers, row)
        self.formless = self.body_formless = self.body_known = False
        self._body: bytes | None = None
        body = message.body
        if body and not row.coded:
            if (content_type, body) in bodies:
                self.body_known = True
            elif len(body) <= _TOGETHER_MAX and is_plain_json(content_type) and b"\\" not in body:
                self._body = body


def look(target: str, *sides: Side) -> bool:
    """Search all of it together and say in each side what is known then; True where the target is formless.

    target: "" where it need not be searched. What was not searched here, because it must be read in its own way or is
    known already, stays for its own scanner.
    """
    values: list[str] = []
    data = []
    for side in sides:
        values += side._values
        if side._body is not None:
            data.append(side._body)
    text = "\n".join(values)
    # Pairs of a name and a value are looked at one by one in a header; in a target and in JSON the names are, later.
    paired = "=" in text
    text = target if paired else f"{target}\n{text}"
    data.append(text.encode("utf-8", "surrogatepass"))
    if may_hold(b"\n".join(data), pairs=False):
        return False
    for side in sides:
        side.formless = not paired
        side.body_formless = side._body is not None
    return True
