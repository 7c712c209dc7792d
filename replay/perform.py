"""The performance: every planned request goes to all builds at nearly the same moment, and each gets one outcome."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

from capture.clock import Clock
from capture.exchange import Request
from replay.bind import Binder, Link
from replay.clients.base import Job
from replay.done import Done
from replay.histogram import Histogram
from replay.hook import HookFailed
from replay.outcome import Binding, Failure, Outcome, Performance
from replay.pace import Closed, Pace, due_ns
from replay.pair import Pair, mix, orders_of
from replay.plan import Planned
from replay.rewrite import template, trace_parent
from replay.stage import Options, Stage, all_broken
from replay.supplies import Supplies

__all__ = ["Performer"]

_SLICE = 128
_TICK_S = 0.05
_STALL_NS = 5_000_000


class Performer:
    """Performs one plan once. `perform` runs it; `stop` ends it early, and what is in flight is finished in drain_ns.

    record: takes each Performance as it is completed, in no particular order; it must not block. clear: False while
    the recorder is behind, then nothing new is begun. done: what an earlier attempt at this run has performed. mine:
    False for what another process performs; it keeps its place in the schedule. The counts may be read at any time.
    """

    def __init__(
        self,
        stages: list[Stage],
        pace: Pace,
        options: Options,
        clock: Clock,
        record: Callable[[Performance], None],
        binder: Binder | None = None,
        clear: Callable[[], bool] = lambda: True,
        done: Done | None = None,
        mine: Callable[[Planned], bool] | None = None,
    ) -> None:
        self.sent = 0
        self.skipped: Counter[str] = Counter()
        self.splits = 0
        self.held_back_ns = 0
        self.lateness = Histogram()
        self.own_lateness = Histogram()
        self.loop_lag = Histogram()
        self.exhausted = False
        self.stopped = ""
        self._stopped_ns = 0
        self._abandoned = False
        self.started_ns = 0
        self.busy_share = 0.0
        self.stalled_ns = 0
        self.wall_ns = 0
        self.stages = stages
        self._hooked = any(stage.hook is not None for stage in stages)
        self._pace = pace
        self._options = options
        self._clock = clock
        self._record = record
        self._binder = binder
        self.supplies = Supplies(len(stages), options.supplies_bytes_max, options.sessions_max)
        self._clear = clear
        self._performed = done
        self._mine = mine
        self._scheduled = False
        self._random = random.Random(options.seed)
        self._orders = orders_of(len(stages), self._random)
        self._plan: Iterator[tuple[int, Planned]] = iter(())
        self._next: tuple[int, Planned] | None = None
        self._unfinished: dict[tuple[int, int], Pair] = {}
        self._split: dict[tuple[int, int], Pair] = {}
        self._ready: deque[Pair] = deque()
        self._held_bytes = 0
        self._active = 0
        self._admitted = 0
        self._base_offset_ns = 0
        self._last_offset_ns = 0
        self._iteration = 0
        self._pumping = False
        self._timer: asyncio.TimerHandle | None = None
        self._done: asyncio.Future[None] | None = None
        self._error: BaseException | None = None

    @property
    def planned(self) -> int:
        """Requests that have their fate: sent or skipped."""
        return self.sent + sum(self.skipped.values())

    @property
    def active(self) -> int:
        """Pairs in flight."""
        return self._active

    def stop(self, why: str) -> None:
        """Begin nothing new; `perform` returns when what is in flight is done. Safe to call more than once."""
        if not self.stopped:
            self.stopped = why
            self._stopped_ns = self._clock.now_ns()
        self._wake()

    def abandon(self) -> None:
        """End at once; what is in flight is left without an outcome and counts as not planned."""
        self._abandoned = True
        self.stop("abandoned")
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    async def perform(self, plan: Iterator[tuple[int, Planned]], start_ns: int | None = None) -> None:
        """Perform (iteration, planned) in order; returns when every one that was begun has all its outcomes.

        start_ns: when the schedule begins, the same for all processes that share one; None is now.

        Raises what the plan raises (a damaged log), after what is in flight is done.
        """
        loop = asyncio.get_running_loop()
        self._plan = plan
        self._next = None
        self._done = loop.create_future()
        self.started_ns = self._clock.now_ns() if start_ns is None else start_ns
        await asyncio.sleep((self.started_ns - self._clock.now_ns()) / 1e9)
        cpu, wall = time.thread_time_ns(), time.monotonic_ns()
        ticker = loop.create_task(self._tick())
        thresholds = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)  # what is made per request has no cycles; full collections only cost pauses
        try:
            self._wake()
            await self._done
        finally:
            ticker.cancel()
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            if self._timer is not None:
                self._timer.cancel()
        self.wall_ns = time.monotonic_ns() - wall
        self.busy_share = (time.thread_time_ns() - cpu) / max(self.wall_ns, 1)
        if self._error is not None:
            raise self._error

    # -- the pump: what may begin now, begins -----------------------------------------------------------------------

    def _wake(self) -> None:
        if self._done is not None and not self._done.done():
            self._pump()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        try:
            again = self._pump_once()
        finally:
            self._pumping = False
        if again:
            asyncio.get_running_loop().call_soon(self._wake)
        elif self._over() and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _over(self) -> bool:
        if self._active or not (self.exhausted or self.stopped):
            return False
        return bool(self.stopped) or not (self._unfinished or self._ready)

    def _pump_once(self) -> bool:
        """True where there may be more to begin at once."""
        for _ in range(_SLICE):
            if self._ready:
                pair = self._ready.popleft()
                if not self.stopped or pair.begun is not None:
                    self._begin(pair)
                continue
            if self.stopped or self.exhausted or not self._admit_next():
                return False
        return True

    def _admit_next(self) -> bool:
        """Take the next of the plan where it is due and there is room; False where it is not."""
        options = self._options
        if self._next is None:
            self._next = self._read_plan()
            if self._next is None:
                return False
        iteration, planned = self._next
        if self._mine is not None and not self._mine(planned):
            self._next = None
            self._admitted += planned.skipped is None
            self._offset_ns(iteration, planned)
            return True
        if self._performed is not None and self._pass_over(iteration, planned):
            return True
        if planned.skipped is not None:
            self._next = None
            self._note(planned, iteration)
            self._skip(planned, iteration, planned.skipped)
            return True
        if len(self._unfinished) >= options.waiting_max or self._held_bytes >= options.held_bytes_max:
            return False
        if not self._clear():
            return False
        now = self._clock.now_ns()
        if isinstance(self._pace, Closed):
            if self._active >= self._pace.in_flight:
                return False
            due = now
        else:
            scheduled = due_ns(self._pace, self.started_ns, self._admitted, self._offset_ns(iteration, planned))
            assert scheduled is not None
            due = scheduled
        if options.duration_ns is not None and max(due, now) - self.started_ns >= options.duration_ns:
            self.exhausted = True
            return False
        if due > now:
            self._arm(due - now)
            return False
        self._next = None
        self._admitted += 1
        pair = Pair(planned, iteration, due, len(self.stages))
        pair.links = self._note(planned, iteration)
        pair.supplying = self._binder is not None and self._binder.supplying
        self._admit(pair)
        return True

    def _pass_over(self, iteration: int, planned: Planned) -> bool:
        """Resuming: leave out what an earlier attempt has done, and begin the schedule at the first that is left."""
        assert self._performed is not None
        if (iteration, planned.position) in self._performed:
            self._next = None
            self._note(planned, iteration)
            return True
        if not self._scheduled and planned.skipped is None and self._performed.any:
            self._scheduled = True
            self._base_offset_ns = -self._offset_ns(iteration, planned)
        return False

    def _read_plan(self) -> tuple[int, Planned] | None:
        try:
            return next(self._plan)
        except StopIteration:
            self.exhausted = True
        except Exception as error:  # noqa: BLE001  kept, and raised by perform() once what is in flight is done
            self._error = error
            self.exhausted = True
        return None

    def _note(self, planned: Planned, iteration: int) -> tuple[Link, ...]:
        return () if self._binder is None else self._binder.note(planned, iteration)

    def _offset_ns(self, iteration: int, planned: Planned) -> int:
        if iteration != self._iteration:
            self._iteration = iteration
            self._base_offset_ns += self._last_offset_ns
        self._last_offset_ns = planned.offset_ns
        return self._base_offset_ns + planned.offset_ns

    def _arm(self, delay_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # The loop's timers count milliseconds; rounding up keeps it from spinning through the last one.
        self._timer = asyncio.get_running_loop().call_later(-(-delay_ns // 1_000_000) / 1e3, self._wake)

    def _admit(self, pair: Pair) -> None:
        key = (pair.iteration, pair.planned.position)
        self._unfinished[key] = pair
        self._held_bytes += pair.bytes
        waits = [
            other
            for position in pair.planned.waits_for
            if (other := self._unfinished.get((pair.iteration, position))) is not None
        ]
        if not waits:
            self._begin(pair)
            return
        pair.blocked = [0] * len(self.stages)
        for other in waits:
            if other.dependents is None:
                other.dependents = []
            other.dependents.append(pair)
            for index, outcome in enumerate(other.outcomes):
                pair.blocked[index] += outcome is None
        if not all(pair.blocked):
            self._split[key] = pair

    # -- one pair ----------------------------------------------------------------------------------------------------

    def _begin(self, pair: Pair) -> None:
        """Send to every build that is ready and was not sent to yet; to all of them, in the usual case."""
        stages = self.stages
        planned = pair.planned
        now = self._clock.now_ns()
        if pair.begun is None:
            if all_broken(self.stages):
                self._finish_skipped(pair, "breaker")
                return
            if pair.links and not self._resolvable(pair):
                self._finish_skipped(pair, "unresolved_binding")
                return
            if isinstance(self._pace, Closed):
                pair.due_ns = pair.ready_ns = now
            pair.template = template(planned.exchange)
            if self._hooked and not self._composed(pair):
                self._finish_skipped(pair, "hook_failed")
                return
            pair.begun = [False] * len(stages)
            pair.orders = self._orders[mix(self._options.seed, pair.iteration, planned.position) % len(self._orders)]
            self._active += 1
            self.own_lateness.add(now - max(pair.due_ns, pair.ready_ns))
        blocked = pair.blocked
        for order, index in enumerate(pair.orders):
            if not pair.begun[index] and (blocked is None or not blocked[index]):
                pair.begun[index] = True
                self._send(pair, index, order)

    def _send(self, pair: Pair, index: int, order: int) -> None:
        stage = self.stages[index]
        failure = stage.breaker
        if failure is None:
            try:
                composed = None if pair.composed is None else pair.composed.pop(index, None)
                request, bindings, traceparent = composed or self._compose(pair, index)
            except HookFailed as error:
                failure = Failure("malformed", "hook", f"not sent, as its hook failed: {error}")
        if failure is not None:
            now = self._clock.now_ns()
            outcome = Outcome(stage.name, stage.role, pair.due_ns, None, None, now, None, failure, order, attempts=0)
            self._take(pair, index, outcome)
            return

        def done(job: Job) -> None:
            outcome = Outcome(
                stage.name, stage.role, pair.due_ns, job.sent_ns, job.first_byte_ns, job.end_ns,
                job.response, job.failure, order, job.reused, job.attempts, job.sent_bytes, job.received_bytes,
                bindings, traceparent,
            )  # fmt: skip
            self._take(pair, index, outcome)

        stage.client.perform(Job(request, done))

    def _composed(self, pair: Pair) -> bool:
        """Make all requests of a pair before the first one is sent; False where a hook failed for one of them."""
        pair.composed = {}
        try:
            for index, stage in enumerate(self.stages):
                if stage.hook is not None and (pair.blocked is None or not pair.blocked[index]):
                    pair.composed[index] = self._compose(pair, index)
        except HookFailed:
            return False
        return True

    def _compose(self, pair: Pair, index: int) -> tuple[Request, tuple[Binding, ...], str]:
        """The request as one build gets it, what was bound in it, and its traceparent. Raises HookFailed."""
        stage, ready, exchange = self.stages[index], pair.template, pair.planned.exchange
        assert ready is not None
        bound: Request | None = None
        bindings: tuple[Binding, ...] = ()
        if pair.links:
            bound, bindings = self.supplies.bind(ready.request, pair.links, exchange.session, pair.iteration, index)
        if stage.injected:
            bindings += tuple(Binding(f"header:{name.lower()}", f"injected:{name}") for name in stage.injected)
        traceparent = trace_parent(self._random.getrandbits(192), ready.recorded_trace)
        request = ready.for_build(
            stage.authority, f"{self._options.run_id}/{exchange.id}", traceparent, stage.injected, bound
        )
        if stage.hook is not None:
            request, signatures = stage.sign(request)
            bindings += signatures
        return request, bindings, traceparent

    def _take(self, pair: Pair, index: int, outcome: Outcome) -> None:
        """Note what one build did, and let go what waited for it."""
        if self._abandoned:
            return
        stage = self.stages[index]
        stage.count(outcome.failure, self._options.breaker_failures)
        if outcome.sent_ns is not None:
            self.lateness.add(outcome.sent_ns - pair.due_ns)
        pair.outcomes[index] = outcome
        pair.left -= 1
        if pair.supplying:
            self.supplies.keep(pair.planned.exchange, pair.planned.position, pair.iteration, index, outcome)
        if pair.dependents is not None:
            self._release(pair, index)
        if not pair.left:
            self._finish(pair)
        self._wake()

    def _release(self, pair: Pair, index: int) -> None:
        now = self._clock.now_ns()
        for other in pair.dependents or ():
            blocked = other.blocked
            assert blocked is not None
            blocked[index] -= 1
            if blocked[index]:
                continue
            key = (other.iteration, other.planned.position)
            if other.begun is not None:
                self._ready.append(other)
            elif not any(blocked):
                self._split.pop(key, None)
                other.blocked = None
                other.ready_ns = now
                self._ready.append(other)
            elif key not in self._split:
                other.ready_ns = now
                self._split[key] = other

    def _finish(self, pair: Pair) -> None:
        self._active -= 1
        self._forget(pair)
        self.sent += 1
        performance = Performance(
            pair.planned.position,
            pair.planned.exchange,
            tuple(outcome for outcome in pair.outcomes if outcome is not None),
            None,
            pair.iteration,
        )
        self._record(performance)

    def _finish_skipped(self, pair: Pair, reason: str) -> None:
        self._forget(pair)
        for other in pair.dependents or ():
            blocked = other.blocked
            if blocked is None:
                continue
            for index in range(len(blocked)):
                blocked[index] -= pair.outcomes[index] is None
            if not any(blocked):
                self._split.pop((other.iteration, other.planned.position), None)
                other.blocked = None
                other.ready_ns = self._clock.now_ns()
                self._ready.append(other)
        self._skip(pair.planned, pair.iteration, reason)
        self._wake()

    def _skip(self, planned: Planned, iteration: int, reason: str) -> None:
        self.skipped[reason] += 1
        self._record(Performance(planned.position, planned.exchange, (), reason, iteration))

    def _forget(self, pair: Pair) -> None:
        key = (pair.iteration, pair.planned.position)
        del self._unfinished[key]
        self._split.pop(key, None)
        self._held_bytes -= pair.bytes

    def _resolvable(self, pair: Pair) -> bool:
        """False where the current or the reference build lacks a value that this request needs.

        A candidate that lacks it is sent the recorded value: that it gave none is its own difference, and what follows
        shows as a consequence.
        """
        session, blocked = pair.planned.exchange.session, pair.blocked
        return all(
            self.supplies.resolvable(pair.links, session, pair.iteration, index)
            for index, stage in enumerate(self.stages)
            if stage.role != "candidate" and (blocked is None or not blocked[index])
        )

    async def _tick(self) -> None:
        """Let builds that are ready go on without those that are not, after the bound; measure the loop's lag."""
        while True:
            before = self._clock.now_ns()
            await asyncio.sleep(_TICK_S)
            now = self._clock.now_ns()
            lag = now - before - int(_TICK_S * 1e9)
            self.loop_lag.add(lag)
            if lag > _STALL_NS:
                self.stalled_ns += lag
            if self.stopped and now - self._stopped_ns > self._options.drain_ns:
                self.abandon()
            for key, pair in list(self._split.items()):
                if now - max(pair.ready_ns, pair.due_ns) >= self._options.pair_wait_ns and not self.stopped:
                    del self._split[key]
                    self.splits += 1
                    self.held_back_ns = max(self.held_back_ns, now - pair.ready_ns)
                    self._ready.append(pair)
            self._wake()
