"""The redactor: an exchange goes in as it was seen, and comes out without secrets, before anything is written."""

from __future__ import annotations

import gzip
import re
from collections import OrderedDict
from typing import TypeVar
from urllib.parse import unquote

import msgspec

from capture.exchange import Exchange, Headers, Request, Response
from capture.pseudonym import Pseudonyms
from capture.redact.body import redact_body, seek_body
from capture.redact.coding import codings_of, decode
from capture.redact.detect import may_hold
from capture.redact.fields import HARMLESS_VALUE, is_ordinary, redact_header, redact_target
from capture.redact.found import Found, TooMuchWork
from capture.redact.json_text import redact_json
from capture.redact.names import LOCATION_HEADERS, PLAIN_HEADERS, PLAIN_SPELLINGS
from capture.redact.rules import Rules
from capture.settings import RedactConfig

__all__ = ["Redactor"]

_M = TypeVar("_M", Request, Response)

_WORK_MAX = 100_000
_WORK_LEFT = 20_000
"""What headers and the other body may still take where one body has spent the budget."""
_GZIP_MAGIC = b"\x1f\x8b\x08"
_CLEAN_MAX = 8192
_CLEAN_TARGETS_MAX = 2048
_CLEAN_BODIES_MAX = 512
_CLEAN_BODY_MAX = 4096
_CLEAN_PER_NAME_MAX = 256
_CLEAN_FIRST = 16
"""After so many values of a header that were kept, the name alone is known to be ordinary."""
_PLAIN, _SEARCHED = 0, 1
"""What becomes of the values of an ordinary header: nothing, or only a search for forms."""
_CLEAN_LENGTH_MAX = 512
_CLEAN_NAME_MAX = 64
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
        "_clean",
        "_clean_bodies",
        "_clean_counts",
        "_clean_targets",
        "_kinds",
        "_known",
        "_plain_names",
        "_pseudonyms",
        "_rules",
        "_spare",
        "_work_max",
    )

    def __init__(self, config: RedactConfig, pseudonyms: Pseudonyms) -> None:
        """Raises UsageError for a rule that is not understood."""
        self._rules = Rules(config)
        self._pseudonyms = pseudonyms
        self._bytes_max = config.decoded_bytes_max
        self._work_max = _WORK_MAX if config.work_max is None else config.work_max
        self._clean: set[tuple[str, str]] = set()
        self._kinds: dict[str, int] = {}
        self._plain_names: set[str] = set()
        self._clean_targets: set[str] = set()
        self._spare: Found | None = None
        self._clean_bodies: set[tuple[str, bytes]] = set()
        self._clean_counts: dict[str, int] = {}
        self._known: OrderedDict[str, str] = OrderedDict()

    def redact(self, exchange: Exchange) -> Exchange:
        """The same exchange without secrets; the same object where it has none or the mode is "off"."""
        if self._rules.mode == "off":
            return exchange
        found = self._found()
        notes: list[str] = []
        request = exchange.request
        target = self._target(request.target, found)
        made = self._message(request, found, notes)
        if target is not request.target:
            made = msgspec.structs.replace(made, target=target)
        if len(request.method) > 12:
            made = msgspec.structs.replace(made, method=found.scrub(request.method, "method"))
        response = exchange.response
        if response is not None:
            found.side = "response"
            made_response: Response | None = self._message(response, found, notes)
            if made_response is not None and len(response.reason) > 12:
                made_response = msgspec.structs.replace(made_response, reason=found.scrub(response.reason, "reason"))
        else:
            made_response = None
        if found.sought:
            made, made_response = self._seek(made, made_response, found, notes)
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

    def _target(self, target: str, found: Found) -> str:
        if self._known and (part := _LONG_PART.search(target)) is not None:
            target = self._known_parts(target, found, part.start())
            made = redact_target(target, found)
            return target if made == target else made
        if target in self._clean_targets:
            return target
        made = redact_target(target, found)
        if made != target:
            return made
        if len(target) <= _CLEAN_LENGTH_MAX and not (self._rules.keep["query"] or self._rules.keep["path"]):
            if len(self._clean_targets) >= _CLEAN_TARGETS_MAX:
                self._clean_targets.clear()
            self._clean_targets.add(target)
        return target

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
        kinds, places, values = self._kinds, [], []
        for place, field in enumerate(headers):
            if field not in clean:
                kind = kinds.get(field[0])
                if kind is None:
                    places.append(place)
                elif kind is _SEARCHED and HARMLESS_VALUE.fullmatch(field[1]) is None:
                    values.append(field[1])
        # Values that are only searched are searched together; where there may be something, each by itself.
        if values and may_hold("\n".join(values).encode("utf-8", "surrogatepass")):
            places = [place for place, field in enumerate(headers) if field not in clean]
        return self._fields(headers, places, found) if places else headers

    def _fields(self, headers: Headers, places: list[int], found: Found) -> Headers:
        """The headers, those at these places redacted."""
        made: list[tuple[str, str]] | None = None
        counts = self._clean_counts
        for place in places:
            field = name, value = headers[place]
            new = value if name in PLAIN_SPELLINGS else redact_header(name, value, found)
            plain = name if name in counts or name in self._plain_names else self._header_name(name, found)
            if new != value or plain != name:
                if made is None:
                    made = list(headers)
                made[place] = (plain, new)
            else:
                self._remember_clean(field, found)
        return headers if made is None else tuple(made)

    def _header_name(self, name: str, found: Found) -> str:
        """The name of a header, which may hold a secret as anything may; that most hold none is remembered."""
        made = found.scrub(name, "header name")
        if made == name and len(name) <= _CLEAN_NAME_MAX:
            if len(self._plain_names) >= _CLEAN_TARGETS_MAX:
                self._plain_names.clear()
            self._plain_names.add(name)
        return made

    def _remember_clean(self, field: tuple[str, str], found: Found) -> None:
        """Header fields come again and again; of names whose values are new each time only the first few are kept."""
        name, value = field
        lower = name.lower()
        count = self._clean_counts.get(name, 0)
        if count >= _CLEAN_PER_NAME_MAX or len(value) > _CLEAN_LENGTH_MAX or lower in self._rules.keep["header"]:
            return
        if len(self._clean) >= _CLEAN_MAX:
            self._clean.clear()
            self._clean_counts.clear()
            self._kinds.clear()
            count = 0
        self._clean.add(field)
        self._clean_counts[name] = count + 1
        if count >= _CLEAN_FIRST and lower not in LOCATION_HEADERS and is_ordinary(lower, found):
            self._kinds[name] = _PLAIN if lower in PLAIN_HEADERS else _SEARCHED

    def _body(self, message: _M, found: Found, notes: list[str]) -> bytes | None:
        body = message.body
        assert body is not None
        content_type, codings = _content(message.headers)
        alike = (content_type, body)
        if not codings and alike in self._clean_bodies:
            return body
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
            if not codings and len(body) <= _CLEAN_BODY_MAX and not self._rules.json_keep:
                if len(self._clean_bodies) >= _CLEAN_BODIES_MAX:
                    self._clean_bodies.clear()
                self._clean_bodies.add(alike)
            return body
        if packed:
            return gzip.compress(made, mtime=0)  # no header says that it is coded, so coded it must stay
        if codings:
            notes.append(f"{found.side} body decoded: {', '.join(codings)}")
        return made

    def _seek(
        self, request: Request, response: Response | None, found: Found, notes: list[str]
    ) -> tuple[Request, Response | None]:
        """What the secrets of this exchange left elsewhere in it: echoed in a page, in a path, in a header."""
        spellings = found.spellings(*self._texts(request, response))
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

    def _texts(self, request: Request, response: Response | None) -> tuple[str, bytes]:
        """All that a secret may stand in again: the target and the fields, and the bodies."""
        texts = [request.target, *[value for _, value in request.headers]]
        bodies = self._plain_body(request)
        if response is not None:
            texts += [value for _, value in response.headers]
            body = self._plain_body(response)
            bodies = b"\n".join((bodies, body)) if bodies else body
        return "\n".join(texts), bodies

    def _plain_body(self, message: Request | Response) -> bytes:
        body = message.body
        if not body:
            return b""
        codings = _content(message.headers)[1]
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
            codings = _content(message.headers)[1]
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


def _content(headers: Headers) -> tuple[str, tuple[str, ...]]:
    """Media type ("" where none is given) and content codings of a message."""
    content_type = ""
    coded = False
    for name, value in headers:
        if len(name) == 12 and name.lower() == "content-type":
            content_type = content_type or value
        elif len(name) == 16 and name.lower() == "content-encoding":
            coded = True
    return content_type, codings_of(headers) if coded else ()
