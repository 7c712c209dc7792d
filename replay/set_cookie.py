"""The cookies that a response sets, and those that it takes away."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate

from capture.exchange import Headers

__all__ = ["cookies_set"]

_GONE_BEFORE_YEAR = 2000
"""No service sets a cookie until then, and many take one away by an Expires of 1970."""


def cookies_set(headers: Headers) -> Iterator[tuple[str, str]]:
    """Name and value of each Set-Cookie in order (RFC 6265); the value is "" where the cookie is taken away."""
    for name, value in headers:
        if len(name) == 10 and name.lower() == "set-cookie":
            pair, _, attributes = value.partition(";")
            cookie, equals, content = pair.partition("=")
            if equals:
                yield cookie.strip(), "" if _is_gone(attributes) else content.strip()


def _is_gone(attributes: str) -> bool:
    """By Max-Age, which comes first where both are there (section 4.1.2.2), or by Expires."""
    expires = ""
    for attribute in attributes.split(";"):
        name, _, value = attribute.partition("=")
        name, value = name.strip().lower(), value.strip()
        if name == "max-age" and value.removeprefix("-").isdigit():
            return int(value[:20]) <= 0
        if name == "expires":
            expires = value
    moment = parsedate(expires) if expires else None
    return moment is not None and moment[0] < _GONE_BEFORE_YEAR
