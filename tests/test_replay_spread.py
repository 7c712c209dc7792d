"""The same performance on a real Dask cluster of processes, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import pytest

from capture.errors import RunFailed, UsageError
from replay import spread
from replay.builds import Build
from replay.run import open_run
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
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50
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
    (share,) = run.manifest["begun_again"]
    assert share["attempts"] == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_shares_wherever_they_are_and_the_run_can_be_resumed(
    tmp_path: Path, number: signal.Signals
) -> None:
    recorded = [exchange(n, get(f"/ok?{n}"), session=f"user-{n % 40}", took_ms=0.2) for n in range(3000)]
    write_log(tmp_path / "log", recorded)
    with (
        serving() as server,
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", silence_logs=50
        ) as cluster,
    ):
        # The workers have another working directory than the command, whose paths are relative.
        command = [sys.executable, "-m", "understudy", "replay", "log", "--current", server.url]
        command += ["--candidate", server.url, "--run", "run", "--cluster", cluster.scheduler_address]
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        first = subprocess.Popen(
            [*command, "--rate", "50"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            deadline = time.monotonic() + 60
            while len(server.requests) < 60 and time.monotonic() < deadline:
                time.sleep(0.02)
            first.send_signal(number)
            _, err = first.communicate(timeout=60)
        finally:
            first.kill()
            first.wait()
        assert first.returncode == 4, err
        assert f"partial (ended by {number.name})" in err
        run = open_run(tmp_path / "run")
        assert 0 < run.ledger["planned"] < 3000
        assert run.ledger == run.count()
        assert len(server.requests) == 2 * run.ledger["sent"]  # none of it goes on unseen
        again = subprocess.run(
            [*command, "--resume"],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        assert again.returncode == 0, again.stderr
        assert len(server.requests) == 6000
    assert open_run(tmp_path / "run").ledger["answered"] == {"current": 3000, "candidate": 3000}


def test_a_cluster_that_has_lost_all_its_workers_ends_the_run_which_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("replay.spread._NO_WORKERS_S", 0.5)
    monkeypatch.setattr("replay.spread._LOOK_S", 0.5)
    recorded = [exchange(n, get(f"/ok?{n}"), session=f"user-{n % 40}", took_ms=0.2) for n in range(3000)]
    log = write_log(tmp_path / "log", recorded)
    workers: list[subprocess.Popen[bytes]] = []
    with (
        serving() as server,
        distributed.LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        distributed.Client(cluster.scheduler_address, set_as_default=False) as client,
    ):
        command = [sys.executable, "-m", "distributed.cli.dask_worker", cluster.scheduler_address]
        try:
            for _ in range(2):  # without what would start another in the place of one that dies
                workers.append(subprocess.Popen([*command, "--no-nanny", "--nthreads", "1", "--no-dashboard"]))
            client.wait_for_workers(2, timeout=60)

            def kill_all() -> None:
                deadline = time.monotonic() + 60
                while len(server.requests) < 100 and time.monotonic() < deadline:
                    time.sleep(0.02)
                for worker in workers:
                    worker.kill()

            killer = threading.Thread(target=kill_all)
            killer.start()
            builds = [Build("current", "current", server.url), Build("candidate", "candidate", server.url)]
            run = run_replay(ReplayConfig(rate=50.0, cluster=cluster.scheduler_address), log, builds, tmp_path / "run")
            killer.join(60)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait(20)
    assert run.partial
    assert "the cluster has had no workers" in run.manifest["partial_reason"]
    assert run.ledger == run.count()


def test_a_share_begins_by_the_clock_of_the_machine_that_it_is_performed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def run(self, function: object, workers: list[str]) -> dict[str, object]:
            return {"tcp://gone": "unreachable"} if workers == ["tcp://gone"] else {workers[0]: 3_600_000_000_000}

    clock = iter([0, 10, 20, 30])
    offsets = spread.clock_offsets(Client(), ["tcp://ahead", "tcp://gone"], lambda: next(clock))
    assert offsets == {"tcp://ahead": 3_600_000_000_000 - 5}
    begun = []
    monkeypatch.setattr(spread, "perform_task", lambda task, index, count, start_ns: begun.append(start_ns) or {})
    for address in ("tcp://ahead", "tcp://later"):
        monkeypatch.setattr("distributed.get_worker", lambda address=address: types.SimpleNamespace(address=address))
        spread.perform_there(None, 0, 2, 1_000, offsets)  # type: ignore[arg-type]
    assert begun == [1_000 + 3_600_000_000_000 - 5, None]


def test_more_shares_than_the_cluster_performs_at_once_are_refused(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", [exchange(0, get("/ok"))])
    with (
        serving() as server,
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as cluster,
    ):
        builds = [Build("current", "current", server.url), Build("candidate", "candidate", server.url)]
        with pytest.raises(UsageError, match="--workers 2: the workers of the cluster have 1 threads"):
            run_replay(ReplayConfig(cluster=cluster.scheduler_address, workers=2), log, builds, tmp_path / "run")
        assert server.requests == []
        assert not (tmp_path / "run").exists()


def test_a_scheduler_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("replay.spread._CONNECT_S", 1)
    log = write_log(tmp_path / "log", [exchange(0, get("/ok"))])
    with serving() as server:
        builds = [Build("current", "current", server.url), Build("candidate", "candidate", server.url)]
        with pytest.raises(RunFailed, match="no Dask scheduler answers there"):
            run_replay(ReplayConfig(cluster="tcp://127.0.0.1:9"), log, builds, tmp_path / "run")
        assert server.requests == []
        assert not (tmp_path / "run").exists()
