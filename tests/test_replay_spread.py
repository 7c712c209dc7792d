"""The same performance on a real Dask cluster of processes, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from capture.errors import RunFailed
from replay.builds import Build
from replay.run_replay import run_replay
from replay.settings import ReplayConfig
from tests.support.replaying import serving, write_log
from tests.support.rude import exchange, get

distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.net,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of the cluster's own sockets, when it is torn down
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_a_worker_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    recorded = [exchange(n, get(f"/ok?{n}"), session=f"user-{n % 40}", took_ms=0.2) for n in range(500)]
    log = write_log(tmp_path / "log", recorded)
    with (
        serving() as server,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
    ):
        pids = [worker.process.pid for worker in cluster.workers.values()]
        builds = [Build("current", "current", server.url), Build("candidate", "candidate", server.url)]
        config = ReplayConfig(rate=100.0, cluster=cluster.scheduler_address)

        def kill_one() -> None:
            deadline = time.monotonic() + 30
            while len(server.requests) < 200 and time.monotonic() < deadline:
                time.sleep(0.02)
            os.kill(pids[0], signal.SIGKILL)

        killer = threading.Thread(target=kill_one)
        killer.start()
        run = run_replay(config, log, builds, tmp_path / "run")
        killer.join(30)
    assert not run.partial, run.manifest["partial_reason"]
    assert sorted(performance.position for performance in run.performances()) == list(range(500))
    assert run.ledger["answered"] == {"current": 500, "candidate": 500}
    assert run.ledger["planned"] == 500 == run.ledger["sent"]


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.spread._CONNECT_S", 1)
    log = write_log(tmp_path / "log", [exchange(0, get("/ok"))])
    with serving() as server:
        builds = [Build("current", "current", server.url), Build("candidate", "candidate", server.url)]
        with pytest.raises(RunFailed, match="no Dask scheduler answers there"):
            run_replay(ReplayConfig(cluster="tcp://127.0.0.1:9"), log, builds, tmp_path / "run")
        assert server.requests == []
