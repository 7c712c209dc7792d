"""Whatever happens to capture, clients see no error: exceptions, a full disk, kill -9, budgets, slow readers."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from capture.log.reader import open_log
from tests.support import nginx
from tests.support.metrics import parse
from tests.support.relay import ROOT, RelayProcess, relay_process
from tests.test_capture_admin import KEY, admin_of, get

pytestmark = [pytest.mark.net, pytest.mark.slow]

ADMIN = ("--admin", "127.0.0.1:0", "--messages", "json")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "nginx" / "www").mkdir(parents=True)
    (tmp_path / "nginx" / "www" / "a.txt").write_text("hello")
    for number in range(40):
        (tmp_path / "nginx" / "www" / f"noise{number}.bin").write_bytes(os.urandom(100_000))
    with nginx.serve(tmp_path / "nginx") as port:
        yield port


def ask(relay: RelayProcess, times: int, path: str = "/a.txt", connections: int = 4) -> None:
    """Ask over a few kept-alive connections; AssertionError for anything but a good answer."""
    for _ in range(connections):
        connection = http.client.HTTPConnection("127.0.0.1", relay.port, timeout=20)
        try:
            for _ in range(times // connections):
                connection.request("GET", path)
                answer = connection.getresponse()
                assert answer.status == 200
                assert answer.read()
        finally:
            connection.close()


def scrape_until(admin: str, condition: Callable[[dict[str, float]], bool]) -> None:
    """Scrape until the metrics say so; AssertionError after half a minute."""
    end = time.monotonic() + 30
    while not condition(parse(get(f"{admin}/metrics")[1])):
        assert time.monotonic() < end, "the metrics never said so"
        time.sleep(0.02)


@pytest.mark.parametrize("scribe", ["off", "on"])
@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("capture.observe.connection.ConnectionObserver.client_bytes", "observer_error"),
        ("capture.observe.connection.ConnectionObserver.server_bytes", "observer_error"),
        ("capture.sample.sampler.Sampler.begin", "sampler_error"),
        ("capture.redact.redactor.Redactor.redact", "redactor_error"),
        ("capture.log.writer.LogWriter.put", "log_error"),
    ],
)
def test_an_exception_anywhere_in_capture_never_reaches_the_traffic(
    site: int, tmp_path: Path, target: str, reason: str, scribe: str
) -> None:
    injected = tmp_path / "injected"
    injected.mkdir()
    module, cls, method = target.rsplit(".", 2)
    (injected / "sitecustomize.py").write_text(
        "import importlib\n"
        "def fail(*_, **__): raise RuntimeError('injected')\n"
        f"setattr(importlib.import_module({module!r}).{cls}, {method!r}, fail)\n"
    )
    environ = {**KEY, "PYTHONPATH": f"{injected}{os.pathsep}{ROOT}"}
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", "--scribe", scribe, environ=environ) as relay:
        ask(relay, 20)
        counts = relay.stop()
    assert counts.kept == 0
    assert counts.shed[reason] >= 4
    assert counts.seen == counts.shed[reason]
    assert "injected" not in relay.err  # the text of an error may hold what was captured


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a small file system needs root")
    command = [mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False, timeout=20).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=False, capture_output=True, timeout=20)


@pytest.mark.parametrize("scribe", ["off", "on"])
def test_a_full_disk_sheds_and_the_clients_see_nothing(
    site: int, tmp_path: Path, small_disk: Path, scribe: str
) -> None:
    log = small_disk / "log"
    options = ("--redact", "off", "--scribe", scribe, *ADMIN)
    with relay_process(f"127.0.0.1:{site}", log, *options, environ=KEY) as relay:
        admin = admin_of(relay)
        for number in range(40):
            ask(relay, 4, f"/noise{number}.bin")
        scrape_until(admin, lambda samples: samples["understudy_log_failing"] == 1)
        ask(relay, 20)
        counts = relay.stop()
    assert sum(counts.shed.values()) > 0
    assert counts.kept + sum(counts.shed.values()) + sum(counts.incomplete.values()) == counts.seen
    with open_log(log) as kept:
        assert len(list(kept.exchanges())) == counts.kept


def test_a_log_directory_that_is_taken_away_sheds_and_the_clients_see_nothing(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *ADMIN, environ=KEY) as relay:
        ask(relay, 20)
        shutil.rmtree(tmp_path / "log")
        ask(relay, 20)
        counts = relay.stop()
    assert counts.seen == 40


def test_after_kill_9_everything_that_was_flushed_reads_back(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *ADMIN, environ=KEY) as relay:
        admin = admin_of(relay)
        ask(relay, 40)
        scrape_until(admin, lambda s: s["understudy_log_records_total"] == 40 and s["understudy_queue_records"] == 0)
        relay.process.send_signal(signal.SIGKILL)
        relay.process.wait(10)
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == 40


def test_a_rate_budget_sheds_by_name_and_the_clients_see_nothing(site: int, tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text("[guard]\nexchanges_per_s = 5\n")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        ask(relay, 200)
        counts = relay.stop()
    assert counts.seen == 200
    assert counts.shed["rate"] > 100
    assert counts.kept == 200 - counts.shed["rate"] >= 5


def test_a_memory_budget_stops_capture_and_says_so(site: int, tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text("[guard]\nmemory_bytes_max = 1000000\n")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *ADMIN, environ=KEY) as relay:
        admin = admin_of(relay)
        scrape_until(admin, lambda samples: samples["understudy_capture_off"] == 1)
        ask(relay, 20)
        assert get(f"{admin}/healthz") == (200, "degraded: capture off (memory)\n")
        counts = relay.stop()
    assert counts.shed == {"memory": 20}
    assert '"capture stopped: memory"' in relay.err


def test_sighup_changes_the_sampling_and_refuses_what_is_wrong(site: int, tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("[capture]\nsample = 1.0\n")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", *ADMIN, environ=KEY) as relay:
        admin_of(relay)
        ask(relay, 8)
        for text, word in (("sample = 7", "not reloaded"), ("sample = 0.0", "configuration reloaded")):
            config.write_text(f"[capture]\n{text}\n")
            relay.process.send_signal(signal.SIGHUP)
            assert relay.process.stderr is not None
            while word not in (line := relay.process.stderr.readline()):
                assert line
        ask(relay, 8)
        counts = relay.stop()
    assert (counts.kept, counts.sampled_out) == (8, 8)


def rss_bytes(relay: RelayProcess) -> int:
    return int(Path(f"/proc/{relay.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_200_megabytes_for_a_client_that_does_not_read_stay_out_of_memory(tmp_path: Path) -> None:
    total = 200_000_000
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        sent = threading.Event()

        def push() -> None:
            upstream, _ = listener.accept()
            with upstream:
                upstream.recv(1000)
                upstream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
                block = bytes(1_000_000)
                upstream.settimeout(1.5)
                try:
                    for _ in range(total // len(block)):
                        upstream.sendall(block)
                except TimeoutError:
                    sent.set()

        thread = threading.Thread(target=push, daemon=True)
        thread.start()
        with relay_process("{}:{}".format(*listener.getsockname()), tmp_path / "log", environ=KEY) as relay:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert sent.wait(30), "the upstream was never held back"
                assert rss_bytes(relay) < 100_000_000
            counts = relay.stop()
        thread.join(10)
    assert counts.seen == 1


def test_connections_and_requests_leave_the_memory_flat(site: int, tmp_path: Path) -> None:
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        ask(relay, 400)
        before = rss_bytes(relay)
        idle = [socket.create_connection(("127.0.0.1", relay.port), timeout=20) for _ in range(300)]
        ask(relay, 4000, connections=8)
        for sock in idle:
            sock.close()
        assert rss_bytes(relay) - before < 40_000_000
        with urllib.request.urlopen(f"http://127.0.0.1:{relay.port}/a.txt", timeout=10) as answer:
            assert answer.read() == b"hello"
        assert relay.stop().kept == 4401


SLOW_DISK = """
import os, sys, threading, time
gate, calls = sys.argv[1], sys.argv[2].split(",")
for name in calls:
    def slow(*arguments, _call=getattr(os, name)):
        while os.path.exists(gate):
            time.sleep(0.05)
        return _call(*arguments)
    setattr(os, name, slow)
