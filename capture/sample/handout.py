"""Session keys that a response hands out: cookies it sets, tokens in its headers and JSON fields."""

from __future__ import annotations

import re

from capture.exchange import Response
from capture.sample.key import KeySpec, SessionKey, without_scheme

__all__ = ["can_hand_out", "handed_out"]

_SCANNED_MAX = 64 << 10
_TOKEN_FIELDS = ("access_token", "accessToken", "token", "id_token", "jwt", "session", "session_id", "sessionId")
_FIELD = '"{name}"\\s*:\\s*"([^"\\\\]{{4,4096}})"'


def can_hand_out(spec: KeySpec) -> bool:
    """True for the specs whose key a response can hand out."""
    return spec.kind in ("cookie", "header", "query")


def handed_out(spec: KeySpec, response: Response) -> SessionKey | None:
    """The key for `spec` that this response gives to its client, or None.

    cookie: Set-Cookie of that name, unless it deletes the cookie. header, query: a response header of that name, or a
    JSON string field of that name; for `authorization` the usual token fields. Looks at the first 64 KiB of a body.
    """
    if spec.kind == "cookie":
        return _set_cookie(spec, response)
    for name, value in response.headers:
        if name.lower() == spec.name.lower() and value:
            return SessionKey(spec.label, without_scheme(value) if spec.name == "authorization" else value)
    body = response.body
    if not body or body[:1] not in b"{[ \n\r\t":
        return None
    names = _TOKEN_FIELDS if spec.name == "authorization" else (spec.name, spec.name.replace("-", "_"))
    for name in names:
        if name.encode() in body:
            match = re.search(_FIELD.format(name=re.escape(name)).encode(), body[:_SCANNED_MAX])
            if match:
                return SessionKey(spec.label, without_scheme(match.group(1).decode("utf-8", "replace")))
    return None


def _set_cookie(spec: KeySpec, response: Response) -> SessionKey | None:
    for field, value in response.headers:
        if field.lower() == "set-cookie":
            pair, _, attributes = value.partition(";")
            name, equals, text = pair.partition("=")
            text = text.strip().strip('"')
            if equals and name.strip() == spec.name and text and "max-age=0" not in attributes.lower():
                return SessionKey(spec.label, text)
    return None
