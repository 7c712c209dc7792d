"""One recorded exchange and what is to be done with it: what a plan is made of."""

from __future__ import annotations

import msgspec

from capture.exchange import Exchange
from replay.row import Row
from replay.stay import Stay

__all__ = ["Planned"]


class Planned(msgspec.Struct, frozen=True, gc=False):
    """One recorded exchange and what is to be done with it.

    position: place in the plan, from 0. offset_ns: ns since the first exchange of the log, >= 0. waits_for:
    positions of the same session that had been answered when this one began, without those that another of them
    already waited for. skipped: None, or a key of SKIP_REASONS. row, values: what `row_of` says of its headers, None
    where nobody has asked yet. stay: how long to listen to the answer, None: to its end. Who waits for a stream that
    production's client had not left yet waits for its beginning only.
    """

    position: int
    exchange: Exchange
    offset_ns: int
    waits_for: tuple[int, ...] = ()
    skipped: str | None = None
    row: Row | None = None
    values: tuple[str, ...] = ()
    stay: Stay | None = None
