"""Several workers on one port: one admin address and one conservation line for all, and a killed one comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from capture.log.reader import open_log
from capture.options import CaptureSettings
from capture.settings import CaptureConfig, GuardConfig, LogConfig, RedactConfig
from capture.sources.relay.address import Address
from capture.sources.relay.run import RelayRun
from capture.sources.relay.server import RelayOptions
from capture.sources.relay.workers import Fleet
from tests.support import nginx
from tests.support.metrics import counters, parse
from tests.support.relay import RelayProcess, relay_process
from tests.test_capture_admin import KEY, admin_of, get

pytestmark = [pytest.mark.net, pytest.mark.slow]

ARGUMENTS = ("--workers", "2", "--admin", "127.0.0.1:0", "--messages", "json")


def site(tmp_path: Path) -> Path:
    (tmp_path / "nginx" / "www").mkdir(parents=True)
    (tmp_path / "nginx" / "www" / "a.txt").write_text("hello")
    return tmp_path / "nginx"


def ask(relay: RelayProcess, times: int) -> None:
    for _ in range(times):
        with urllib.request.urlopen(f"http://127.0.0.1:{relay.port}/a.txt", timeout=10) as answer:
            assert answer.read() == b"hello"


def children(relay: RelayProcess) -> list[int]:
    path = Path(f"/proc/{relay.process.pid}/task/{relay.process.pid}/children")
    return [int(word) for word in path.read_text().split()]


def metrics_until(admin: str, name: str, value: float) -> dict[str, float]:
    """Scrape until a sample has this value: workers tell theirs twice a second."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        samples = parse(get(f"{admin}/metrics")[1])
        if samples.get(name) == value:
            return samples
        time.sleep(0.02)
    raise AssertionError((name, value, samples))


def test_workers_share_the_port_and_their_counts_are_one(tmp_path: Path) -> None:
    with (
        nginx.serve(site(tmp_path)) as port,
        relay_process(f"127.0.0.1:{port}", tmp_path / "log", *ARGUMENTS, environ=KEY) as relay,
    ):
        admin = admin_of(relay)
        assert len(children(relay)) == 2
        ask(relay, 60)
        samples = metrics_until(admin, 'understudy_exchanges_total{fate="kept"}', 60)
        assert samples["understudy_workers"] == 2
        assert samples["understudy_exchanges_seen_total"] == 60
        counts = relay.stop()
    assert (counts.seen, counts.kept) == (60, 60)
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == 60
        assert {segment.meta["worker"] for segment in log.segments} == {0, 1}
        assert log.conservation().as_dict() == counts.as_dict()


def test_a_killed_worker_is_started_again_and_its_counts_stay(tmp_path: Path) -> None:
    with (
        nginx.serve(site(tmp_path)) as port,
        relay_process(f"127.0.0.1:{port}", tmp_path / "log", *ARGUMENTS, environ=KEY) as relay,
    ):
        admin = admin_of(relay)
        ask(relay, 40)
        metrics_until(admin, 'understudy_exchanges_total{fate="kept"}', 40)
        metrics_until(admin, "understudy_queue_records", 0)
        killed, _ = children(relay)
        os.kill(killed, signal.SIGKILL)
        metrics_until(admin, "understudy_workers", 1)
        metrics_until(admin, "understudy_workers", 2)
        assert killed not in children(relay)
        ask(relay, 20)
        counts = relay.stop()
    assert (counts.seen, counts.kept) == (60, 60)


def test_the_metrics_of_several_workers_are_those_of_this_moment(tmp_path: Path) -> None:
    with (
        nginx.serve(site(tmp_path)) as port,
        relay_process(f"127.0.0.1:{port}", tmp_path / "log", *ARGUMENTS, environ=KEY) as relay,
    ):
        admin = admin_of(relay)
        for asked in range(1, 20):
            ask(relay, 1)
            samples = parse(get(f"{admin}/metrics")[1])
            # The answer is passed on before it is looked at: the last exchange may be under way still.
            under_way = samples["understudy_exchanges_in_flight"]
            assert samples["understudy_exchanges_seen_total"] + under_way == asked
            assert under_way <= 1
        relay.stop()


