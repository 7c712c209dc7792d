"""`capture mitm` through a real mitmproxy: its modes, failures, drain, budgets, errors."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from capture.errors import UsageError
from capture.sources.mitm_command import mitm
from tests.support.accounts import assert_conserved
from tests.support.mitm import ROOT, WAIT_S, Service, running, service

__all__ = ["service"]

pytestmark = [pytest.mark.net, pytest.mark.slow]

pytest.importorskip("mitmproxy")


def test_a_reverse_proxy_passes_host_and_bytes_and_records_without_secrets(service: int, tmp_path: Path) -> None:
    with running(tmp_path, f"reverse:http://127.0.0.1:{service}@127.0.0.1:0") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        assert proxy.curl(f"{url}/a%2Fb?q=%7E", "-H", "Host: shop.example") == "host=shop.example path=/a%2Fb?q=%7E"
        assert proxy.curl(f"{url}/post", "-d", '{"password":"hunter22"}') == '{"password":"hunter22"}'
        counts = proxy.stop()
        first, second = proxy.records()
    assert counts.kept == 2
    assert first.request.target == "/a%2Fb?q=%7E"
    assert ("Host", "shop.example") in first.request.headers
    assert first.server == f"127.0.0.1:{service}"
    assert first.response is not None
    assert first.response.body == b"host=shop.example path=/a%2Fb?q=%7E"
    assert "response.cookie:sid" in first.redacted
    assert second.response is not None
    assert second.response.status == 201
    assert b"hunter22" not in (second.request.body or b"") + (second.response.body or b"")
    assert second.request.body == second.response.body


def test_a_regular_proxy_records_what_clients_ask_through_it(service: int, tmp_path: Path) -> None:
    with running(tmp_path, "regular@127.0.0.1:0", "--sample", "1") as proxy:
        address = f"http://127.0.0.1:{service}/through"
        got = proxy.curl(address, "-x", f"http://127.0.0.1:{proxy.port}")
        assert got == f"host=127.0.0.1:{service} path=/through"
        counts = proxy.stop()
        (record,) = proxy.records()
    assert counts.kept == 1
    assert record.request.target == "/through"
    assert record.server == f"127.0.0.1:{service}"


def test_an_upstream_that_is_down_is_counted(tmp_path: Path) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with running(tmp_path, f"reverse:http://127.0.0.1:{port}@127.0.0.1:0") as proxy:
        proxy.curl(f"http://127.0.0.1:{proxy.port}/x")
        counts = proxy.stop()
    assert counts.seen >= 1
    assert counts.kept == 0
    assert counts.shed["upstream_failed"] + counts.incomplete["upstream_failed"] == counts.seen


def test_a_request_under_way_is_answered_before_the_end(service: int, tmp_path: Path) -> None:
    with running(tmp_path, f"reverse:http://127.0.0.1:{service}@127.0.0.1:0") as proxy:
        client = subprocess.Popen(
            ["curl", "-s", f"http://127.0.0.1:{proxy.port}/slow"], stdout=subprocess.PIPE, text=True
        )
        assert Service.began.wait(WAIT_S)
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):  # noqa: PT012  # until the listener is gone
            while True:
                socket.create_connection(("127.0.0.1", proxy.port), 1).close()
        Service.let_go.set()
        answer, _ = client.communicate(timeout=WAIT_S)
        assert answer == f"host=127.0.0.1:{proxy.port} path=/slow"
        out, _ = proxy.process.communicate(timeout=WAIT_S)
        assert proxy.process.returncode == 0
        assert assert_conserved(out.strip().splitlines()[-1]).kept == 1


def test_each_mode_says_one_address_and_all_of_them_drain(service: int, tmp_path: Path) -> None:
    modes = (f"reverse:http://127.0.0.1:{service}@127.0.0.1:0", "regular@127.0.0.1:0", "socks5@0")
    with running(tmp_path, modes[0], *(word for mode in modes[1:] for word in ("--mode", mode))) as proxy:
        assert proxy.process.stdout is not None
        said = [proxy.process.stdout.readline() for _ in modes[1:]]
        regular, socks = (int(line.rpartition(":")[2]) for line in said)
        assert [line.rpartition(":")[0] for line in said] == ["listening on 127.0.0.1", "listening on 0.0.0.0"]
        assert proxy.curl(f"http://127.0.0.1:{proxy.port}/1").endswith("path=/1")
        assert proxy.curl(f"http://127.0.0.1:{service}/2", "-x", f"http://127.0.0.1:{regular}").endswith("path=/2")
        assert proxy.curl(f"http://127.0.0.1:{service}/3", "--socks5", f"127.0.0.1:{socks}").endswith("path=/3")
        out = proxy.stopped()
        assert len(out) == 1, "an address was said twice"
        assert assert_conserved(out[0]).kept == 3


def test_a_second_signal_does_not_wait_for_what_is_under_way(service: int, tmp_path: Path) -> None:
    mode = f"reverse:http://127.0.0.1:{service}@127.0.0.1:0"
    with (
        running(tmp_path, mode, "--drain-seconds", "600") as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), WAIT_S) as client,
    ):
        client.settimeout(WAIT_S)
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert Service.began.wait(WAIT_S)
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):  # noqa: PT012  # until the listener is gone
            while True:
                socket.create_connection(("127.0.0.1", proxy.port), 1).close()
        counts = proxy.stop()
    # Beside it, at most the connections that were being made when it ended.
    assert (counts.kept, set(counts.shed)) == (0, {"drain"})


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "--mode is missing"),
        (["--mode", "sideways"], 2, "--mode or --set: mitmproxy says:"),
        (["--mode", "regular@127.0.0.1:0", "--set", "no_such_option=1"], 2, "--mode or --set: mitmproxy says:"),
        (["--mode", "regular@127.0.0.1:{taken}"], 4, "mitmproxy cannot listen"),
    ],
)
def test_what_cannot_be_started_is_one_clear_line(words: list[str], code: int, message: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                *("understudy.py", "capture", "mitm", "--log", str(tmp_path / "log"), "--confdir", str(tmp_path / "c")),
                *(word.format(taken=port) for word in words),
            ],
            cwd=ROOT,
            env={**os.environ, "UNDERSTUDY_CAPTURE_REDACTION_KEY": "k" * 32},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(f"understudy: {message}")
    assert "Traceback" not in done.stderr


def test_without_mitmproxy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mitmproxy", None)
    monkeypatch.delitem(sys.modules, "capture.sources.mitm", raising=False)
    words = ["--mode", "regular", "--log", str(tmp_path / "log")]
    with pytest.raises(UsageError, match=r"mitmproxy is not installed .*understudy\[mitm\]"):
        CliRunner().invoke(mitm, words, catch_exceptions=False)
    assert not (tmp_path / "log").exists()


def test_sampling_and_the_rate_budget_hold_here_too(service: int, tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("[guard]\nexchanges_per_s = 1\n")
    mode = f"reverse:http://127.0.0.1:{service}@127.0.0.1:0"
    with running(tmp_path, mode, "--config", str(config)) as proxy:
        for _ in range(3):
            urls = [f"http://127.0.0.1:{proxy.port}/{n}" for n in range(10)]
            assert proxy.curl(urls[0], *urls[1:]).count("path=/") == 10
        counts = proxy.stop()
    assert counts.seen == 30
    assert counts.shed["rate"] == 30 - counts.kept > 10
    with running(tmp_path, mode, "--sample", "0") as proxy:
        assert proxy.curl(f"http://127.0.0.1:{proxy.port}/x")
        assert proxy.stop().sampled_out == 1


def test_sighup_changes_what_is_redacted(service: int, tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("")
    mode = f"reverse:http://127.0.0.1:{service}@127.0.0.1:0"
    with running(tmp_path, mode, "--config", str(config)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/x?nickname=redfox77"
        proxy.curl(url)
        config.write_text('[redact]\nfields = ["nickname"]\n')
        proxy.process.send_signal(signal.SIGHUP)
        log = proxy.log
        end = time.monotonic() + WAIT_S
        while len(list(log.iterdir())) < 2:  # the change begins a segment
            assert time.monotonic() < end
            time.sleep(0.02)
        proxy.curl(url)
        proxy.stop()
        before, after = proxy.records()
    assert "redfox77" in before.request.target
    assert "redfox77" not in after.request.target
