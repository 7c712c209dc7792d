"""When each of a plan's requests is due, over loops of the plan and after what an earlier attempt has done."""

from __future__ import annotations

from replay.pace import Pace, Recorded, due_ns
from replay.plan import Planned

__all__ = ["Schedule"]


class Schedule:
    """The due times of one performance; asked in plan order, once for each request.

    admitted: requests that got a place in the schedule, whether they are sent by this process or another. shortened:
    silences that were longer than the pace allows; left_out_ns: what was taken from them, in recorded time.
    """

    __slots__ = (
        "_base_offset_ns",
        "_begun",
        "_iteration",
        "_last_offset_ns",
        "_pace",
        "_pause_max_ns",
        "_raw_ns",
        "_start_ns",
        "admitted",
        "left_out_ns",
        "shortened",
    )

    def __init__(self, pace: Pace, start_ns: int) -> None:
        self.admitted = 0
        self.shortened = 0
        self.left_out_ns = 0
        self._pace = pace
        self._pause_max_ns: int | None = None
        if isinstance(pace, Recorded) and pace.pause_max_ns is not None:
            self._pause_max_ns = round(pace.pause_max_ns * pace.speed)
        self._start_ns = start_ns
        self._base_offset_ns = 0
        self._last_offset_ns = 0
        self._raw_ns = 0
        self._iteration = 0
        self._begun = False

    def next_ns(self, iteration: int, planned: Planned) -> int:
        """Take the next request that is sent; when it is due. The pace is not a closed loop."""
        due = due_ns(self._pace, self._start_ns, self.admitted, self._offset_ns(iteration, planned))
        assert due is not None
        self.admitted += 1
        return due

    def pass_by(self, iteration: int, planned: Planned) -> None:
        """Take the next request, which is skipped, or sent by another process in its place of the schedule."""
        self._offset_ns(iteration, planned)
        self.admitted += planned.skipped is None

    def _offset_ns(self, iteration: int, planned: Planned) -> int:
        """ns since the beginning of the first loop, without what was left out; each loop begins where one ended."""
        raw = self._recorded_ns(iteration, planned)
        if self._pause_max_ns is not None and (more := raw - self._raw_ns - self._pause_max_ns) > 0:
            self.shortened += 1
            self.left_out_ns += more
        self._raw_ns = raw
        return raw - self.left_out_ns

    def _recorded_ns(self, iteration: int, planned: Planned) -> int:
        if iteration != self._iteration:
            self._iteration = iteration
            self._base_offset_ns += self._last_offset_ns
        self._last_offset_ns = planned.offset_ns
        return self._base_offset_ns + planned.offset_ns

    def begin_at(self, iteration: int, planned: Planned) -> None:
        """Begin the schedule at this request, the first that an earlier attempt has left; later calls do nothing."""
        if not self._begun:
            self._begun = True
            before = self._recorded_ns(iteration, planned)
            self._base_offset_ns -= before
            self._raw_ns = self.left_out_ns = self.shortened = 0
            self.admitted = 0
