"""The answer to a challenge of HTTP Digest (RFC 7616), made again for a build's nonce and a known password. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from capture.exchange import Request

__all__ = ["Answer", "answer_in", "answered", "user_in"]

_QOPS: Final = ("", "auth", "auth-int")
_PARAMETER: Final = re.compile(r"""([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))""")
_ESCAPED: Final = re.compile(r"\\(.)")


class Answer(NamedTuple):
    """What a request answers to a challenge. user: the name or its hash, as bytes. follows: the uri that it says is the
    request's target."""

    user: bytes
    response: str
    follows: bool


def answer_in(request: Request) -> Answer | None:
    """The Digest among the credentials of a request, None where there is none that could be made again."""
    value = next((value for name, value in request.headers if _is_digest(name, value)), None)
    if value is None:
        return None
    said = _parameters(value)
    user = _user(said)
    if user is None or not {"realm", "nonce", "uri", "response"} <= said.keys():
        return None
    if _hash_of(said) is None or _text(said, "qop").lower() not in _QOPS:
        return None
    return Answer(user, said["response"].text, said["uri"].text == request.target)


def user_in(request: Request, names: Iterable[str]) -> bytes | None:
    """The name of the user that a Digest says; of a hashed one (userhash) that of `names` whose hash it is, or None."""
    value = next((value for name, value in request.headers if _is_digest(name, value)), "")
    said = _parameters(value)
    user, hashed = _user(said), _hash_of(said)
    if user is None or hashed is None or _text(said, "userhash").lower() != "true":
        return user
    realm = _bytes(said, "realm")
    return next(
        (name.encode() for name in names if hashed(name.encode() + b":" + realm).encode() == user.lower()), None
    )


def answered(request: Request, user: bytes, password: str, follows: bool) -> Request:
    """The request with the answer that the password gives, everything else as it is.

    The request must have an `answer_in`, and be as it goes out: method, target and body (with its content coding, for
    qop=auth-int) are part of the answer. follows: the uri becomes the target that is sent. The key of a session
    (algorithms with -sess) is made with the client's nonce of the request itself, as curl, requests and aiohttp do it.
    """
    headers = list(request.headers)
    index = next(n for n, pair in enumerate(headers) if _is_digest(*pair))
    name, value = headers[index]
    if follows:
        uri = _parameters(value)["uri"]
        value = value[: uri.start] + request.target + value[uri.end :]
    said = _parameters(value)
    old = said["response"]
    headers[index] = name, value[: old.start] + _response(said, request, user, password) + value[old.end :]
    return msgspec.structs.replace(request, headers=tuple(headers))


def _is_digest(name: str, value: str) -> bool:
    return name.lower() == "authorization" and value[:7].lower() == "digest "


class _Parameter(NamedTuple):
    """What a parameter says, and where that stands in the header."""

    text: str
    start: int
    end: int


def _parameters(value: str) -> dict[str, _Parameter]:
    found: dict[str, _Parameter] = {}
    for match in _PARAMETER.finditer(value, 7):
        group = 2 if match[2] is not None else 3
        text = _ESCAPED.sub(r"\1", match[group]) if group == 2 else match[group]
        found.setdefault(match[1].lower(), _Parameter(text, match.start(group), match.end(group)))
    return found


def _text(said: dict[str, _Parameter], name: str) -> str:
    return said[name].text if name in said else ""


def _bytes(said: dict[str, _Parameter], name: str) -> bytes:
    return _text(said, name).encode("latin-1", "replace")


def _user(said: dict[str, _Parameter]) -> bytes | None:
    """The user's name as its bytes: of `username`, or of `username*` (RFC 5987, as RFC 7616 has it)."""
    if "username*" in said:
        charset, _, rest = said["username*"].text.partition("'")
        return unquote_to_bytes(rest.partition("'")[2]) if charset.lower() == "utf-8" else None
    return said["username"].text.encode("latin-1", "replace") if "username" in said else None


def _hash_of(said: dict[str, _Parameter]) -> Callable[[bytes], str] | None:
    """The hash that the algorithm names, as hexadecimal; None for one that is not known."""
    name = (_text(said, "algorithm") or "MD5").upper().removesuffix("-SESS")
    if name == "MD5":
        return lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest()
    if name == "SHA-256":
        return lambda data: hashlib.sha256(data).hexdigest()
    if name == "SHA-512-256" and "sha512_256" in hashlib.algorithms_available:
        return lambda data: hashlib.new("sha512_256", data).hexdigest()
    return None


def _response(said: dict[str, _Parameter], request: Request, user: bytes, password: str) -> str:
    """RFC 7616 section 3.4.1, and without qop RFC 2069."""
    hashed = _hash_of(said)
    assert hashed is not None
    nonce, cnonce, qop = _bytes(said, "nonce"), _bytes(said, "cnonce"), _bytes(said, "qop")
    key = hashed(b":".join((user, _bytes(said, "realm"), password.encode())))
    if _text(said, "algorithm").upper().endswith("-SESS"):
        key = hashed(b":".join((key.encode(), nonce, cnonce)))
    asked = [request.method.encode("latin-1"), _bytes(said, "uri")]
    if qop.lower() == b"auth-int":
        asked.append(hashed(request.body or b"").encode())
    middle = (_bytes(said, "nc"), cnonce, qop) if qop else ()
    return hashed(b":".join((key.encode(), nonce, *middle, hashed(b":".join(asked)).encode())))
