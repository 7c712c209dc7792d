"""The redactor: an exchange goes in as it was seen, and comes out without secrets, before anything is written."""

from __future__ import annotations

import gzip
import re
from collections import OrderedDict
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from capture.exchange import Exchange, Request, Response
from capture.pseudonym import Pseudonyms
from capture.redact.body import redact_body, seek_body
from capture.redact.coding import codings_of, decode
from capture.redact.fields import is_coded, redact_target
from capture.redact.found import Found, TooMuchWork
from capture.redact.header_memory import HeaderMemory
from capture.redact.json_named import redact_named
from capture.redact.json_text import redact_json
from capture.redact.look import Side, look
from capture.redact.rules import Rules
from capture.settings import RedactConfig

__all__ = ["Redactor"]

_M = TypeVar("_M", Request, Response)

_WORK_MAX = 100_000
_WORK_LEFT = 20_000
"""What headers and the other body may still take where one body has spent the budget."""
_GZIP_MAGIC = b"\x1f\x8b\x08"
_WORD_MAX = 12
"""Methods and reasons that are longer are searched."""
_CLEAN_TARGETS_MAX = 2048
_CLEAN_LENGTH_MAX = 512
_CLEAN_BODIES_MAX = 512
_CLEAN_BODY_MAX = 4096
_KNOWN_MAX = 16384
_KNOWN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.~+/=-]{16,256}", re.ASCII)
_LONG_PART = re.compile(r"[\w.~+%-]{16,}", re.ASCII)


