"""The same performance on a Dask cluster, split by session; log and run lie where all workers reach them."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

from capture.clock import Clock
from capture.errors import RunFailed, UsageError
from replay.run_leash import Leash
from replay.run_task import ShareTask, perform_task
from replay.signals import handled

__all__ = ["NoWorkers", "Perform", "clock_offsets", "cluster", "perform_there", "settled"]

_RETRIES = 2
_LEAD_NS = 2_000_000_000
_CONNECT_S = 10
_LOOK_S = 2.0
_NO_WORKERS_S = 60.0
"""Longer than a worker that died takes to be started again."""


Perform: TypeAlias = Callable[[ShareTask], tuple[list[dict[str, Any]], RunFailed | None]]
"""Performs all shares; their summaries, and why a share was not performed."""


@contextlib.contextmanager
def cluster(address: str, workers: int) -> Iterator[Perform]:
    """The workers of a Dask scheduler, which perform a task when there is one.

    workers: how many shares where that is more than 1; else one for each worker. A share whose worker dies is given to
    another one by the scheduler, and what the run has of it already is not performed again. SIGINT and SIGTERM end all
    of them, with what is in flight finished; a second one ends them at once, a third one waits no longer. Raises
    UsageError without the package or without room, RunFailed where the scheduler is not there or has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--cluster needs the package distributed: pip install 'understudy[cluster]'") from None
    try:
        client: Any = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as refusal:
        raise RunFailed(f"--cluster {address}: no Dask scheduler answers there: {refusal}") from None
    with _quiet(), client:
        count = _shares(client, workers, address)

        def perform(task: ShareTask) -> tuple[list[dict[str, Any]], RunFailed | None]:
            leash = Leash(Path(task.run_dir))
            try:
                with _ended_by_signals(leash):
                    return _perform(client, task, count)
            finally:
                leash.close()

        yield perform


def _shares(client: Any, given: int, address: str) -> int:
    """How many shares there are."""
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    if not workers:
        raise RunFailed(f"--cluster {address}: the scheduler has no workers; start some, then try again")
    room = sum(worker["nthreads"] for worker in workers)
    if given > room:
        raise UsageError(
            f"--workers {given}: the workers of the cluster have {room} threads, and a share that waits"
            " for another would be late; give fewer, or start more workers"
        )
    return given if given > 1 else len(workers)


class NoWorkers(RunFailed):
    """The cluster has lost all its workers, and none came back."""


def clock_offsets(client: Any, addresses: Iterable[str], now_ns: Callable[[], int] = time.time_ns) -> dict[str, int]:
    """How far the clock of each worker is ahead of this one, in ns, to about half of the time that asking took.

    Those that could not be asked are missing.
    """
    found = {}
    for address in addresses:
        asked_ns = now_ns()
        theirs = client.run(time.time_ns, workers=[address]).get(address)
        if isinstance(theirs, int):
            found[address] = theirs - (asked_ns + now_ns()) // 2
    return found


def perform_there(
    task: ShareTask, index: int, count: int, start_ns: int, offsets_ns: Mapping[str, int]
) -> dict[str, Any]:
    """Perform one share on the schedule that begins at start_ns of the first process's clock.

    offsets_ns: of the workers' clocks; one that came later has none, and a schedule of its own.
    """
    from distributed import get_worker

    offset_ns = offsets_ns.get(get_worker().address)
    return perform_task(task, index, count, None if offset_ns is None else start_ns + offset_ns)


def settled(client: Any, future: Any, waiting: Callable[[], float] = time.monotonic) -> BaseException | None:
    """Wait for a share; what it failed with, None where it did not.

    NoWorkers where the cluster has had no workers for a minute. waiting: seconds of a clock that does not go back.
    """
    last = waiting()
    while True:
        try:
            return cast("BaseException | None", future.exception(timeout=_LOOK_S))
        except TimeoutError:
            if client.scheduler_info(n_workers=-1)["workers"]:
                last = waiting()
            elif waiting() - last > _NO_WORKERS_S:
                return NoWorkers(f"the cluster has had no workers for {_NO_WORKERS_S:.0f} s; start some, then --resume")


def _perform(client: Any, task: ShareTask, count: int) -> tuple[list[dict[str, Any]], RunFailed | None]:
    offsets_ns = clock_offsets(client, client.scheduler_info(n_workers=-1)["workers"])
    start_ns = Clock().now_ns() + _LEAD_NS
    futures = [
        client.submit(
            perform_there, task, index, count, start_ns, offsets_ns, pure=False, retries=_RETRIES,
            key=f"understudy-{task.run_id}-{index}-{start_ns}",
        )
        for index in range(count)
    ]  # fmt: skip
    summaries: list[dict[str, Any]] = []
    error: RunFailed | None = None
    for index, future in enumerate(futures):
        try:
            problem = settled(client, future)
            if problem is None:
                summaries.append(future.result())
        except (concurrent.futures.CancelledError, OSError, TimeoutError):
            problem = RunFailed("the scheduler of the cluster is gone")
        if problem is not None:
            said = " ".join(str(problem).split()) or type(problem).__name__
            error = RunFailed(f"share {index + 1} of {count} was not performed to its end: {said}")
        if isinstance(problem, NoWorkers):
            client.cancel(futures)
            break
    return summaries, error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the package logs of a lost scheduler is said by us in one line."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def _ended_by_signals(leash: Leash) -> Iterator[None]:
    """What ends this process ends the shares, gently at first."""

    def end(got: list[int]) -> None:
        why = f"ended by {signal.Signals(got[0]).name}"
        if len(got) > 2:
            raise RunFailed(f"{why}, and the cluster was not waited for; its shares end by themselves within a minute")
        leash.end(why)

    with handled(end):
        yield
