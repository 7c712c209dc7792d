"""The shares of a run's sessions observed by several processes of this machine at the same time; a thin shell."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from capture.errors import RunFailed
from diff.judge import Observe
from diff.share import Share, Task, observe_shares

__all__ = ["observe_in_processes"]


def observe_in_processes(workers: int) -> Observe:
    """What observes the shares of a run in that many processes, 0 for one on each core that this process may use.

    A run of few shares takes no more processes than it has shares; one share is observed in this process. Raises
    RunFailed where a process died.
    """

    def observe(task: Task) -> list[Share]:
        count = min(workers or _cores(), task.count)
        if count == 1:
            return observe_shares(task, range(task.count))
        # Every process reads the whole run, which is a small part of the work, and compares its own sessions.
        portions = [range(first, task.count, count) for first in range(count)]
        with ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_leave_signals) as pool:
            try:
                found = list(pool.map(_observe, [task] * count, portions))
            except BrokenProcessPool as error:
                raise RunFailed(
                    f"{task.subject.where}: a judging process died (killed, or out of memory); try fewer: --workers 1"
                ) from error
        shares = {
            number: share
            for portion, group in zip(portions, found, strict=True)
            for number, share in zip(portion, group, strict=True)
        }
        return [shares[number] for number in range(task.count)]

    return observe


def _observe(task: Task, portion: Sequence[int]) -> list[Share]:
    return observe_shares(task, portion)


def _leave_signals() -> None:
    """Ctrl-C reaches every process of a terminal; the first one ends the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
