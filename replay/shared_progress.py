"""How far several processes have come together: each says it in a small file of the run, one shows the sum."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from replay.perform import Performer

__all__ = ["Said", "clear", "heard", "said_by", "say"]

_PATTERN = "progress-*.json"


class Said(msgspec.Struct, frozen=True):
    """What one process says, or all of them together.

    done: requests that have their fate; sent: those of them that were sent. late_ns: median lateness.
    """

    done: int
    late_ns: int
    failed: dict[str, int]
    sent: int = 0


def said_by(performer: Performer) -> Said:
    """How far a performer has come."""
    failed = {stage.name: sum(stage.failed.values()) for stage in performer.stages}
    return Said(performer.planned, round(performer.lateness.quantile(0.5)), failed, performer.sent)


def say(run_dir: Path, index: int, said: Said) -> None:
    """Put it where the others read it, in the place of what was said before. What cannot be written is not said."""
    path = run_dir / f"progress-{index}.json"
    new = path.with_suffix(".new")
    with contextlib.suppress(OSError):
        new.write_bytes(msgspec.json.encode(said))
        os.replace(new, path)


def heard(run_dir: Path) -> Said:
    """The sum of what all processes of the run said last; of their lateness the greatest."""
    done = sent = late_ns = 0
    failed: Counter[str] = Counter()
    for path in run_dir.glob(_PATTERN):
        try:
            said = msgspec.json.decode(path.read_bytes(), type=Said)
        except (OSError, msgspec.DecodeError):
            continue  # a process of another machine is just replacing it
        done += said.done
        sent += said.sent
        late_ns = max(late_ns, said.late_ns)
        failed.update(said.failed)
    return Said(done, late_ns, dict(failed), sent)


def clear(run_dir: Path) -> None:
    """Take the files away."""
    for path in (*run_dir.glob(_PATTERN), *run_dir.glob("progress-*.new")):
        with contextlib.suppress(OSError):
            path.unlink()
