"""How far a replay has come, on a terminal: done of total, rate, lateness, failures by build, time that remains."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

if TYPE_CHECKING:
    from replay.perform import Performer

__all__ = ["Progress", "state_of"]

_REFRESH_S = 0.25


def state_of(performer: Performer, rate: float) -> str:
    """One line: requests a second, median lateness, and the failures of each build that has any."""
    late_ms = performer.lateness.quantile(0.5) / 1e6
    parts = [f"{rate:.0f}/s", f"late {late_ms:.1f} ms"]
    for stage in performer.stages:
        failed = sum(stage.failed.values())
        if failed:
            parts.append(f"{stage.name} failed {failed}")
    return "  ".join(parts)


class Progress:
    """A bar on stderr that follows a performer until it is closed; made inside the running loop."""

    def __init__(self, performer: Performer, total: int) -> None:
        self._performer = performer
        self._bar = Bar(
            TextColumn("replay"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            refresh_per_second=1 / _REFRESH_S,
            transient=True,
        )
        self._task = self._bar.add_task("replay", total=total or None, state="")
        self._bar.start()
        self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        before, at = 0, loop.time()
        while True:
            await asyncio.sleep(_REFRESH_S)
            done, now = self._performer.planned, loop.time()
            rate = (done - before) / max(now - at, 1e-9)
            before, at = done, now
            self._bar.update(self._task, completed=done, state=state_of(self._performer, rate))

    def close(self) -> None:
        """Take the bar away."""
        self._follower.cancel()
        with contextlib.suppress(ValueError):
            self._bar.update(self._task, completed=self._performer.planned)
        self._bar.stop()