@pytest.mark.parametrize("scribe", ["off", "on"])
def test_a_worker_that_is_killed_at_once_has_counted_every_exchange(tmp_path: Path, scribe: str) -> None:
    arguments = (*ARGUMENTS, "--scribe", scribe)
    with (
        nginx.serve(site(tmp_path)) as port,
        relay_process(f"127.0.0.1:{port}", tmp_path / "log", *arguments, environ=KEY) as relay,
    ):
        admin = admin_of(relay)
        workers = children(relay)
        asked = 0
        for killed in workers:
            ask(relay, 25)
            asked += 25
            os.kill(killed, signal.SIGKILL)
            metrics_until(admin, "understudy_workers", 1)
            metrics_until(admin, "understudy_workers", 2)
        counts = relay.stop()
    assert counts.seen == asked
    with open_log(tmp_path / "log") as log:
        # One that was written at the very moment of a death is in the log, and not known to be.
        assert counts.kept <= len(list(log.exchanges())) <= asked
    # What was on its way: an exchange may be answered before the worker has seen the end of it.
    assert counts.kept + counts.shed["worker_died"] == asked


def test_workers_end_where_their_parent_was_killed(tmp_path: Path) -> None:
    with (
        nginx.serve(site(tmp_path)) as port,
        relay_process(f"127.0.0.1:{port}", tmp_path / "log", *ARGUMENTS, environ=KEY) as relay,
    ):
        ask(relay, 5)
        workers = children(relay)
        relay.process.kill()
        relay.process.wait(10)
        for worker in workers:
            descriptor = os.pidfd_open(worker)
            try:
                assert select.select([descriptor], [], [], 20)[0], "the worker is still there"
            finally:
                os.close(descriptor)
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == 5


def test_a_second_signal_ends_all_workers_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        upstream = "{}:{}".format(*listener.getsockname())
        with (
            relay_process(upstream, tmp_path / "log", *ARGUMENTS, "--drain-seconds", "600", environ=KEY) as relay,
            contextlib.ExitStack() as held,
        ):
            admin = admin_of(relay)
            for _ in range(8):
                client = held.enter_context(socket.create_connection(("127.0.0.1", relay.port), timeout=10))
                client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
                served, _ = listener.accept()
                held.enter_context(served)
                served.settimeout(10)
                assert served.recv(1000)
            relay.process.send_signal(signal.SIGTERM)
            metrics_until(admin, "understudy_draining", 1)
            counts = relay.stop(signal.SIGINT)
    assert (counts.seen, sum(counts.incomplete.values())) == (8, 8)


def test_a_worker_that_was_told_to_stop_is_not_told_again_by_what_it_said_before(tmp_path: Path) -> None:
    """To a worker a second signal says: do not wait for what is under way."""
    where = Address("127.0.0.1", 1)
    run = RelayRun(
        RelayOptions(where, where),
        CaptureSettings(tmp_path, CaptureConfig(), RedactConfig(), LogConfig()),
        GuardConfig(),
        25.0,
    )
    fleet = Fleet(run, [[]], "text")
    (member,) = fleet._members
    fleet._ready = [asyncio.Event()]
    told: list[int] = []
    member.process = cast(Any, SimpleNamespace(poll=lambda: None, send_signal=told.append))
    fleet._stop()
    fleet._hear(member, {"state": {"draining": 0}, "revision": 0})
    assert told == [signal.SIGTERM]
    fleet._stop()
    assert told == [signal.SIGTERM] * 2


def test_no_counter_falls_while_workers_serve_and_one_is_killed(tmp_path: Path) -> None:
    """A counter that falls is a restart to Prometheus, which then takes its whole value for news."""
    with (
        nginx.serve(site(tmp_path)) as port,
        relay_process(
            f"127.0.0.1:{port}", tmp_path / "log", *ARGUMENTS, environ={**KEY, "UNDERSTUDY_LOG_FLUSH_MS": "600000"}
        ) as relay,
    ):
        admin = admin_of(relay)
        ask(relay, 40)
        metrics_until(admin, 'understudy_exchanges_total{fate="kept"}', 40)
        before = counters(get(f"{admin}/metrics")[1])
        assert before["understudy_log_records_total"] == 0, "nothing of this is on the disk yet"
        os.kill(children(relay)[0], signal.SIGKILL)
        end = time.monotonic() + 30
        lost = 0.0
        while not lost:
            assert time.monotonic() < end
            after = counters(get(f"{admin}/metrics")[1])
            assert [name for name, value in before.items() if after.get(name, -1) < value] == []
            lost = after.get('understudy_log_lost_total{reason="worker_died"}', 0)
            before = after
        ask(relay, 20)
        counts = relay.stop()
    assert counts.kept == 60 - lost
    assert counts.shed["worker_died"] == lost
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == counts.kept
