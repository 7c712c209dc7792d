"""The same performance on a Dask cluster, split by session; log and run lie where all workers reach them."""

from __future__ import annotations

from typing import Any

from capture.clock import Clock
from capture.errors import RunFailed, UsageError
from replay.run_task import ShareTask, perform_task

__all__ = ["perform_on_cluster"]

_RETRIES = 2
_LEAD_NS = 2_000_000_000
_CONNECT_S = 10


def perform_on_cluster(task: ShareTask, address: str) -> tuple[list[dict[str, Any]], RunFailed | None]:
    """Perform all shares on the workers of a Dask scheduler; the summaries, and why a share was not performed.

    One share for each worker, or `config.workers` of them where that is more than one. A share whose worker dies is
    given to another one by the scheduler, and what the run has of it already is not performed again. Raises UsageError
    without the package, RunFailed where the scheduler is not there or has no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--cluster needs the package distributed: pip install 'understudy[cluster]'") from None
    try:
        client: Any = Client(address, timeout=_CONNECT_S, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as refusal:
        raise RunFailed(f"--cluster {address}: no Dask scheduler answers there: {refusal}") from None
    with client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        if not workers:
            raise RunFailed(f"--cluster {address}: the scheduler has no workers; start some, then try again")
        count = task.config.workers if task.config.workers > 1 else workers
        start_ns = Clock().now_ns() + _LEAD_NS
        futures = [
            client.submit(
                perform_task, task, index, count, start_ns, pure=False, retries=_RETRIES,
                key=f"understudy-{task.run_id}-{index}-{start_ns}",
            )
            for index in range(count)
        ]  # fmt: skip
        summaries: list[dict[str, Any]] = []
        error: RunFailed | None = None
        for index, future in enumerate(futures):
            problem = future.exception()
            if problem is None:
                summaries.append(future.result())
            else:
                error = RunFailed(f"share {index + 1} of {count} was not performed to its end: {problem}")
        return summaries, error
