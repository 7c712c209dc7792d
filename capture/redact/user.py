"""Whether what credentials call a user is a name, as paths and bodies have it too, or a secret itself."""

from __future__ import annotations

import re

__all__ = ["is_user_name"]

_NO_PASSWORD = frozenset(
    [
        "x-oauth-basic",
        "x-oauth-token",
        "oauth2",
        "api_token",
        "api-token",
        "apitoken",
        "api_key",
        "apikey",
        "token",
        "unused",
        "none",
        "null",
        "any",
    ]
)
"""What clients write as a password where the secret is the user: a key, a token."""
_LENGTH_MAX = 64
_PIECES_MAX = 6
_SEPARATOR = re.compile(r"[._+@\\/ -]")
_PIECE = re.compile(r"[^\W\d_]{1,20}[0-9]{0,6}|[0-9]{1,3}[^\W\d_]{1,20}|[0-9]{1,9}")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)
_HUMP = re.compile(r"[a-z][A-Z]")
_HUMPS_MAX = 1


def is_user_name(user: str, password: str | None) -> bool:
    """True for `alice`, `j.smith2`, `DOMAIN\\\\anna`; False where it may be a key, or tells the password.

    In doubt it is no name: letters and digits that alternate, letters that no word has in a row, more than 64
    characters, and whatever stands beside an empty password or one that only fills its place. password: None where
    it is not sent (Digest).
    """
    plain = None if password is None else password.lower()
    if plain is not None and (len(plain) < 2 or plain in _NO_PASSWORD or plain in user.lower()):
        return False
    if len(user) > _LENGTH_MAX:
        return False
    pieces = _SEPARATOR.split(user)
    return len(pieces) <= _PIECES_MAX and any(pieces) and all(map(_is_word, filter(None, pieces)))


def _is_word(piece: str) -> bool:
    return (
        _PIECE.fullmatch(piece) is not None
        and _CONSONANTS.search(piece) is None
        and len(_HUMP.findall(piece)) <= _HUMPS_MAX
    )
