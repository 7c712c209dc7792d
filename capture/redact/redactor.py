"""The redactor: an exchange goes in as it was seen, and comes out without secrets, before anything is written."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from capture.exchange import Exchange, Headers, Request, Response, header
from capture.pseudonym import Pseudonyms
from capture.redact.body import redact_body, seek_body
from capture.redact.coding import codings_of, decode
from capture.redact.detect import may_hold
from capture.redact.fields import redact_header, redact_target
from capture.redact.found import Found
from capture.redact.rules import Rules
from capture.settings import RedactConfig

__all__ = ["Redactor"]

_M = TypeVar("_M", Request, Response)

_CLEAN_MAX = 8192
_CLEAN_LENGTH_MAX = 512
_KNOWN_MAX = 16384
_KNOWN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~+/=-]{16,256}", re.ASCII)
_LONG_PART = re.compile(r"[\w.~+%-]{16,}", re.ASCII)


class Redactor:
    """Redacts exchanges by the rules of one configuration under one key. Pure but for its bounded memory.

    What it did is in the record: `redacted` lists the places, `notes` has "response body decoded: gzip" where a body
    was decoded because something in it had to be replaced (the headers stay as sent), and "request body dropped: WHY"
    where a body could not be made safe and is None.
    """

    __slots__ = ("_bytes_max", "_clean", "_known", "_pseudonyms", "_rules")

    def __init__(self, config: RedactConfig, pseudonyms: Pseudonyms) -> None:
        """Raises UsageError for a rule that is not understood."""
        self._rules = Rules(config)
        self._pseudonyms = pseudonyms
        self._bytes_max = config.decoded_bytes_max
        self._clean: set[tuple[str, str]] = set()
        self._known: OrderedDict[str, str] = OrderedDict()

    def redact(self, exchange: Exchange) -> Exchange:
        """The same exchange without secrets; the same object where it has none or the mode is "off"."""
        if self._rules.mode == "off":
            return exchange
        found = Found(self._rules, self._pseudonyms)
        notes: list[str] = []
        request = exchange.request
        target = self._target(request.target, found)
        made = self._message(request, found, notes)
        if target is not request.target:
            made = msgspec.structs.replace(made, target=target)
        response = exchange.response
        if response is not None:
            found.side = "response"
            made_response: Response | None = self._message(response, found, notes)
        else:
            made_response = None
        if found.sought:
            made, made_response = self._seek(made, made_response, found, notes)
            self._remember(found)
        if made is request and made_response is response and not notes:
            return exchange
        return msgspec.structs.replace(
            exchange,
            request=made,
            response=made_response,
            redacted=exchange.redacted + found.redacted(),
            notes=exchange.notes + tuple(notes),
        )

    def _target(self, target: str, found: Found) -> str:
        if self._known and (query := _LONG_PART.search(target)) is not None:
            target = self._known_parts(target, found, query.start())
        if (
            "?" not in target
            and ";" not in target
            and not self._rules.strict
            and not may_hold(target.encode("utf-8", "surrogatepass"))
        ):
            return target
        made = redact_target(target, found)
        return target if made == target else made

    def _known_parts(self, target: str, found: Found, start: int) -> str:
        """A secret of an earlier exchange that stands as a path segment or a query value of this target."""

        def part(match: re.Match[str]) -> str:
            known = self._known.get(unquote(match.group()))
            if known is None:
                return match.group()
            found.note("target(known)")
            return known

        return target[:start] + _LONG_PART.sub(part, target[start:])

    def _remember(self, found: Found) -> None:
        known = self._known
        for value, made in found.sought.items():
            if _KNOWN.fullmatch(value):
                known[value] = made
                known.move_to_end(value)
        while len(known) > _KNOWN_MAX:
            known.popitem(last=False)

    def _message(self, message: _M, found: Found, notes: list[str]) -> _M:
        headers = self._headers(message.headers, found)
        trailers = self._headers(message.trailers, found) if message.trailers else message.trailers
        body = self._body(message, found, notes) if message.body else message.body
        if headers is message.headers and body is message.body and trailers is message.trailers:
            return message
        return msgspec.structs.replace(message, headers=headers, body=body, trailers=trailers)

    def _headers(self, headers: Headers, found: Found) -> Headers:
        clean = self._clean
        if clean.issuperset(headers):
            return headers
        made: list[tuple[str, str]] = []
        changed = False
        for field in headers:
            if field not in clean:
                name, value = field
                new = redact_header(name, value, found)
                if new != value:
                    field = (name, new)
                    changed = True
                elif len(value) <= _CLEAN_LENGTH_MAX and name.lower() not in self._rules.keep["header"]:
                    if len(clean) >= _CLEAN_MAX:
                        clean.clear()
                    clean.add(field)
            made.append(field)
        return tuple(made) if changed else headers

    def _body(self, message: _M, found: Found, notes: list[str]) -> bytes | None:
        body = message.body
        assert body is not None
        codings = codings_of(message.headers)
        content_type = header(message.headers, "content-type") or ""
        plain = body
        if codings:
            decoded = decode(body, codings, self._bytes_max)
            if decoded.body is None:
                notes.append(f"{found.side} body dropped: {decoded.why}")
                found.note("body")
                return None
            plain = decoded.body
        made = redact_body(plain, content_type, found)
        if made is None:
            notes.append(f"{found.side} body dropped: cannot be made safe")
            found.note("body")
            return None
        if made is plain or made == plain:
            return body
        if codings:
            notes.append(f"{found.side} body decoded: {', '.join(codings)}")
        return made

    def _seek(
        self, request: Request, response: Response | None, found: Found, notes: list[str]
    ) -> tuple[Request, Response | None]:
        """What the secrets of this exchange left elsewhere in it: echoed in a page, in a path, in a header."""
        found.side = "request"
        target = found.seek(request.target, "target")
        request = self._sought(request, found, notes)
        if target != request.target:
            request = msgspec.structs.replace(request, target=target)
        if response is not None:
            found.side = "response"
            response = self._sought(response, found, notes)
        return request, response

    def _sought(self, message: _M, found: Found, notes: list[str]) -> _M:
        keep = self._rules.keep["header"]
        headers = tuple(
            [
                (name, found.seek(value, f"header:{name.lower()}"))
                if len(value) >= 6 and name.lower() not in keep
                else (name, value)
                for name, value in message.headers
            ]
        )
        body = message.body
        if body:
            codings = codings_of(message.headers)
            was_decoded = any(note.startswith(f"{found.side} body decoded") for note in notes)
            plain: bytes | None = body
            if codings and not was_decoded:
                plain = decode(body, codings, self._bytes_max).body
            if plain:
                made = seek_body(plain, found)
                if made is not plain:
                    body = made
                    if codings and not was_decoded:
                        notes.append(f"{found.side} body decoded: {', '.join(codings)}")
        if headers == message.headers and body is message.body:
            return message
        return msgspec.structs.replace(message, headers=headers, body=body)
