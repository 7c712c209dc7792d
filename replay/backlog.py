"""When the bounds on what waits held up the schedule, for how long, and for which build: the builds' doing alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from replay.stage import Stage

__all__ = ["Backlog"]


class Backlog:
    """held_up_ns: by name of the builds that most of what waited was waiting for, how long nothing was begun.

    since_ns: until when that was noted, 0 where there is room. room_ns: when there was room again the last time, 0
    where there always was. Told in the order of time.
    """

    __slots__ = ("_stages", "held_up_ns", "room_ns", "since_ns")

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.held_up_ns: Counter[str] = Counter()
        self.room_ns = 0
        self.since_ns = 0
        self._stages = stages

    def full(self, now_ns: int) -> None:
        """What is due cannot be begun: as much waits as may."""
        self.since_ns = self.since_ns or now_ns

    def note(self, now_ns: int, begun: int) -> None:
        """Answers have come and are not counted yet. begun: requests that were sent to all builds."""
        if not self.since_ns:
            return
        owed = {stage.name: begun - stage.answered - stage.failed.total() for stage in self._stages}
        most = max(owed.values())
        for name, count in owed.items():
            if 2 * count > most:
                self.held_up_ns[name] += now_ns - self.since_ns
        self.since_ns = now_ns

    def room(self, now_ns: int) -> None:
        """It can be begun again, or there is nothing more to begin."""
        if self.since_ns:
            self.since_ns = 0
            self.room_ns = now_ns
