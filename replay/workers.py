"""The same performance in several processes of this machine, split by session; a process that dies is replaced."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any

from capture.clock import Clock
from capture.errors import RunFailed, UnderstudyError
from replay.run_task import ShareTask, perform_task
from replay.signals import handled

__all__ = ["perform_in_workers"]

_ATTEMPTS_MAX = 3
_LEAD_NS = 1_500_000_000
"""How long the processes have to start before the common schedule begins."""


def _work(task: ShareTask, index: int, count: int, start_ns: int, pipe: connection.Connection) -> None:
    """The main function of a process: perform, say what came of it, end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_early)
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    said: dict[str, Any] | str
    try:
        said = perform_task(task, index, count, start_ns)
    except UnderstudyError as error:
        said = str(error)
    with contextlib.suppress(BrokenPipeError):  # nobody is there to hear it; what was performed is in the run
        pipe.send(said)


def _end_with_parent() -> None:
    """Nobody would end what the first process began where it was killed."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _end_early(_number: int, _frame: object) -> None:
    """SIGTERM before the performance listens to it: nothing of this share is under way."""
    raise RunFailed("ended by SIGTERM")


class _Worker:
    """One process at work on one share."""

    def __init__(self, task: ShareTask, index: int, count: int, start_ns: int, attempt: int) -> None:
        context = get_context("spawn")
        self.index = index
        self.attempt = attempt
        self.pipe, theirs = context.Pipe(duplex=False)
        self.process: BaseProcess = context.Process(
            target=_work, args=(task, index, count, start_ns, theirs), name=f"replay-{index + 1}", daemon=True
        )
        self.process.start()
        theirs.close()

    def result(self) -> dict[str, Any] | str | None:
        """Its summary, the error it ended with, or None where it died without a word."""
        try:
            said = self.pipe.recv() if self.pipe.poll() else None
        except EOFError:
            said = None
        self.process.join(10)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(10)
        self.pipe.close()
        return said if isinstance(said, dict | str) else None


def perform_in_workers(task: ShareTask) -> tuple[list[dict[str, Any]], RunFailed | None]:
    """Perform all shares; the summaries of those that ended well, and why one did not.

    A process that dies (killed, out of memory) is replaced, and the new one performs what the run does not have yet of
    its share, at most twice. SIGINT and SIGTERM end all of them, with what is in flight finished.
    """
    count = task.config.workers
    start_ns = Clock().now_ns() + _LEAD_NS
    running = [_Worker(task, index, count, start_ns, 1) for index in range(count)]
    summaries: list[dict[str, Any]] = []
    error: RunFailed | None = None
    ended = "ended by SIGTERM"  # what a worker says that heard of it from here
    with _passing_on_signals(running) as ending:
        while running:
            ready = connection.wait([worker.process.sentinel for worker in running] + [w.pipe for w in running], 1.0)
            for worker in [w for w in running if w.pipe in ready or w.process.sentinel in ready]:
                running.remove(worker)
                result = worker.result()
                if isinstance(result, dict):
                    summaries.append(result)
                elif isinstance(result, str):
                    error = RunFailed(result)
                elif worker.attempt < _ATTEMPTS_MAX and not ending:
                    now = Clock().now_ns()
                    running.append(_Worker(task, worker.index, count, now + _LEAD_NS, worker.attempt + 1))
                elif ending and worker.process.exitcode in (-signal.SIGTERM, -signal.SIGINT):
                    error = error or RunFailed(ended)  # before it had begun
                else:
                    status = worker.process.exitcode
                    error = RunFailed(f"the process of share {worker.index + 1} of {count} died (status {status})")
        if ending:
            why = f"ended by {signal.Signals(ending[0]).name}"
            summaries = [{**said, "stopped": why} if said["stopped"] == ended else said for said in summaries]
            error = RunFailed(why) if error is not None and str(error).endswith(ended) else error
    return summaries, error


@contextlib.contextmanager
def _passing_on_signals(running: list[_Worker]) -> Iterator[list[int]]:
    """What ends this process ends the workers: gently at first, at once when it comes again."""

    def end(got: list[int]) -> None:
        for worker in running:
            if len(got) > 2:
                worker.process.kill()
            else:
                worker.process.terminate()

    try:
        with handled(end) as got:
            yield got
    finally:
        deadline = time.monotonic() + 10
        for worker in running:
            worker.process.terminate()
            worker.process.join(max(deadline - time.monotonic(), 0.1))
            worker.process.kill()
