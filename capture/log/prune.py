"""Which segments go when a log is thinned: oldest first, never one that is being written."""

from __future__ import annotations

from collections.abc import Sequence

from capture.log.reader import SegmentInfo

__all__ = ["choose"]


def choose(segments: Sequence[SegmentInfo], bytes_max: int | None, before_ns: int | None) -> list[SegmentInfo]:
    """The segments to remove so that at most `bytes_max` bytes stay, and none that ended before `before_ns`.

    None is no such bound. Age is that of the last exchange, or where there is none the time the segment was made.
    """
    left = sum(info.size for info in segments)
    going = []
    for info in sorted(segments, key=_age):
        too_old = before_ns is not None and _age(info) < before_ns
        too_much = bytes_max is not None and left > bytes_max
        if (too_old or too_much) and not info.live:
            going.append(info)
            left -= info.size
    return going


def _age(info: SegmentInfo) -> int:
    return info.last_ns if info.records else info.created_ns