class Redactor:
    """Redacts exchanges by the rules of one configuration under one key. Pure but for its bounded memory.

    What it did is in the record: `redacted` lists the places, `notes` has "response body decoded: gzip" where a body
    was decoded because something in it had to be replaced (the headers stay as sent), and "request body dropped: WHY"
    where a body could not be made safe and is None.
    """

    __slots__ = (
        "_bytes_max",
        "_clean_bodies",
        "_clean_targets",
        "_headers",
        "_known",
        "_pseudonyms",
        "_quick",
        "_rules",
        "_spare",
        "_work_max",
    )

    def __init__(self, config: RedactConfig, pseudonyms: Pseudonyms, *, thorough: bool = False) -> None:
        """thorough: read all by its own scanner, without a first look at the whole; slow, and what comes out is the
        same. Raises UsageError for a rule that is not understood."""
        self._rules = Rules(config, thorough=thorough)
        self._quick = not (thorough or self._rules.strict)
        self._pseudonyms = pseudonyms
        self._bytes_max = config.decoded_bytes_max
        self._work_max = _WORK_MAX if config.work_max is None else config.work_max
        self._headers = HeaderMemory(self._rules, remembers=not thorough)
        self._clean_targets: set[str] = set()
        self._spare: Found | None = None
        self._clean_bodies: set[tuple[str, bytes]] = set()
        self._known: OrderedDict[str, str] = OrderedDict()

    def redact(self, exchange: Exchange) -> Exchange:
        """The same exchange without secrets; the same object where it has none or the mode is "off"."""
        if self._rules.mode == "off" or self._is_known(exchange):
            return exchange
        found = self._found()
        notes: list[str] = []
        request, response = exchange.request, exchange.response
        asked = Side(request, self._headers, self._clean_bodies)
        answered = None if response is None else Side(response, self._headers, self._clean_bodies)
        formless = self._quick and self._look(request.target, asked, answered)
        target = self._target(request.target, found, formless)
        made = self._message(request, asked, found, notes)
        if target is not request.target:
            made = msgspec.structs.replace(made, target=target)
        if len(request.method) > _WORD_MAX:
            made = msgspec.structs.replace(made, method=found.scrub(request.method, "method"))
        if response is not None and answered is not None:
            found.side = "response"
            made_response: Response | None = self._message(response, answered, found, notes)
            if made_response is not None and len(response.reason) > _WORD_MAX:
                made_response = msgspec.structs.replace(made_response, reason=found.scrub(response.reason, "reason"))
        else:
            made_response = None
        if found.sought:
            coded = asked.row.coded or (answered is not None and answered.row.coded)
            made, made_response = self._seek(made, made_response, coded, found, notes)
            self._remember(found)
        if made is request and made_response is response and not notes:
            if found.untouched:
                self._spare = found
            return exchange
        return msgspec.structs.replace(
            exchange,
            request=made,
            response=made_response,
            redacted=exchange.redacted + found.redacted(),
            notes=exchange.notes + tuple(notes),
        )

    def _is_known(self, exchange: Exchange) -> bool:
        """True where every part of it was there before and was kept: health checks, one page asked for again."""
        request, response = exchange.request, exchange.response
        return (
            request.target in self._clean_targets
            and not (self._known and _LONG_PART.search(request.target))
            and len(request.method) <= _WORD_MAX
            and self._is_known_message(request)
            and (response is None or (len(response.reason) <= _WORD_MAX and self._is_known_message(response)))
        )

    def _is_known_message(self, message: Request | Response) -> bool:
        headers = message.headers
        if message.trailers or not self._headers.all_known(headers):
            return False
        if not message.body:
            return True
        row = self._headers.row(headers)
        return not row.coded and (row.content_type(headers), message.body) in self._clean_bodies

    def _found(self) -> Found:
        """An empty collector: that of the last exchange, where it stayed empty."""
        found, self._spare = self._spare, None
        if found is None:
            found = Found(self._rules, self._pseudonyms, self._work_max)
            found.json_reader = redact_json
        else:
            found.side = "request"
            found.work = self._work_max
        return found

    def _look(self, target: str, asked: Side, answered: Side | None) -> bool:
        sought = "" if target in self._clean_targets else target
        return look(sought, asked) if answered is None else look(sought, asked, answered)

    def _target(self, target: str, found: Found, formless: bool) -> str:
        if self._known and (part := _LONG_PART.search(target)) is not None:
            target = self._known_parts(target, found, part.start())
            made = redact_target(target, found)
            return target if made == target else made
        if target in self._clean_targets:
            return target
        if not (formless and self._is_plain_target(target)):
            made = redact_target(target, found)
            if made != target:
                return made
        keep = self._rules.keep
        if self._quick and len(target) <= _CLEAN_LENGTH_MAX and not (keep["query"] or keep["path"]):
            if len(self._clean_targets) >= _CLEAN_TARGETS_MAX:
                self._clean_targets.clear()
            self._clean_targets.add(target)
        return target

    def _is_plain_target(self, target: str) -> bool:
        """True for a target without coded parts and parameters none of whose query fields is a secret's."""
        if len(target) > _CLEAN_LENGTH_MAX or is_coded(target):
            return False
        query = target.partition("?")[2]
        return not query or (not self._rules.keep["query"] and self._rules.names.harmless_query(query))

    def _known_parts(self, target: str, found: Found, start: int) -> str:
        """A secret of an earlier exchange that stands as a path segment or a query value of this target."""

        def part(match: re.Match[str]) -> str:
            known = self._known.get(unquote(match.group()))
            if known is None:
                return match.group()
            return found.known(known, "target(known)")

        return target[:start] + _LONG_PART.sub(part, target[start:])

    def _remember(self, found: Found) -> None:
        known = self._known
        for value, made in found.sought.items():
            if _KNOWN.fullmatch(value):
                known[value] = made
                known.move_to_end(value)
        while len(known) > _KNOWN_MAX:
            known.popitem(last=False)

    def _message(self, message: _M, side: Side, found: Found, notes: list[str]) -> _M:
        headers = message.headers
        if not (side.formless and side.headers_known):
            headers = self._headers.redact(headers, side.row, found, side.formless)
        trailers = message.trailers
        if trailers:
            trailers = self._headers.redact(trailers, self._headers.row(trailers), found)
        body = message.body
        if body and not side.body_known:
            made = self._formless_body(body, side.content_type, found) if side.body_formless else None
            body = self._body(message, side, found, notes) if made is None else made
        if headers is message.headers and body is message.body and trailers is message.trailers:
            return message
        return msgspec.structs.replace(message, headers=headers, body=body, trailers=trailers)

    def _formless_body(self, body: bytes, content_type: str, found: Found) -> bytes | None:
        """The body without the values of secret names; None where that cannot be told without reading all of it."""
        clean = self._rules.clean
        searched = None if clean is None else clean.searched(body, formless=True)
        if searched is None:
            return None
        try:
            made = redact_named(body, searched, found)
        except TooMuchWork:
            return None  # which `_body` finds, too, and says
        if made is body:
            self._remember_body(content_type, body)
        return made

    def _body(self, message: _M, side: Side, found: Found, notes: list[str]) -> bytes | None:
        body = message.body
        assert body is not None
        content_type = side.content_type
        codings = codings_of(message.headers) if side.row.coded else ()
        plain = body
        packed = not codings and body[:3] == _GZIP_MAGIC
        if codings or packed:
            decoded = decode(body, codings or ("gzip",), self._bytes_max)
            packed = packed and decoded.why != "gzip broken"
            if decoded.body is None and (codings or packed):
                notes.append(f"{found.side} body dropped: {decoded.why}")
                found.note("body")
                return None
            plain = body if decoded.body is None else decoded.body
        why = "cannot be made safe"
        try:
            made = redact_body(plain, content_type, found)
        except TooMuchWork:
            made, why = None, "too much to redact"
            found.work = _WORK_LEFT
        if made is None:
            notes.append(f"{found.side} body dropped: {why}")
            found.note("body")
            return None
        if made is plain or made == plain:
            if self._quick and not codings:
                self._remember_body(content_type, body)
            return body
        if packed:
            return gzip.compress(made, mtime=0)  # no header says that it is coded, so coded it must stay
        if codings:
            notes.append(f"{found.side} body decoded: {', '.join(codings)}")
        return made

    def _remember_body(self, content_type: str, body: bytes) -> None:
        """Some answers come again and again as they are."""
        if len(body) <= _CLEAN_BODY_MAX and not self._rules.json_keep:
            if len(self._clean_bodies) >= _CLEAN_BODIES_MAX:
                self._clean_bodies.clear()
            self._clean_bodies.add((content_type, body))

    def _seek(
        self, request: Request, response: Response | None, coded: bool, found: Found, notes: list[str]
    ) -> tuple[Request, Response | None]:
        """What the secrets of this exchange left elsewhere in it: echoed in a page, in a path, in a header.

        coded: one of the bodies has, or had, a content coding.
        """
        spellings = found.spellings(*self._texts(request, response, coded))
        if not spellings:
            return request, response
        found.side = "request"
        target = found.seek(request.target, "target", spellings)
        request = self._sought(request, found, notes, spellings)
        if target != request.target:
            request = msgspec.structs.replace(request, target=target)
        if response is not None:
            found.side = "response"
            response = self._sought(response, found, notes, spellings)
        return request, response

    def _texts(self, request: Request, response: Response | None, coded: bool) -> tuple[str, bytes]:
        """All that a secret may stand in again: the target and the fields, and the bodies."""
        texts = [request.target]
        bodies = []
        for message in (request, response):
            if message is not None:
                texts += [value for _, value in message.headers]
                if message.body:
                    bodies.append(self._plain_body(message) if coded else message.body)
        return "\n".join(texts), b"\n".join(bodies)

    def _plain_body(self, message: Request | Response) -> bytes:
        body = message.body or b""
        codings = codings_of(message.headers)
        # Where something was replaced in a coded body, it is kept decoded, and does not decode again.
        plain = decode(body, codings, self._bytes_max).body if codings else None
        return body if plain is None else plain

    def _sought(self, message: _M, found: Found, notes: list[str], spellings: list[tuple[str, str]]) -> _M:
        headers = message.headers
        together = "\n".join([value for _, value in headers])
        if any(was in together for was, _ in spellings):
            keep = self._rules.keep["header"]
            headers = tuple(
                [
                    (name, value if name.lower() in keep else found.seek(value, f"header:{name.lower()}", spellings))
                    for name, value in headers
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
                made = seek_body(plain, found, spellings)
                if made is not plain:
                    body = made
                    if codings and not was_decoded:
                        notes.append(f"{found.side} body decoded: {', '.join(codings)}")
        if headers == message.headers and body is message.body:
            return message
        return msgspec.structs.replace(message, headers=headers, body=body)
