"""One recorded exchange and what is to be done with it: what a plan is made of."""

from __future__ import annotations

import msgspec

from capture.exchange import Exchange
from replay.row import Row

__all__ = ["Planned"]


class Planned(msgspec.Struct, frozen=True, gc=False):
    """One recorded exchange and what is to be done with it.

    position: place in the plan, from 0. offset_ns: ns since the first exchange of the log, >= 0. waits_for:
    positions of the same session that had been answered when this one began, without those that another of them
    already waited for. skipped: None, or a key of SKIP_REASONS. row, values: what `row_of` says of its headers, None
    where nobody has asked yet.
    """

    position: int
    exchange: Exchange
    offset_ns: int
    waits_for: tuple[int, ...] = ()
    skipped: str | None = None
    row: Row | None = None
    values: tuple[str, ...] = ()
