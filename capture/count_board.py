"""The counts of one capturing process in memory that its parent holds, so that they outlive it to the last exchange.

A process that is killed cannot say what it had counted. It writes its counts here as they change, which takes a quarter
of a microsecond, and whoever holds the memory reads them when it is gone. What was seen is written before what became
of it, so a death in between leaves an exchange that is under way, and never a fate without an exchange.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from collections import Counter
from collections.abc import Mapping

from capture.conservation import Conservation

__all__ = ["BOARD_BYTES", "CountBoard", "board_file"]

_NUMBERS = struct.Struct("=5q")
_FOUR, _ONE = struct.Struct("=4q"), struct.Struct("=q")
_REASON = struct.Struct("=c47sq")
_REASONS_MAX = 72
_SHED, _INCOMPLETE, _LOST = b"s", b"i", b"l"
_OTHER = "other"
BOARD_BYTES = _NUMBERS.size + _REASONS_MAX * _REASON.size


def board_file() -> int:
    """A descriptor of such memory, without a name, that a child process can inherit."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("understudy-counts")
    else:
        fd, path = tempfile.mkstemp(prefix="understudy-counts-")
        os.unlink(path)
    os.ftruncate(fd, BOARD_BYTES)
    return fd


class CountBoard:
    """Writes or reads one such memory. One thread writes the counts, another one may write what the log does.

    Reasons of which there are more than fit are counted together, as "other".
    """

    __slots__ = ("_memory", "_places", "_sums")

    def __init__(self, fd: int) -> None:
        """fd: of `board_file`; may be closed afterwards."""
        self._memory = mmap.mmap(fd, BOARD_BYTES)
        self._places: dict[tuple[bytes, str], int] = {}
        self._sums: dict[int, dict[str, int]] = {}

    def close(self) -> None:
        self._memory.close()

    # What the process writes.

    def count(self, counts: Conservation) -> None:
        """Write the plain numbers."""
        _FOUR.pack_into(self._memory, 0, counts.seen, counts.kept, counts.sampled_out, counts.opaque)

    def shed(self, reason: str, total: int) -> None:
        """Write how many exchanges were shed by this reason."""
        self._reason(_SHED, reason, total)

    def incomplete(self, reason: str, total: int) -> None:
        """Write how many exchanges were incomplete by this reason."""
        self._reason(_INCOMPLETE, reason, total)

    def log(self, written: int, lost: Mapping[str, int]) -> None:
        """Write how many exchanges are in a file, and how many of those that were accepted the log has lost."""
        _ONE.pack_into(self._memory, _FOUR.size, written)
        for reason, total in lost.items():
            self._reason(_LOST, reason, total)

    def _reason(self, kind: bytes, reason: str, total: int) -> None:
        place = self._places.get((kind, reason))
        if place is None:
            place = self._places[kind, reason] = self._place(kind, reason)
        # Several reasons may share the last place of their kind.
        sums = self._sums.setdefault(place, {})
        sums[reason] = total
        name = reason if len(sums) == 1 else _OTHER
        _REASON.pack_into(
            self._memory, _NUMBERS.size + place * _REASON.size, kind, name.encode()[:47], sum(sums.values())
        )

    def _place(self, kind: bytes, reason: str) -> int:
        """Each kind has a third of the places."""
        first = (_SHED, _INCOMPLETE, _LOST).index(kind) * (_REASONS_MAX // 3)
        taken = sum(known == kind for known, _ in self._places)
        return first + min(taken, _REASONS_MAX // 3 - 1)

    # What its parent reads.

    def counts(self) -> Conservation:
        """The counts as they stand; what was seen and has no fate yet is under way."""
        counts = Conservation()
        numbers = _NUMBERS.unpack_from(self._memory, 0)
        counts.seen, counts.kept, counts.sampled_out, counts.opaque = numbers[:4]
        counts.shed.update(self._totals(_SHED))
        counts.incomplete.update(self._totals(_INCOMPLETE))
        return counts

    def written(self) -> int:
        """How many exchanges are in a file."""
        return int(_NUMBERS.unpack_from(self._memory, 0)[4])

    def lost(self) -> Counter[str]:
        """What the log had lost of what it had accepted, by reason."""
        return self._totals(_LOST)

    def _totals(self, wanted: bytes) -> Counter[str]:
        totals: Counter[str] = Counter()
        for place in range(_REASONS_MAX):
            kind, name, total = _REASON.unpack_from(self._memory, _NUMBERS.size + place * _REASON.size)
            if kind == wanted:
                totals[name.rstrip(b"\0").decode("utf-8", "replace")] += total
        return totals
