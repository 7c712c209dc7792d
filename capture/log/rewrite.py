"""Rewriting a sealed segment for size after the fact: `understudy log compact`, and in the background of a capture.

`python -m capture.log.rewrite SEGMENT` is the process that capture starts for it (compactor.py): it never touches
traffic, has the lowest priority, and rests between blocks so that it takes no more than its share of one core. The key
of an encrypted log comes on its standard input. It ends with 0 where the copy took the segment's place, else with 4.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from capture.errors import RunFailed, UnderstudyError
from capture.exchange import Exchange
from capture.log.appender import sync_directory
from capture.log.compact import Original, compact
from capture.log.filters import hash_of
from capture.log.reader import open_segment
from capture.log.scan import SegmentReader

__all__ = ["IDLE_SHARE", "Rewritten", "pacer", "rewrite"]

IDLE_SHARE = 0.2
"""Share of one core that rewriting may take while traffic is captured."""
_KEY_TEXT_BYTES_MAX = 1024


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What came of one segment. before, after: bytes on disk. why_not: None where it was rewritten."""

    name: str
    before: int
    after: int
    why_not: str | None = None


def always() -> bool:
    """There is time."""
    return True


def rewrite(path: Path, key: bytes | None, in_time: Callable[[], bool] = always, *, again: bool = False) -> Rewritten:
    """Put a copy made for size in the place of a sealed segment; records, ids and counts stay the same.

    key: of an encrypted log. in_time: asked before each block, and may wait; False leaves the segment as it is. again:
    also where it was rewritten before. Readers that have the old file open go on with the new one. Raises BadInput
    where the segment cannot be opened.
    """
    before = path.stat().st_size
    reader = open_segment(path, key)
    try:
        if reader.footer is None:
            return Rewritten(path.name, before, before, "not sealed")
        if reader.footer.rewritten and not again:
            return Rewritten(path.name, before, before, "rewritten before")
        if not reader.footer.index:
            return Rewritten(path.name, before, before, "empty")
        return _rewrite(path, reader, before, in_time)
    finally:
        reader.close()


def _rewrite(path: Path, reader: SegmentReader[Exchange], before: int, in_time: Callable[[], bool]) -> Rewritten:
    footer, why_not = reader.footer, "there was no time, no space, or another process is at it"
    assert footer is not None, "only what is sealed is rewritten"
    sessions = []
    for entry in footer.index:
        if not in_time():
            return Rewritten(path.name, before, before, why_not)
        found = {hash_of(record.session) for record in reader.records(entry) if record is not None}
        sessions.append(list(found))
    if not path.exists():
        return Rewritten(path.name, before, before, "pruned meanwhile")
    if reader.damage:
        return Rewritten(path.name, before, before, "damaged; see understudy log verify")
    after = before

    def place(copy: Path) -> Path:
        nonlocal after, why_not
        after = copy.stat().st_size
        if after >= before:
            why_not = "it would not be smaller"
            raise OSError(why_not)
        with copy.open("rb") as file:
            os.fsync(file.fileno())
        reader.source.read(0, 1)  # raises where the segment was pruned or replaced meanwhile
        os.rename(copy, path)
        sync_directory(path.parent)
        return path

    header = reader.source.read(0, reader.header.header_bytes)
    segment = path.name.partition(".")[0]
    original = Original(path.parent, segment, reader.source.read, header, footer, sessions, reader.cipher)
    if compact(original, in_time, place, by_columns=True) is None:
        return Rewritten(path.name, before, before, why_not)
    return Rewritten(path.name, before, after)


def pacer(
    share: float, cpu_s: Callable[[], float] = time.process_time, sleep: Callable[[float], None] = time.sleep
) -> Callable[[], bool]:
    """An `in_time` that waits so long that no more than `share` of one core is taken, and always says True."""
    last_s = cpu_s()

    def rest() -> bool:
        nonlocal last_s
        took_s = cpu_s() - last_s
        sleep(max(0.0, took_s / share - took_s))
        last_s = cpu_s()
        return True

    return rest


def _lowest_priority() -> None:
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def main() -> int:
    """The process that capture starts."""
    parser = argparse.ArgumentParser(prog="python -m capture.log.rewrite")
    parser.add_argument("segment", type=Path)
    parser.add_argument("--idle", action="store_true", help="lowest priority, and no more than a share of one core")
    arguments = parser.parse_args()
    text = sys.stdin.buffer.read(_KEY_TEXT_BYTES_MAX)
    try:
        if arguments.idle:
            _lowest_priority()
        key = bytes.fromhex(text.decode("ascii")) if text else None
        done = rewrite(arguments.segment, key, pacer(IDLE_SHARE) if arguments.idle else always)
        if done.why_not is not None:
            raise RunFailed(f"{arguments.segment}: not rewritten: {done.why_not}")
    except (UnderstudyError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 4
    return 0


if __name__ == "__main__":
    sys.exit(main())
