"""The next requests of a plan: read some at once, and made ready for sending before they are due."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final

from replay.bind import Binder
from replay.compose import Composer
from replay.done import Done
from replay.pair import Pair, mix
from replay.plan import Planned
from replay.schedule import Schedule
from replay.stage import Options

__all__ = ["Ahead"]

_AHEAD_MAX: Final = 64
_AHEAD_BYTES_MAX: Final = 1 << 20
_FILL_NS: Final = 300_000
"""Reading ahead must not make late what is due meanwhile."""


class Ahead:
    """Reads one plan. pairs: what was read and is to be sent, in plan order; the caller takes them from the left.

    orders: those in which the builds may be asked. skip: is told of each request that is not sent, and why. binder:
    None where nothing is bound. performed: what an earlier attempt has done. mine: False for what another process
    performs. exhausted: the plan has no more; ended: nor is the rest of it wanted. error: what it raised in the end.
    """

    def __init__(
        self,
        orders: list[tuple[int, ...]],
        options: Options,
        composer: Composer,
        skip: Callable[[Planned, int, str], None],
        now_ns: Callable[[], int],
    ) -> None:
        self.pairs: deque[Pair] = deque()
        self.exhausted = False
        self.ended = False
        self.error: Exception | None = None
        self.binder: Binder | None = None
        self.performed: Done | None = None
        self.mine: Callable[[Planned], bool] | None = None
        self._orders = orders
        self._seed = options.seed
        self._composer = composer
        self._skip = skip
        self._now_ns = now_ns
        self._count = max(min(_AHEAD_MAX, options.waiting_max // 16), 1)
        self._plan: Iterator[tuple[int, Planned]] = iter(())
        self._schedule: Schedule | None = None

    def open(self, plan: Iterator[tuple[int, Planned]], schedule: Schedule | None) -> None:
        """Begin with this plan. schedule: None in a closed loop, where a request is due when there is room for it."""
        self._plan = plan
        self._schedule = schedule
        self.exhausted = False

    def is_past_leaving(self, stream: Pair) -> bool:
        """True where all requests that production sent before it left that stream have been taken from here."""
        if not self.pairs:
            return self.exhausted
        following = self.pairs[0]
        return following.iteration > stream.iteration or not stream.is_before_leaving(following)

    def end(self) -> None:
        """Read no more, and forget what was read."""
        self.exhausted = self.ended = True
        self.pairs.clear()

    def fill(self) -> None:
        """Read some more of the plan; afterwards there are pairs, or it is to be called again, or it is exhausted."""
        pairs, count, room = self.pairs, 0, _AHEAD_BYTES_MAX
        until = self._now_ns() + _FILL_NS
        try:
            for iteration, planned in islice(self._plan, self._count):
                count += 1
                pair = self._read(iteration, planned)
                if pair is not None:
                    pairs.append(pair)
                    room -= pair.bytes
                if room < 0 or self._now_ns() > until:
                    return
        except Exception as error:  # noqa: BLE001  kept, and raised by the performance once what is in flight is done
            self.error = error
            self.exhausted = True
        else:
            self.exhausted = count < self._count

    def _read(self, iteration: int, planned: Planned) -> Pair | None:
        """What is to be sent, with all that can be made before it is due; None where nothing is."""
        schedule = self._schedule
        if self.mine is not None and not self.mine(planned):
            if schedule is not None:
                schedule.pass_by(iteration, planned)
            return None
        binder = self.binder
        links = () if binder is None else binder.note(planned, iteration)
        if self.performed is not None:
            if (iteration, planned.position) in self.performed:
                return None
            if schedule is not None and self.performed.any and planned.skipped is None:
                schedule.begin_at(iteration, planned)
        if planned.skipped is not None:
            if schedule is not None:
                schedule.pass_by(iteration, planned)
            self._skip(planned, iteration, planned.skipped)
            return None
        orders = self._orders
        builds = len(orders[0])
        order = orders[0] if builds == 1 else orders[mix(self._seed, iteration, planned.position) % len(orders)]
        pair = Pair(planned, iteration, builds, order)
        if binder is not None:
            pair.links = links
            if binder.waits_for:
                pair.waits_for += binder.waits_for
            pair.supplying = binder.supplying
        if schedule is not None:
            pair.due_ns = pair.ready_ns = schedule.next_ns(iteration, planned)
        self._composer.plan(pair)
        return pair
