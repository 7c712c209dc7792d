"""Several relay processes behind one port: started, watched, restarted, added up and stopped by one parent.

Each worker has its own listening socket on the shared port (SO_REUSEPORT), its own capture and its own segment stream.
It tells the parent its state twice a second and its final counts at the end. A worker that dies is started again; its
counts, which stand in memory that the parent holds, stay in the sum, and what was under way is shed as `worker_died`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import json
import logging
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from capture.conservation import Conservation
from capture.count_board import CountBoard, board_file
from capture.errors import BadInput, RunFailed, UnderstudyError, UsageError
from capture.live import Change, changed_sampling, holding
from capture.sources.relay.messages import say, set_up_messages
from capture.sources.relay.run import RelayRun, Worker, run_relay
from capture.sources.relay.status import merge

__all__ = ["Fleet", "worker_main"]

_STATE_S = 0.5
_FOLLOW_S = 3.0
_RESTART_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_LINE_BYTES_MAX = 1 << 20
_START_S = 60.0
_SEAL_S = 30.0
_LENGTH = struct.Struct("!I")
_OF_THE_LIVING = ("active", "in_flight", "queue_records", "queue_bytes", "rss_bytes", "workers", "guard_off")
_CODE = "from capture.sources.relay.workers import worker_main; worker_main()"


@dataclasses.dataclass(slots=True)
class _Member:
    """One place in the fleet. state: the latest of the process that holds it; final: its last word, once it ended.

    board: where the process writes its counts as they change. revision: number of the last change that it follows.
    told: its process was told to stop, and is not told again on our own account: a second signal would cut off what is
    under way.
    """

    number: int
    sockets: list[socket.socket]
    process: subprocess.Popen[bytes] | None = None
    board: CountBoard | None = None
    state: dict[str, Any] | None = None
    final: Conservation | None = None
    error: UnderstudyError | None = None
    writer: asyncio.StreamWriter | None = None
    deaths: int = 0
    revision: int = 0
    told: bool = False


class Fleet:
    """The parent of several workers. run: what each of them is given, but for its number."""

    def __init__(self, run: RelayRun, sockets: list[list[socket.socket]], messages: str) -> None:
        self._now = run.change_at(time.time_ns())
        self.run = dataclasses.replace(run, changed=self._now)
        self._messages = messages
        self._members = [_Member(number, own) for number, own in enumerate(sockets)]
        self._buried: list[dict[str, Any]] = []
        self._counts = Conservation()
        self._stopping = False
        self._ready: list[asyncio.Event] = []
        self._revision = 0
        self._heard = asyncio.Event()
        self._reload_failed = False

    async def serve(self, on_listening: Callable[[Fleet], Awaitable[None]]) -> Conservation:
        """Run all workers until SIGTERM or SIGINT; the sum of their counts. Raises what kept one from starting."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._ready = [asyncio.Event() for _ in self._members]
        keeping = [loop.create_task(self._keep(member)) for member in self._members]
        listening = loop.create_task(self._all_ready())
        done, _ = await asyncio.wait({listening, *keeping}, return_when=asyncio.FIRST_COMPLETED)
        if listening in done:
            await on_listening(self)
        else:
            self._stop()
        await asyncio.gather(*keeping)
        listening.cancel()
        for member in self._members:
            if member.error is not None:
                raise member.error
        return self._counts

    def state(self) -> dict[str, Any]:
        """The states of all workers, and of those that died, as one."""
        states = [_as_now(member, self.run.scribe) for member in self._members if member.state is not None]
        total = merge([*self._buried, *states])
        total["reload_failed"] = int(self._reload_failed or any(state["reload_failed"] for state in states))
        return total

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._members)

    @property
    def stopping(self) -> bool:
        """True once no new connection is accepted."""
        return self._stopping

    def close(self) -> None:
        """Close the sockets that were kept for restarts."""
        for member in self._members:
            for sock in member.sockets:
                sock.close()

    async def _all_ready(self) -> None:
        for event in self._ready:
            await event.wait()

    def _stop(self) -> None:
        self._stopping = True
        for member in self._members:
            self._tell_to_stop(member)

    def _tell_to_stop(self, member: _Member) -> None:
        member.told = True
        self._signal(member, signal.SIGTERM)

    def _signal(self, member: _Member, number: signal.Signals) -> None:
        if member.process is not None and member.process.poll() is None:
            member.process.send_signal(number)

    def _reload(self) -> None:
        for member in self._members:
            self._signal(member, signal.SIGHUP)
        if self.run.reload is None:
            return
        try:
            self._tell_all(self.run.reload(time.time_ns()))
        except UnderstudyError as error:
            self._reload_failed = True
            say(f"configuration not reloaded, the old one holds: {error}", logging.ERROR)
        else:
            self._reload_failed = False

    def _tell_all(self, change: Change) -> None:
        """Have every worker follow the change; one that is started later begins with it."""
        self._now = change
        self._revision += 1
        self.run = dataclasses.replace(self.run, changed=change)
        for member in self._members:
            self._tell(member)

    def _tell(self, member: _Member) -> None:
        if member.writer is not None:
            package = base64.b64encode(pickle.dumps(self._now)).decode()
            member.writer.write(json.dumps({"change": package, "revision": self._revision}).encode() + b"\n")

    async def change_sampling(self, wanted: Mapping[str, Any] | None) -> dict[str, Any]:
        """What holds now in all workers, after `wanted` was changed where something is; waits for them, but not long.

        Raises UsageError, and nothing changes. workers_following: how many have confirmed the latest change.
        """
        if wanted is not None:
            capture = changed_sampling(self._now.capture, wanted)
            self._tell_all(dataclasses.replace(self._now, capture=capture, at_ns=time.time_ns(), by="admin"))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FOLLOW_S):
                while len(self._following()) < len(self._members):
                    self._heard.clear()
                    await self._heard.wait()
        following = self._following()
        ratio = max((member.state["sampling_ratio"] for member in following if member.state is not None), default=0.0)
        return holding(self._now, ratio, len(self._members), len(following))

    def _following(self) -> list[_Member]:
        return [member for member in self._members if member.state is not None and member.revision == self._revision]

    async def _keep(self, member: _Member) -> None:
        """Start the worker, listen to it, and start it again when it dies, until the fleet stops."""
        while True:
            await self._live(member)
            if self._is_over(member):
                return
            wait_s = _RESTART_S[min(member.deaths, len(_RESTART_S) - 1)]
            member.deaths += 1
            await asyncio.sleep(wait_s)
            if self._is_over(member):
                return

    def _is_over(self, member: _Member) -> bool:
        return self._stopping or member.error is not None

    async def _live(self, member: _Member) -> None:
        """One life of one worker."""
        ours, theirs = socket.socketpair()
        member.told = False
        member.process = self._spawn(member, theirs)
        theirs.close()
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_LINE_BYTES_MAX)
        member.writer = writer
        if member.revision != self._revision:
            self._tell(member)  # changed since it was started, when nobody could tell it
        with contextlib.suppress(OSError, ValueError, asyncio.LimitOverrunError):
            while line := await reader.readline():
                self._hear(member, json.loads(line))
        member.writer = None
        writer.close()
        await self._buried_by(member, asyncio.get_running_loop())

    async def _buried_by(self, member: _Member, loop: asyncio.AbstractEventLoop) -> None:
        process = member.process
        assert process is not None
        try:
            async with asyncio.timeout(_SEAL_S):
                await loop.run_in_executor(None, process.wait)
        except TimeoutError:
            process.kill()
        state, member.state = member.state, None
        final, member.final = member.final, None
        board, member.board = member.board, None
        assert board is not None
        if state is not None:
            state = _at_death(state, board, self.run.scribe) if final is None else _at_end(state, final)
            self._buried.append({**state, **dict.fromkeys(_OF_THE_LIVING, 0), "guard_reasons": {}})
            self._buried[:] = [merge(self._buried)]
            final = final or _settled(state)
        board.close()
        if final is not None:
            self._counts.merge(final)
        if not self._stopping and member.error is None:
            say("a worker died and is started again", logging.ERROR, worker=member.number, status=process.returncode)

    def _spawn(self, member: _Member, channel: socket.socket) -> subprocess.Popen[bytes]:
        fds = [sock.fileno() for sock in member.sockets]
        board_fd = board_file()
        member.board = CountBoard(board_fd)
        run = dataclasses.replace(self.run, reload=None, worker=member.number, board_fd=board_fd)
        member.revision = self._revision
        package = pickle.dumps((run, fds, self._messages, self._revision))
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, str(channel.fileno())],
            pass_fds=[channel.fileno(), board_fd, *fds],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
            # A Ctrl-C of the terminal must reach the parent alone; it passes on what it makes of it.
            start_new_session=True,
        )
        os.close(board_fd)
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(_LENGTH.pack(len(package)) + package)
            process.stdin.close()
        return process

    def _hear(self, member: _Member, message: dict[str, Any]) -> None:
        if "state" in message:
            member.state = message["state"]
            member.revision = message["revision"]
            self._heard.set()
            self._ready[member.number].set()
            if self._stopping and not member.told:
                self._tell_to_stop(member)
        elif "final" in message:
            member.final = Conservation.from_dict(message["final"])
        elif "error" in message:
            kinds = {"UsageError": UsageError, "BadInput": BadInput}
            member.error = kinds.get(message["kind"], RunFailed)(message["error"])


