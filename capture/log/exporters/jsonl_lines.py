"""Our own JSONL, the same lines as `understudy log cat`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from capture.exchange import Exchange
from capture.log.jsonl import line_of

__all__ = ["write"]


def write(exchanges: Iterable[Exchange]) -> Iterator[bytes]:
    """One line an exchange."""
    return map(line_of, exchanges)
