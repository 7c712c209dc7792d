"""Passwords that a build is given in place of those that redaction took away, by the name of the user beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from capture.exchange import Exchange, Request
from replay.carry import carried_values, replace_values
from replay.digest import answer_in, answered, user_in
from replay.inside import parts_inside
from replay.outcome import Binding
from replay.place import Place, Step
from replay.rewrite import body_was_decoded

__all__ = ["ANYBODY", "Login", "logins_in", "with_passwords"]

ANYBODY = "*"
"""The name under which a table of passwords has that of all users whom it does not name."""

_PASSWORD = re.compile(r"(?i)(?:^|[_-])(?:passw(?:or)?d|passwort|pass|passphrase|pwd)[12]?$|Password[12]?$")
_USER = re.compile(r"(?i)^(?:user|username|user[_-]?id|login|login[_-]?name|name|e?mail|account|identifier)$")
_ENDS_WITH_USER = re.compile(
    r"(?i:(?:^|[^a-z])(?:user|username|user[_-]?id|user[_-]?name|login|login[_-]?name|e?mail))$"
    r"|[a-z](?:User|Username|UserName|UserId|Login|LoginName|Email)$"
)
"""As frameworks call it: `j_username`, `auth-username`, `loginEmail`."""
_WITHIN = re.compile(r"[\w-]*\Z")
_SECRET = re.compile(r"(?i)^client[_-]?secret$")
_CLIENT = re.compile(r"(?i)^client[_-]?id$")
_BODIES = ("form", "json", "part")
_SIDE = "request."
_DIGEST: tuple[Step, ...] = ("digest",)
_FOLLOWS: tuple[Step, ...] = ("digest", "uri")
"""Inside the credentials: an answer to a challenge of Digest, and one that names the target of its request."""


class Login(NamedTuple):
    """One password in a request, and whose it is; "" where the request does not say."""

    place: Place
    user: str
    password: str


def logins_in(exchange: Exchange) -> tuple[Login, ...]:
    """The passwords that redaction took away from a request: of Basic, and in forms, multipart and JSON by name.

    A user stands beside the password, in the same object; `client_id` is the user of a `client_secret`. Of a request
    in which nothing was redacted there are none: it says itself what it needs, but for the answer to a challenge of
    Digest, which holds for one nonce.
    """
    found: list[Login] = []
    if (answer := answer_in(exchange.request)) is not None:
        inner = _FOLLOWS if answer.follows else _DIGEST
        found.append(Login(Place("header", ("authorization", 0), inner), _name_of(answer.user), answer.response))
    if not any(place.startswith(_SIDE) for place in exchange.redacted):
        return tuple(found)
    values = carried_values(exchange.request, not body_was_decoded(exchange, "request"))
    for place, value in values:
        if place.kind == "header" and place.path[0] == "authorization":
            if value[:6].lower() == "basic ":
                parts = {inner: text for inner, text, _ in parts_inside(value)}
                if ("basic", 1) in parts:
                    found.append(Login(place._replace(inner=("basic", 1)), parts["basic", 0], parts["basic", 1]))
        elif place.kind in _BODIES and _was_redacted(exchange, place):
            name = _name(place)
            beside = _USER if _PASSWORD.search(name) else _CLIENT if _SECRET.match(name) else None
            if beside is not None:
                around = _around(place)
                named = [(_name(p), v) for p, v in values if p != place and _around(p) == around]
                user = next((v for name, v in named if beside.match(name)), None)
                if user is None and beside is _USER:
                    user = next((v for name, v in named if _ENDS_WITH_USER.search(name)), None)
                found.append(Login(place, user or "", value))
    return tuple(found)


def _name_of(user: bytes) -> str:
    """As it stands in a table of passwords: UTF-8, or what older clients send."""
    try:
        return user.decode("utf-8")
    except UnicodeDecodeError:
        return user.decode("latin-1")


def _name(place: Place) -> str:
    """What a field is called: of `user[login]` and `form:login` only `login`, without underscores around it."""
    if not place.path:
        return ""
    name = str(place.path[-1] if place.kind == "json" else place.path[0])
    within = _WITHIN.search(name.rstrip("]"))
    return (within[0] if within else name).strip("_-")


def _around(place: Place) -> tuple[object, ...]:
    """What two fields of one object, or of one form, have in common."""
    return (place.kind, *place.path[:-1]) if place.kind == "json" else (place.kind,)


def _was_redacted(exchange: Exchange, place: Place) -> bool:
    shown = f"json:{place.text()}" if place.kind == "json" else place._replace(kind="form").text()
    return f"{_SIDE}{shown}" in exchange.redacted


def with_passwords(
    request: Request, logins: tuple[Login, ...], passwords: Mapping[str, str]
) -> tuple[Request, tuple[Binding, ...]]:
    """The request with the passwords of a build, and what says so; one that the build has none for stays as it is."""
    changes: dict[Place, tuple[str, str]] = {}
    bindings = []
    for login in logins:
        name = login.user if login.user in passwords else ANYBODY
        if name in passwords and login.place.inner[:1] != _DIGEST:
            changes[login.place] = (login.password, passwords[name])
            bindings.append(Binding(login.place.text(), f"injected:{name}"))
    request = replace_values(request, changes) if changes else request
    for login in logins:
        # Last of all, since the answer may be one to the whole body.
        if login.place.inner[:1] == _DIGEST and (user := user_in(request, passwords)) is not None:
            name = _name_of(user) if _name_of(user) in passwords else ANYBODY
            if name in passwords:
                request = answered(request, user, passwords[name], login.place.inner == _FOLLOWS)
                bindings.append(Binding(login.place.text(), f"injected:{name}"))
    return request, tuple(bindings)