import understudy
understudy.main(sys.argv[3:])
"""
"""The command on a disk whose calls hang as long as a file is there."""


@contextlib.contextmanager
def relay_on_a_disk_that_hangs(upstream: int, tmp_path: Path, calls: str, *more: str) -> Iterator[RelayProcess]:
    words = ("capture", "relay", "--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{upstream}", *ADMIN)
    command = [sys.executable, "-c", SLOW_DISK, str(tmp_path / "gate"), calls, *words, "--log", str(tmp_path / "log")]
    with subprocess.Popen(
        [*command, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **KEY},
    ) as process:
        try:
            assert process.stdout is not None
            yield RelayProcess(process, process.stdout.readline().removeprefix("listening on ").strip())
        finally:
            process.kill()


@pytest.mark.parametrize("calls", ["pwrite", "fsync", "statvfs,pwrite,fsync,rename"])
def test_a_disk_that_hangs_delays_no_client_and_what_finds_no_room_is_shed(
    site: int, tmp_path: Path, calls: str
) -> None:
    (tmp_path / "understudy.toml").write_text(
        "[log]\nqueue_records = 50\nflush_ms = 20\nfsync = 'flush'\n[guard]\nfree_bytes_min = 1\n"
    )
    with relay_on_a_disk_that_hangs(site, tmp_path, calls) as relay:
        admin = admin_of(relay)
        ask(relay, 20)
        scrape_until(admin, lambda s: s["understudy_log_records_total"] == 20)
        (tmp_path / "gate").touch()
        ask(relay, 400)
        scrape_until(admin, lambda s: s.get('understudy_shed_total{reason="queue_full"}', 0) >= 200)
        assert get(f"{admin}/livez") == (200, "ok\n")
        (tmp_path / "gate").unlink()
        scrape_until(admin, lambda s: s["understudy_queue_records"] == 0)
        ask(relay, 20)
        counts = relay.stop()
    assert counts.seen == 440
    assert counts.kept == 440 - counts.shed["queue_full"] >= 90
    with open_log(tmp_path / "log") as log:
        assert len(list(log.exchanges())) == counts.kept


def test_a_disk_that_is_full_at_the_start_does_not_keep_the_relay_from_serving(site: int, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with contextlib.suppress(OSError):
            (disk / "filler").write_bytes(bytes(1 << 20))
        with relay_process(f"127.0.0.1:{site}", disk / "log", *ADMIN, environ=KEY) as relay:
            admin = admin_of(relay)
            ask(relay, 20)
            assert get(f"{admin}/healthz") == (200, "degraded: capture off (log)\n")
            (disk / "filler").unlink()
            scrape_until(admin, lambda s: s["understudy_log_failing"] == 0)
            ask(relay, 20)
            counts = relay.stop()
        assert (counts.kept, counts.shed["disk_full"]) == (20, 20)
        with open_log(disk / "log") as log:
            assert len(list(log.exchanges())) == 20
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_wall_clock_that_jumps_back_and_forth_moves_no_record(site: int, tmp_path: Path) -> None:
    jumping = SLOW_DISK.replace("import understudy", "time.time_ns = lambda _ns=time.time_ns: _ns() + jump()").replace(
        "gate, calls =",
        "jumps = []\n"
        "def jump():\n"
        "    jumps[:] = jumps or ([1] if os.path.exists(sys.argv[1]) else [])\n"
        "    return (int(time.monotonic() * 10) % 3 - 1) * 3_600_000_000_000 if jumps else 0\n"
        "gate, calls =",
    )
    assert "jump()" in jumping
    words = ["capture", "relay", "--listen", "127.0.0.1:0", "--upstream", f"127.0.0.1:{site}"]
    program = jumping.replace("understudy.main", "import understudy\nunderstudy.main")
    gate = tmp_path / "from now on"
    command = [sys.executable, "-c", program, str(gate), "mkfifo", *words, "--log", str(tmp_path / "log")]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **KEY},
    ) as process:
        try:
            assert process.stdout is not None
            relay = RelayProcess(process, process.stdout.readline().removeprefix("listening on ").strip())
            before_ns = time.time_ns()
            ask(relay, 4)
            gate.touch()
            begun = time.monotonic()
            while time.monotonic() < begun + 2:
                ask(relay, 4)
            gate.unlink()
            counts = relay.stop()
            after_ns = time.time_ns()
        finally:
            process.kill()
    with open_log(tmp_path / "log") as log:
        times = [exchange.times.request_start for exchange in log.exchanges()]
        assert log.damage == []
    assert len(times) == counts.kept == counts.seen
    assert times == sorted(times)
    assert before_ns - 10**9 < times[0] <= times[-1] < after_ns + 10**9
