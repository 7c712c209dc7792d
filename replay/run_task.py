"""A share of a run as a task for another process: everything it needs by value, the log and the run by their place."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any

from capture.errors import RunFailed
from capture.log.reader import open_log
from capture.settings import LogConfig
from replay.builds import Build
from replay.perform import Performer
from replay.run import RunWriter, open_run
from replay.run_attempts import begin
from replay.run_leash import Led
from replay.run_loop import run_on_loop
from replay.run_share import Share, perform_share
from replay.settings import ReplayConfig

__all__ = ["ShareTask", "perform_task"]


@dataclasses.dataclass(frozen=True, slots=True)
class ShareTask:
    """What every share of one run has in common; log and run_dir must be reachable from every process.

    progress: whether each says in the run directory how far it has come. led: whether each hears there when to end.
    """

    config: ReplayConfig
    log: str
    builds: tuple[Build, ...]
    run_dir: str
    run_id: str
    log_config: LogConfig | None = None
    progress: bool = False
    led: bool = False


def perform_task(task: ShareTask, index: int, count: int, start_ns: int | None) -> dict[str, Any]:
    """Perform one share in this process and thread; its summary.

    What the run has of this share already is not performed again, so a share whose process died can be given to
    another one. Raises RunFailed where it was ended by an error; what it had done is in the run.
    """
    run_dir = Path(task.run_dir)
    earlier = open_run(run_dir)
    begin(run_dir, index)
    with open_log(task.log) as log:
        writer = RunWriter(run_dir, None, task.log_config)
        summary, error = run_on_loop(
            perform_share(
                task.config, log, task.builds, writer, task.run_id, Share(index, count), start_ns=start_ns,
                earlier=earlier, watch=lambda performer, _: _watched(task, index, performer),
            )
        )  # fmt: skip
        writer.close({})
    if error is not None:
        raise RunFailed(f"share {index + 1} of {count}: {error}")
    return summary


def _watched(task: ShareTask, index: int, performer: Performer) -> contextlib.ExitStack:
    """What follows the performer in its loop, to be closed at the end."""
    run_dir = Path(task.run_dir)
    watching = contextlib.ExitStack()
    if task.progress:
        from replay.progress import SaidProgress

        watching.callback(SaidProgress(performer, run_dir, index).close)
    if task.led:
        watching.callback(Led(performer, run_dir).close)
    return watching
