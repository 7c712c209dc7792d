"""Answers under way that nobody waits for to their end: who may go on once they are open, and when they are left.

The requests that production sent while it listened are sent while the stream is open on each build, and a stream is
left only when they are answered: an MCP server answers on one what is posted beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from replay.clients.base import Job
from replay.pair import Pair
from replay.stage import Options, Stage
from replay.stay import GRACE_NS, Stay, has_enough, is_event_stream, listen_ns
from replay.supplies import Supplies
from replay.waiting import Waiting

__all__ = ["Beside", "Handle", "Streams"]

_LOOK_SHARE = 10
"""Looking for values in a stream that grows may take one part in so many of the time."""


class Handle(Protocol):
    """What was put off, and may be called off."""

    def cancel(self) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Beside:
    """What streams share with the rest of a performance.

    opened: told of a pair and build whose answer has begun, and again each time more has come while requests wait for
    it. may_leave: whether all requests that production sent before it left that pair have been admitted. later: calls a
    function after so many seconds.
    """

    supplies: Supplies
    waiting: Waiting
    opened: Callable[[Pair, int], None]
    may_leave: Callable[[Pair], bool]
    later: Callable[[float, Callable[[], None]], Handle]


class _Open:
    """One answer of one build that is listened to. bytes: of its body so far; due_ns: when its time is up, None before
    its first byte; enough: whether so many bytes, `judged_bytes`, were as much as production had."""

    __slots__ = ("bytes", "due_ns", "enough", "job", "judged_bytes", "stay", "told_bytes")

    def __init__(self, job: Job, stay: Stay) -> None:
        self.job = job
        self.stay = stay
        self.due_ns: int | None = None
        self.bytes = 0
        self.told_bytes = -1
        self.judged_bytes = -1
        self.enough = False


class Streams:
    """The streams of one performance; the owner calls `look` every tick.

    speed: of a recorded pace, None for another. apart: pairs that are open on every build; they take no place in a
    closed loop, as long as they are no more than options.streams_max. listening: whether production listened to
    anything while what is admitted now was sent.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        options: Options,
        now_ns: Callable[[], int],
        speed: float | None,
        beside: Beside,
    ) -> None:
        self._stages = stages
        self._options = options
        self._now_ns = now_ns
        self._speed = speed
        self._beside = beside
        self._open: dict[tuple[Pair, int], _Open] = {}
        self._listened: dict[tuple[int, str], list[Pair]] = {}
        self._apart: set[Pair] = set()
        self._telling: dict[tuple[Pair, int], Handle] = {}
        self._look_soon = False

    @property
    def apart(self) -> int:
        """How many pairs take no place in a closed loop."""
        return len(self._apart)

    @property
    def listening(self) -> bool:
        """True where a request that is admitted may be one that production sent beside a stream."""
        return bool(self._listened)

    def admit(self, pair: Pair) -> None:
        """A pair begins its way, in plan order: the streams that production listened to meanwhile are held for it."""
        stay, key = pair.stay, (pair.iteration, pair.exchange.session)
        if stay is None or stay.answered:
            for stream in self._listened.get(key, ()):
                if stream.beside is not None and stream.is_before_leaving(pair):
                    stream.beside.add(pair)
        if stay is not None and stay.left_ns is not None and stay.answered:
            pair.beside = set()
            self._listened.setdefault(key, []).append(pair)

    def send(self, pair: Pair, index: int, job: Job) -> None:
        """A job of a pair that is not waited for to its end is about to be sent to the build of that index."""
        stay = pair.stay
        assert stay is not None
        job.stays = stay.answered
        job.heard = self._hear
        self._open[pair, index] = _Open(job, stay)

    def land(self, pair: Pair, index: int) -> None:
        """The job of that build has ended, in whatever way."""
        self._open.pop((pair, index), None)
        telling = self._telling.pop((pair, index), None)
        if telling is not None:
            telling.cancel()

    def finish(self, pair: Pair) -> None:
        """A pair has all its outcomes, or is not sent."""
        self._apart.discard(pair)
        key = (pair.iteration, pair.exchange.session)
        streams = self._listened.get(key, [])
        for stream in streams:
            if stream.beside is not None:
                stream.beside.discard(pair)
        if pair.beside is not None:
            pair.beside = None
            streams.remove(pair)
            if not streams:
                del self._listened[key]

    def close(self) -> None:
        """Tell nothing more."""
        for telling in self._telling.values():
            telling.cancel()
        self._telling.clear()

    # -- what comes -------------------------------------------------------------------------------------------------

    def _hear(self, job: Job, body_bytes: int) -> None:
        pair, index = job.context[:2]
        entry = self._open.get((pair, index))
        if entry is None:
            return
        entry.bytes = body_bytes
        if entry.due_ns is None:
            if not self._begin(entry, pair, index):
                return
            self._tell_in(0, pair, index)
        elif pair.dependents and (pair, index) not in self._telling:
            self._tell_in(0, pair, index)
        if self._speed is None and entry.bytes >= entry.stay.body_bytes and not self._look_soon:
            self._look_soon = True
            self._beside.later(0, self.look)

    def _begin(self, entry: _Open, pair: Pair, index: int) -> bool:
        """An answer has begun; False where it is waited for to its end after all."""
        stay = entry.stay
        head = self._stages[index].client.peek(entry.job)
        known = stay.certain or (head is not None and is_event_stream(head.headers))
        if not known or not stay.answered:
            # No stream; or production's client went without a byte, this build has one, and may end what it began.
            entry.job.stays, entry.job.heard = False, None
            del self._open[pair, index]
            return False
        entry.due_ns = self._now_ns() + listen_ns(stay, self._speed, self._options.stream_ns)
        if pair.opened is None:
            pair.opened = [False] * len(self._stages)
        pair.opened[index] = True
        if all(pair.opened) and len(self._apart) < self._options.streams_max:
            self._apart.add(pair)
        return True

    def stir(self, pair: Pair) -> None:
        """Somebody has begun to wait for this pair: tell again what has come of it."""
        for index in range(len(self._stages)):
            entry = self._open.get((pair, index))
            if entry is not None and entry.due_ns is not None and (pair, index) not in self._telling:
                entry.told_bytes = -1
                self._tell_in(0, pair, index)

    def _tell_in(self, wait_s: float, pair: Pair, index: int) -> None:
        self._telling[pair, index] = self._beside.later(wait_s, partial(self._tell, pair, index))

    def _tell(self, pair: Pair, index: int) -> None:
        """Tell what has come; again when more has, but not for more than a part of the time."""
        self._telling.pop((pair, index), None)
        entry = self._open.get((pair, index))
        if entry is None or entry.told_bytes == entry.bytes:
            return
        begun = self._now_ns()
        arrived = self._stages[index].client.peek(entry.job)
        if arrived is None:
            return
        entry.told_bytes = entry.bytes
        planned, beside = pair.planned, self._beside
        if pair.supplying:
            beside.supplies.keep_response(planned.exchange, planned.position, pair.iteration, index, arrived)
        if pair.dependents:
            beside.waiting.release_beside(pair, index, self._now_ns(), self._has_all)
        beside.opened(pair, index)
        if pair.dependents and (pair, index) in self._open:
            self._tell_in(_LOOK_SHARE * (self._now_ns() - begun) / 1e9, pair, index)

    def _has_all(self, stream: Pair, pair: Pair, index: int) -> bool:
        """True where a build has given all that a request carries of a stream."""
        links = stream.links_of(pair)
        return self._beside.supplies.resolvable(links, pair.exchange.session, pair.iteration, index)

    # -- when to leave ----------------------------------------------------------------------------------------------

    def look(self, over: bool = False) -> None:
        """Leave what may be left now. over: nothing new is sent, and nothing is listened to any longer."""
        self._look_soon = False
        now = self._now_ns()
        for (pair, index), entry in list(self._open.items()):
            if entry.due_ns is not None:
                if self._may_leave(entry, entry.due_ns, pair, index, now, over):
                    self._leave(entry, pair, index, now, over)
            elif not entry.stay.answered:
                self._give_up(entry, pair, index, now)

    def _may_leave(self, entry: _Open, due_ns: int, pair: Pair, index: int, now: int, over: bool) -> bool:
        if over or now >= due_ns + self._options.timeout_ns:
            return True
        if not self._beside.may_leave(pair) or any(_is_held_for(pair, other, index) for other in pair.beside or ()):
            return False
        one_ended = any(one is not None and one.response is not None and not one.left for one in pair.outcomes)
        if self._speed is None and entry.stay.body_bytes and not one_ended and self._has_enough(entry, index):
            return True  # as fast as the builds answer; where one has ended it, whether this one does is to be seen
        listened_ns = due_ns - (entry.job.first_byte_ns or due_ns)
        return now >= due_ns and (now >= due_ns + max(GRACE_NS, listened_ns // 4) or self._has_enough(entry, index))

    def _has_enough(self, entry: _Open, index: int) -> bool:
        if entry.judged_bytes != entry.bytes:
            entry.judged_bytes = entry.bytes
            entry.enough = entry.bytes >= entry.stay.body_bytes
            if not entry.enough and entry.stay.lines and 2 * entry.bytes > entry.stay.body_bytes:
                arrived = self._stages[index].client.peek(entry.job)
                entry.enough = arrived is not None and has_enough(entry.stay, arrived)
        return entry.enough

    def _leave(self, entry: _Open, pair: Pair, index: int, now: int, over: bool) -> None:
        """Leave; a build that alone says nothing on a stream that others speak on is given until the timeout."""
        client, job, timeout_ns = self._stages[index].client, entry.job, self._options.timeout_ns
        if over or entry.bytes or not entry.stay.body_bytes or not self._others_speak(pair, index):
            client.leave(job)
        elif now - (job.sent_ns or now) >= timeout_ns:
            client.leave(job, f"nothing came on the stream within {timeout_ns / 1e9:g} s, and on others it did")

    def _others_speak(self, pair: Pair, index: int) -> bool:
        for other, outcome in enumerate(pair.outcomes):
            entry = self._open.get((pair, other))
            ended = outcome is not None and outcome.response is not None and outcome.response.body
            if other != index and (ended or (entry is not None and entry.bytes)):
                return True
        return False

    def _give_up(self, entry: _Open, pair: Pair, index: int, now: int) -> None:
        """Production's client had no answer when it left: so it is here, unless one of the builds has answered."""
        job = entry.job
        if job.sent_ns is None or any(one is not None and one.response is not None for one in pair.outcomes):
            return
        patience_ns = max(listen_ns(entry.stay, self._speed, self._options.stream_ns), GRACE_NS)
        # Before the client gives up by itself, which would not say that production had given up as well.
        patience_ns = min(patience_ns, self._options.first_byte_ns * 4 // 5)
        if now - job.sent_ns >= patience_ns:
            job.left = True
            detail = f"no byte within {patience_ns / 1e9:g} s; production's client had left without one"
            self._stages[index].client.leave(job, detail)


def _is_held_for(stream: Pair, pair: Pair, index: int) -> bool:
    """True where a request beside a stream has not been answered by that build, nor begun to be as a stream.

    One that still waits for a value of the stream itself does not hold it: the value may never come.
    """
    if pair.outcomes[index] is not None or pair.is_open_on(index):
        return False
    return pair not in (stream.dependents or ()) or (stream.freed is not None and (pair, index) in stream.freed)
