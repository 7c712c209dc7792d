"""What an observer reports: an exchange that came to an end, or bytes that cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from capture.exchange import Exchange, Request

__all__ = ["Begin", "Finished", "Observed", "Opaque"]

Begin: TypeAlias = Callable[[Request, int], object | None]
"""Called once for each request whose head was read, with an empty body and the time of its first byte in ns.

Returns a token that comes back in `Finished` (the sampling decision), or None: do not record this one.
"""


class Finished(NamedTuple):
    """One exchange that began with a token is over, whole or not (`exchange.incomplete_reason`).

    exchange: with id "" and session "" and kept_with 1.0; the caller who made the decision fills these in.
    """

    exchange: Exchange
    token: object


class Opaque(NamedTuple):
    """The bytes of a connection, or the rest of them, are not HTTP that can be read; at most once a connection.

    reason: a short snake_case word, for example "tls", "upgrade", "request_bare_lf".
    """

    reason: str


Observed: TypeAlias = Finished | Opaque
