"""What a build says of its own address, read as if the current build had said it: the same words of two houses.

A service repeats the address that it is reached at: in absolute links, in Location, in the name of a cookie. Builds
are reached at different addresses, so these words differ without any change of behaviour. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import msgspec

from capture.exchange import Exchange, Headers, Response
from diff.compare import Comparison, compare_outcomes
from diff.content import decode_content, parse_codings
from diff.options import DEFAULT_OPTIONS, CompareOptions
from replay.coding import encode_body
from replay.outcome import Outcome

__all__ = ["Address", "address_of_recorded", "address_of_url", "at_home", "compare_at_home"]

_COLONS: Final = r"%3A|%253A|&#58;|&\#x3A;|&colon;|\\u003A"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]", "0.0.0.0")
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


class Address(msgspec.Struct, frozen=True, gc=False):
    """Where a build is reached, as Host tells it (RFC 9110 section 7.2).

    host: lower case, an IPv6 address in brackets; port: "" where Host has none.
    """

    host: str
    port: str = ""


def address_of_url(url: str, host: str | None = None) -> Address | None:
    """The address in the Host that a build at url is sent. host: what is sent instead. None where there is no host."""
    parts = urlsplit(url)
    if host is not None:
        return _parsed(host)
    if not parts.hostname:
        return None
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = str(parts.port or "")
    return Address(name.lower(), "" if port == _DEFAULT_PORTS.get(parts.scheme) else port)


def address_of_recorded(exchange: Exchange) -> Address | None:
    """The address that the captured request was sent to, None where it does not say."""
    headers = exchange.request.headers
    return next((_parsed(value) for name, value in headers if name.lower() in ("host", ":authority")), None)


def _parsed(authority: str) -> Address | None:
    host, colon, port = authority.strip().lower().rpartition(":")
    if not colon or not port.isdigit():
        host, port = authority.strip().lower(), ""
    return Address(host, port) if host else None


def compare_at_home(
    current: Outcome,
    other: Outcome,
    own: Address | None,
    home: Address | None,
    options: CompareOptions = DEFAULT_OPTIONS,
) -> Comparison:
    """Compare two outcomes; where they differ, what other says of its own address is taken for home, the current's."""
    comparison = compare_outcomes(current, other, options)
    if not comparison.differences:
        return comparison
    moved = at_home(other, own, home, options.body_bytes_max)
    return comparison if moved is other else compare_outcomes(current, moved, options)


def at_home(outcome: Outcome, own: Address | None, home: Address | None, body_bytes_max: int) -> Outcome:
    """The outcome with what it says of its own address said of home instead, spelt in the same way.

    Looked at are the values of header fields and trailers, and the body without its content coding, up to
    body_bytes_max; one that cannot be decoded stays. The very same outcome where nothing changes.
    """
    response = outcome.response
    if response is None or own is None or home is None or own == home:
        return outcome
    said = _replacer(own, home)
    headers, trailers = _headers(response.headers, said), _headers(response.trailers, said)
    body = _body(response, said, body_bytes_max)
    if headers is response.headers and trailers is response.trailers and body is response.body:
        return outcome
    length = response.body_bytes if body is response.body or body is None else len(body)
    moved = msgspec.structs.replace(response, headers=headers, trailers=trailers, body=body, body_bytes=length)
    return msgspec.structs.replace(outcome, response=moved)


def _headers(headers: Headers, said: Callable[[str], str]) -> Headers:
    again = tuple((name, said(value)) for name, value in headers)
    return headers if again == headers else again


def _body(response: Response, said: Callable[[str], str], bytes_max: int) -> bytes | None:
    body = response.body
    if not body or response.truncated or len(body) > bytes_max:
        return body
    value = ",".join(value for name, value in response.headers if name.lower() == "content-encoding")
    content = body
    if parse_codings(value):
        decoded = decode_content(body, parse_codings(value), bytes_max)
        if decoded.problem is not None:
            return body
        content = decoded.body
    # One code point a byte, so that what is not text comes back as it was.
    text = content.decode("latin-1")
    again = said(text)
    if again == text:
        return body
    return encode_body(again.encode("latin-1", "replace"), value) or body


@lru_cache(maxsize=4096)
def _replacer(own: Address, home: Address) -> Callable[[str], str]:
    """A function that replaces own by home wherever it stands by itself, in any spelling that services make of it.

    `shop.test:8080` is also spelt with %3A or an entity for the colon, and as `shop-test-8080` in names; the names of
    the loopback interface stand for each other. Without a port a name of one word ("candidate") is an address only
    after "//", and where it is all there is.
    """
    pattern = re.compile(_pattern(own), re.IGNORECASE)
    needle = own.port or own.host.rpartition(".")[2]
    signs = _spellings(own)
    stays = own.host in _LOOPBACK and home.host in _LOOPBACK

    def again(match: re.Match[str]) -> str:
        host, colon = match["host"], match["colon"] if own.port else ":"
        dot = signs[host.lower()]
        if dot != "." and colon == ":":
            return match[0]  # "127-0-0-1:80" is nobody's spelling
        if not stays:
            host = home.host.replace(".", dot)
        return f"{host}{colon}{home.port}" if home.port else host

    def said(text: str) -> str:
        # Most texts say nothing of it: one search for a few characters tells.
        if needle not in text and needle not in text.lower():
            return text
        return pattern.sub(again, text)

    return said


def _pattern(own: Address) -> str:
    """The spellings of own, with the groups host and, where there is a port, colon."""
    host = f"(?P<host>{'|'.join(re.escape(spelling) for spelling in _spellings(own))})"
    if own.port:
        return rf"(?:(?<![A-Za-z0-9.])|(?<=%2F)){host}(?P<colon>:|[\-_]|{_COLONS}){own.port}(?![0-9A-Za-z])"
    if "." in own.host:
        return rf"(?:(?<![A-Za-z0-9.\-])|(?<=%2F)){host}(?![A-Za-z0-9\-]|\.[A-Za-z0-9])"
    return rf"(?:(?<=//)|(?<=%2F%2F)|\A){host}(?=\Z|[/?#\"'\s<>\\])"


def _spellings(own: Address) -> dict[str, str]:
    """The spellings of its host, each with the sign that stands for a dot."""
    names = _LOOPBACK if own.port and own.host in _LOOPBACK else (own.host,)
    return {name.replace(".", sign): sign for sign in "_-." for name in names}
