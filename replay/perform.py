"""The performance: every planned request goes to all builds at nearly the same moment, and each gets one outcome."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Final

from capture.clock import Clock
from capture.errors import RunFailed
from replay.ahead import Ahead
from replay.alarm import Alarm
from replay.backlog import Backlog
from replay.bind import Binder
from replay.clients.base import Job
from replay.compose import Composer
from replay.done import Done
from replay.histogram import Histogram
from replay.hook import HookFailed
from replay.lag import Lag
from replay.outcome import Failure, Outcome, Performance
from replay.pace import Closed, Pace, Recorded
from replay.pair import Pair, orders_of
from replay.plan import Planned
from replay.processor import Processor
from replay.schedule import Schedule
from replay.stage import Options, Stage, all_broken, twins_of
from replay.streams import Beside, Handle, Streams
from replay.supplies import Supplies
from replay.waiting import Waiting

__all__ = ["Performer"]

_SLICE: Final = 128
_TICK_S = 0.05
_NEVER: Final = 1 << 30


class Performer:
    """Performs one plan once. `perform` runs it; `stop` ends it early, and what is in flight is finished in drain_ns.

    record: takes each Performance as it is completed, in no particular order; it must not block. clear: False while
    the recorder is behind, then nothing new is begun; it raises RunFailed where the recorder has failed. done: what an
    earlier attempt at this run has performed. mine: False for what another process performs; it keeps its place in the
    schedule. The counts may be read at any time.
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
        self.lateness = Histogram()
        self.own_lateness = Histogram()
        self.latency = Histogram()
        self.lag = Lag(clock.now_ns, lambda: self._active)
        self.backlog = Backlog(stages)
        self.schedule = Schedule(pace, 0)
        self.stopped = ""
        self._stopped_ns = 0
        self.abandoned = False
        self._error: Exception | None = None
        self.started_ns = 0
        self.busy_share = self.waited_share = 0.0
        self.stages = stages
        injected = [frozenset(name.lower() for name in stage.injected) for stage in stages]
        self.supplies = Supplies(len(stages), options.supplies_bytes_max, options.sessions_max, injected)
        self._composer = Composer(stages, options.run_id, self.supplies, random.SystemRandom())
        self._pace = pace
        self._options = options
        self._clock = clock
        self._now_ns = clock.now_ns
        self._record = record
        self._clear = clear
        orders = orders_of(len(stages), random.Random(options.seed))
        self._ahead = Ahead(orders, options, self._composer, self._skip, clock.now_ns)
        self._ahead.binder, self._ahead.performed, self._ahead.mine = binder, done, mine
        self._waiting = Waiting(len(stages), None if isinstance(pace, Closed) else options.pair_wait_ns)
        # Where silences are shortened, so is the time that a stream was listened to; what it gave says when to leave.
        speed = pace.speed if isinstance(pace, Recorded) and pace.pause_max_ns is None else None
        beside = Beside(self.supplies, self._waiting, self._opened, self._may_leave, self._later)
        self._streams = Streams(stages, options, clock.now_ns, speed, beside)
        self._active = 0
        self._in_flight_max = pace.in_flight if isinstance(pace, Closed) else None
        self._hooked = any(stage.hook is not None for stage in stages)
        self._all_begun = [True] * len(stages)
        self._twins = twins_of(stages)
        self._twinned = any(twin >= 0 for twin in self._twins)
        self._broken = False
        self._landed: list[Job] = []
        self._landing = self._land
        self._pumping = False
        self._alarm: Alarm | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._done: asyncio.Future[None] | None = None

    @property
    def splits(self) -> int:
        """How often a build went on without another."""
        return self._waiting.splits

    @property
    def held_back_ns(self) -> int:
        """How long at most a build was kept waiting by another."""
        return self._waiting.held_back_ns

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
            self._stopped_ns = self._now_ns()
        self._wake()

    def abandon(self) -> None:
        """End at once; what is in flight is left without an outcome and counts as not planned."""
        self.abandoned = True
        self.stop("abandoned")
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _fail(self, error: Exception) -> None:
        """End with `error`: after what is in flight where the run cannot be written, else at once."""
        self._error = self._error or error
        if isinstance(error, RunFailed):
            self.stop(str(error))
        else:
            self.abandon()

    async def perform(self, plan: Iterator[tuple[int, Planned]], start_ns: int | None = None) -> None:
        """Perform (iteration, planned) in order; returns when every one that was begun has all its outcomes.

        start_ns: when the schedule begins, the same for all processes that share one; None is now.

        Raises what the plan raises (a damaged log) and RunFailed of `clear`, after what is in flight is done, and at
        once whatever else goes wrong.
        """
        loop = self._loop = asyncio.get_running_loop()
        # The first read opens and decodes more than one exchange; the schedule begins after it.
        plan = chain(list(islice(plan, 1)), plan)
        self._broken = all_broken(self.stages)
        self._done = loop.create_future()
        self.started_ns = self._now_ns() if start_ns is None else start_ns
        self.schedule = Schedule(self._pace, self.started_ns)
        self._ahead.open(plan, None if self._in_flight_max is not None else self.schedule)
        await asyncio.sleep((self.started_ns - self._now_ns()) / 1e9)
        processor = Processor()
        ticker = loop.create_task(self._tick())
        self._alarm = Alarm(self._wake)
        self.lag.open()
        thresholds = gc.get_threshold()
        gc.freeze()
        # What is made per request has no cycles. What sessions remember lives long, and looking through it again and
        # again took as long as all else: only what is new is looked through.
        gc.set_threshold(50_000, _NEVER, _NEVER)
        try:
            self._wake()
            await self._done
        finally:
            ticker.cancel()
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            self._alarm.close()
            self.lag.close()
            self._streams.close()
        self.busy_share, self.waited_share = processor.shares()
        error = self._error or self._ahead.error
        if error is not None:
            raise error

    # -- the pump: what may begin now, begins -----------------------------------------------------------------------

    def _wake(self) -> None:
        if self._done is not None and not self._done.done():
            self._pump()

    def _pump(self) -> None:
        if self._pumping:
            return
        self._pumping = True
        again = False
        try:
            again = self._pump_once()
        except Exception as error:  # noqa: BLE001  raised by `perform`; from here the loop would only log it
            self._fail(error)
        finally:
            self._pumping = False
        if again:
            assert self._loop is not None
            self._loop.call_soon(self._wake)
        elif self._over() and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def _over(self) -> bool:
        if self._active:
            return False
        ahead = self._ahead
        return bool(self.stopped) or (ahead.exhausted and not ahead.pairs and not self._waiting.pairs)

    def _pump_once(self) -> bool:
        """True where there may be more to begin at once."""
        ready, ahead = self._waiting.ready, self._ahead
        pairs = ahead.pairs
        clear: bool | None = None
        for _ in range(_SLICE):
            if ready:
                pair = ready.popleft()
                if not self.stopped or pair.begun is not None:
                    self._begin(pair)
                continue
            if self.stopped or (ahead.exhausted and not pairs):
                return False
            if clear is None:
                clear = self._clear()
            if not clear:
                return False
            if not pairs:
                ahead.fill()
            elif not self._admit(pairs[0]):
                return False
        return True

    def _admit(self, pair: Pair) -> bool:
        """Take the first of the pairs that were read in where it is due and there is room; False where it is not."""
        options, waiting = self._options, self._waiting
        closed = self._in_flight_max
        if len(waiting.pairs) >= options.waiting_max or waiting.held_bytes >= options.held_bytes_max:
            if closed is None:
                self.backlog.full(self._now_ns())
            return False
        if closed is None:
            now = self._now_ns()
            self.backlog.room(now)
            if options.duration_ns is not None and max(pair.due_ns, now) - self.started_ns >= options.duration_ns:
                self._ahead.end()
                return False
            if pair.due_ns > now:
                assert self._alarm is not None
                self._alarm.set(pair.due_ns - now)
                return False
            # What the builds held up is not the generator's lateness.
            pair.ready_ns = max(pair.due_ns, self.backlog.room_ns)
        elif self._active - self._streams.apart >= closed:
            return False
        elif options.duration_ns is not None and self._now_ns() - self.started_ns >= options.duration_ns:
            self._ahead.end()
            return False
        self._ahead.pairs.popleft()
        if self._streams.listening or pair.stay is not None:
            self._streams.admit(pair)
        if waiting.admit(pair):
            self._begin(pair)
        elif closed is not None:
            pair.due_ns = pair.ready_ns = self._now_ns()
        if pair.blocked is not None and self._streams.listening:
            waiting.stir(pair, self._streams.stir)
        return True

    # -- one pair ----------------------------------------------------------------------------------------------------

    def _begin(self, pair: Pair) -> None:
        """Send to every build that is ready and was not sent to yet; to all of them, in the usual case."""
        blocked = pair.blocked
        if pair.begun is None:
            if self._broken:
                self._finish_skipped(pair, "breaker")
                return
            if pair.links and not self._resolvable(pair):
                self._finish_skipped(pair, "unresolved_binding")
                return
            if self._hooked and not self._composer.sign_first(pair):
                self._finish_skipped(pair, "hook_failed")
                return
            now = self._clock.now_ns()
            self._active += 1
            if self._in_flight_max is not None:
                pair.due_ns = pair.ready_ns = now  # in a closed loop a request is due when there is room for it
            else:
                self.own_lateness.add(now - max(pair.due_ns, pair.ready_ns))
            if blocked is None and not self._twinned:
                pair.begun = self._all_begun
                for order, index in enumerate(pair.orders):
                    self._send(pair, index, order)
                return
            pair.begun = [False] * len(self.stages)
        begun = pair.begun
        for order, index in enumerate(pair.orders):
            if begun[index] or (blocked is not None and blocked[index]) or self._is_held(pair, begun, index):
                continue
            begun[index] = True
            self._send(pair, index, order)

    def _is_held(self, pair: Pair, begun: list[bool], index: int) -> bool:
        """True where the build is the same process as another one, which has not answered this request yet.

        Asked at the same moment, the process would have twice the work that the others have, and the one whose turn
        comes second would wait for the first.
        """
        twin = self._twins[index]
        if twin >= 0 and begun[twin] and pair.outcomes[twin] is None and not (pair.alone or pair.is_open_on(twin)):
            pair.after = index
            self._waiting.hold(pair, self._now_ns())
            return True
        if pair.after == index:
            self._waiting.go_on(pair)
            pair.after_ns = self._now_ns()
        return False

    def _send(self, pair: Pair, index: int, order: int) -> None:
        stage = self.stages[index]
        failure = stage.breaker
        if failure is None:
            try:
                job = self._composer.job(pair, index, order, self._landing)
            except HookFailed as error:
                failure = Failure("malformed", "hook", f"not sent, as its hook failed: {error}")
            else:
                if pair.stay is not None:
                    self._streams.send(pair, index, job)
                stage.client.perform(job)
                return
        now = self._now_ns()
        pair.outcomes[index] = outcome = Outcome(
            stage.name, stage.role, pair.due_ns, None, None, now, None, failure, order, attempts=0
        )
        self._failed(stage, failure)
        self._pass_on(pair, index, outcome)
        pair.left -= 1
        if not pair.left:
            self._finish(pair)

    def _land(self, job: Job) -> None:
        """A client is done with a job; all of one turn of the loop are taken together, after it."""
        if not self._landed:
            assert self._loop is not None
            self._loop.call_soon(self._settle)
        self._landed.append(job)

    def _settle(self) -> None:
        landed, self._landed = self._landed, []
        if self.abandoned:
            return
        try:
            self._take(landed)
        except Exception as error:  # noqa: BLE001  raised by `perform`; from here the loop would only log it
            self._fail(error)
        self._wake()

    def _take(self, landed: list[Job]) -> None:
        if self.backlog.since_ns:
            self.backlog.note(self._now_ns(), self.sent + self._active)
        stages = self.stages
        late: list[int] = []
        ended: list[Pair] = []
        held: list[Pair] = []
        pair: Pair
        index: int
        for job in landed:
            pair, index, order, bindings, traceparent = job.context
            stage = stages[index]
            sent_ns, failure = job.sent_ns, job.failure
            due_ns = pair.due_ns if index != pair.after else pair.after_ns
            pair.outcomes[index] = outcome = Outcome(
                stage.name, stage.role, due_ns, sent_ns, job.first_byte_ns, job.end_ns,
                job.response, failure, order, job.reused, job.attempts, job.sent_bytes, job.received_bytes,
                bindings, traceparent, job.left,
            )  # fmt: skip
            if pair.stay is not None:
                self._streams.land(pair, index)
            if sent_ns is not None:
                late.append(sent_ns - due_ns)
            if failure is None:
                stage.answered += 1
                stage.row = 0
            else:
                self._failed(stage, failure)
            if pair.supplying or pair.dependents is not None:
                self._pass_on(pair, index, outcome)
            pair.left = left = pair.left - 1
            if not left:
                ended.append(pair)
            elif pair.after >= 0 and index == self._twins[pair.after]:
                held.append(pair)
        self.lateness.extend(late)
        job = landed[-1]  # one of each turn is sample enough, and costs the others nothing
        if job.sent_ns is not None:
            self.latency.add(job.end_ns - job.sent_ns)
        for pair in ended:
            self._finish(pair)
        for pair in held:
            self._begin(pair)

    def _failed(self, stage: Stage, failure: Failure) -> None:
        stage.count_failure(failure, self._options.breaker_failures)
        self._broken = self._broken or (stage.breaker is not None and all_broken(self.stages))

    def _pass_on(self, pair: Pair, index: int, outcome: Outcome) -> None:
        """Keep what one build answered for later requests, and let go what waited for it."""
        if pair.supplying:
            self.supplies.keep(pair.exchange, pair.planned.position, pair.iteration, index, outcome)
        if pair.dependents is not None:
            self._waiting.release(pair, index, self._now_ns())

    def _opened(self, pair: Pair, index: int) -> None:
        """A build has begun to answer a stream, or said more on it: what waited for it may go on."""
        if pair.after >= 0 and index == self._twins[pair.after]:
            self._begin(pair)
        self._wake()

    def _may_leave(self, stream: Pair) -> bool:
        return bool(self.stopped) or self._ahead.is_past_leaving(stream)

    def _later(self, wait_s: float, function: Callable[[], None]) -> Handle:
        assert self._loop is not None
        return self._loop.call_later(wait_s, function)

    def _finish(self, pair: Pair) -> None:
        self._active -= 1
        self._waiting.forget(pair)
        if self._streams.listening or pair.stay is not None:
            self._streams.finish(pair)
        self.sent += 1
        outcomes: tuple[Outcome, ...] = tuple(pair.outcomes)  # type: ignore[arg-type]  # none is missing: left is 0
        iteration, position = pair.key
        self._record(Performance(position, pair.exchange, outcomes, None, iteration))

    def _finish_skipped(self, pair: Pair, reason: str) -> None:
        self._waiting.forget(pair)
        self._streams.finish(pair)
        if pair.dependents is not None:
            self._waiting.release_all(pair, self._now_ns())
        self._skip(pair.planned, pair.iteration, reason)

    def _skip(self, planned: Planned, iteration: int, reason: str) -> None:
        self.skipped[reason] += 1
        self._record(Performance(planned.position, planned.exchange, (), reason, iteration))

    def _resolvable(self, pair: Pair) -> bool:
        """False where the current or the reference build lacks a value that this request needs.

        A candidate that lacks it is sent the recorded value: that it gave none is its own difference, and what follows
        shows as a consequence.
        """
        session, blocked = pair.exchange.session, pair.blocked
        return all(
            self.supplies.resolvable(pair.links, session, pair.iteration, index)
            for index, stage in enumerate(self.stages)
            if stage.role != "candidate" and (blocked is None or not blocked[index])
        )

    async def _tick(self) -> None:
        """Let builds that are ready go on without those that are not, after the bound."""
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._now_ns()
            if self.stopped and now - self._stopped_ns > self._options.drain_ns:
                self.abandon()
            self._streams.look(over=bool(self.stopped) or self._ahead.ended)
            self._waiting.part(now, self._options.pair_wait_ns, begun_only=bool(self.stopped))
            self._wake()
