"""When each of a plan's requests is due, over loops of the plan and after what an earlier attempt has done."""

from __future__ import annotations

from replay.pace import Pace, due_ns
from replay.plan import Planned

__all__ = ["Schedule"]


class Schedule:
    """The due times of one performance; asked in plan order, once for each request.

    admitted: requests that got a place in the schedule, whether they are sent by this process or another.
    """

    __slots__ = ("_base_offset_ns", "_begun", "_iteration", "_last_offset_ns", "_pace", "_start_ns", "admitted")

    def __init__(self, pace: Pace, start_ns: int) -> None:
        self.admitted = 0
        self._pace = pace
        self._start_ns = start_ns
        self._base_offset_ns = 0
        self._last_offset_ns = 0
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
        """ns since the beginning of the first loop; each loop begins where the one before ended."""
        if iteration != self._iteration:
            self._iteration = iteration
            self._base_offset_ns += self._last_offset_ns
        self._last_offset_ns = planned.offset_ns
        return self._base_offset_ns + planned.offset_ns

    def begin_at(self, iteration: int, planned: Planned) -> None:
        """Begin the schedule at this request, the first that an earlier attempt has left; later calls do nothing."""
        if not self._begun:
            self._begun = True
            self._base_offset_ns = -self._offset_ns(iteration, planned)
            self.admitted = 0
