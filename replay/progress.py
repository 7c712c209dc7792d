"""How far a replay has come, on a terminal: done of total, rate, lateness, failures by build, time that remains."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

from replay.shared_progress import Said, clear, heard, said_by, say

if TYPE_CHECKING:
    from replay.perform import Performer

__all__ = ["Pace", "Progress", "SaidProgress", "SharedProgress", "state_of"]

_REFRESH_S = 0.25
_PACE_S = 2.0
_BAR_COLUMNS_MIN = 100


def state_of(said: Said, rate: float | None) -> str:
    """One line: requests a second where that is known, median lateness, and the failures of each build that has any."""
    parts = [] if rate is None else [f"{rate:.0f}/s"]
    parts += [f"late {said.late_ns / 1e6:.1f} ms"]
    parts += [f"{name} failed {count}" for name, count in said.failed.items() if count]
    return "  ".join(parts)


class Pace:
    """Requests sent a second, over the last two seconds; what an earlier part of the run had sent is none of it."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=round(_PACE_S / _REFRESH_S) + 1)

    def of(self, sent: int, at_s: float) -> float | None:
        """With what is sent by now, on any clock; None where nothing was seen before."""
        self._seen.append((at_s, sent))
        (first_s, first), (last_s, last) = self._seen[0], self._seen[-1]
        return max(last - first, 0) / (last_s - first_s) if last_s > first_s else None


class _Shown:
    """A bar on stderr that is fed with what was said; without the bar itself where the terminal is narrow."""

    def __init__(self, total: int) -> None:
        console = Console(stderr=True)
        whole = Column(no_wrap=True)
        wide = [TextColumn("replay", table_column=whole), BarColumn()] if console.width >= _BAR_COLUMNS_MIN else []
        self._bar = Bar(
            *wide,
            MofNCompleteColumn(table_column=whole),
            TimeRemainingColumn(table_column=whole),
            TextColumn("{task.fields[state]}", table_column=Column()),
            console=console,
            refresh_per_second=1 / _REFRESH_S,
            transient=True,
        )
        self._task = self._bar.add_task("replay", total=total or None, state="")
        self._pace = Pace()
        self._bar.start()

    def show(self, said: Said) -> None:
        rate = self._pace.of(said.sent, time.monotonic())
        self._bar.update(self._task, completed=said.done, state=state_of(said, rate))

    def stop(self, said: Said) -> None:
        with contextlib.suppress(ValueError):
            self._bar.update(self._task, completed=said.done)
        self._bar.stop()


class _Following:
    """Calls a function again and again in the running loop until it is closed."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step
        self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            self._step()

    def close(self) -> None:
        self._follower.cancel()


class Progress:
    """A bar on stderr that follows a performer until it is closed; made inside the running loop."""

    def __init__(self, performer: Performer, total: int) -> None:
        self._performer = performer
        self._shown = _Shown(total)
        self._following = _Following(lambda: self._shown.show(said_by(performer)))

    def close(self) -> None:
        """Take the bar away."""
        self._following.close()
        self._shown.stop(said_by(self._performer))


class SaidProgress:
    """Says in the run directory how far the performer of one share has come, until it is closed."""

    def __init__(self, performer: Performer, run_dir: Path, index: int) -> None:
        self._performer, self._run_dir, self._index = performer, run_dir, index
        self._following = _Following(self._say)

    def _say(self) -> None:
        say(self._run_dir, self._index, said_by(self._performer))

    def close(self) -> None:
        """Say it a last time."""
        self._following.close()
        self._say()


class SharedProgress:
    """A bar on stderr that shows how far all processes of a run have come, from a thread of its own."""

    def __init__(self, run_dir: Path, total: int) -> None:
        self._run_dir = run_dir
        self._shown = _Shown(total)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._over.wait(_REFRESH_S):
            self._shown.show(heard(self._run_dir))

    def close(self) -> None:
        """Take the bar and the files away."""
        self._over.set()
        self._thread.join(5)
        self._shown.stop(heard(self._run_dir))
        clear(self._run_dir)