def _as_now(member: _Member, scribe: bool) -> dict[str, Any]:
    """What a living worker said last, with its counts, and those of its log, as they stand now; a scribe's log is that
    of another process."""
    assert member.state is not None
    if member.board is None:
        return member.state
    counts, lost, written = member.board.counts(), member.board.lost(), member.board.written()
    now = {**member.state, "counts": counts.as_dict(), "in_flight": max(0, counts.under_way)}
    if not scribe:
        now["queue_records"] = max(0, _accepted(counts) - written - lost.total())
        now |= {"log_written": written, "log_lost": dict(lost)}
    return now


def _accepted(counts: Conservation) -> int:
    """How many exchanges went to the log."""
    return counts.kept + sum(counts.incomplete.values())


def _at_death(state: dict[str, Any], board: CountBoard, scribe: bool) -> dict[str, Any]:
    """The last state of a worker that left no final counts, with the counts as they stood when it died.

    What was under way, or waited for the log or to be handed to a scribe, is lost.
    """
    counts, lost, written = board.counts(), board.lost(), board.written()
    if counts.under_way > 0:
        counts.shed["worker_died"] += counts.under_way
    waiting = min(counts.kept, _accepted(counts) - written - lost.total())
    if waiting > 0:
        lost["worker_died"] += waiting
    log_written = state["log_written"] if scribe else written
    return {**state, "counts": counts.as_dict(), "log_lost": dict(lost), "log_written": log_written}


def _at_end(state: dict[str, Any], final: Conservation) -> dict[str, Any]:
    """The last state with the final counts, from which the log's losses have been taken: here they stand beside."""
    counts = Conservation.from_dict(final.as_dict())
    for reason, n in state["log_lost"].items():
        counts.kept += n
        counts.shed[reason] -= n
    return {**state, "counts": counts.as_dict()}


def _settled(state: dict[str, Any]) -> Conservation:
    """The counts of a state; what the log accepted and lost is shed."""
    counts = Conservation.from_dict(state["counts"])
    counts.lose(state["log_lost"])
    return counts


def worker_main() -> None:
    """Entry of a worker process: argument is the channel's descriptor, stdin holds what to run."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    (length,) = _LENGTH.unpack(sys.stdin.buffer.read(_LENGTH.size))
    run, fds, messages, revision = pickle.loads(sys.stdin.buffer.read(length))
    set_up_messages(messages)
    sockets = [socket.socket(fileno=fd) for fd in fds]
    background: list[asyncio.Task[None]] = []
    following = _Following(revision)

    async def on_listening(worker: Worker) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=channel.dup(), limit=_LINE_BYTES_MAX)
        background.append(asyncio.create_task(_tell(worker, writer, following)))
        background.append(asyncio.create_task(_obey(worker, reader, following)))

    try:
        final = run_relay(run, sockets, on_listening)
    except UnderstudyError as error:
        _send(channel, {"error": str(error), "kind": type(error).__name__})
        sys.exit(error.exit_code)
    _send(channel, {"final": final.as_dict()})


@dataclasses.dataclass(slots=True)
class _Following:
    """What a worker follows. revision: number of the last change; news: there is something to tell at once."""

    revision: int
    news: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)


async def _tell(worker: Worker, writer: asyncio.StreamWriter, following: _Following) -> None:
    while True:
        following.news.clear()
        message = {"state": worker.state(), "revision": following.revision}
        writer.write(json.dumps(message).encode() + b"\n")
        with contextlib.suppress(OSError):
            await writer.drain()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STATE_S):
                await following.news.wait()


async def _obey(worker: Worker, reader: asyncio.StreamReader, following: _Following) -> None:
    with contextlib.suppress(OSError):
        while line := await reader.readline():
            message = json.loads(line)
            worker.apply(pickle.loads(base64.b64decode(message["change"])))
            following.revision = message["revision"]
            following.news.set()
    # The parent is gone: nobody would start, count or stop us any more.
    os.kill(os.getpid(), signal.SIGTERM)


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        channel.setblocking(True)
        channel.sendall(json.dumps(message).encode() + b"\n")
