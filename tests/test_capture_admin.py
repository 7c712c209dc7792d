"""The admin address: metrics that Prometheus can read and that add up, and honest probes."""

from __future__ import annotations

import json
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from capture.admin import render_metrics
from capture.sources.relay.status import BOUNDS_NS, LatencyHistogram, merge
from tests.support import nginx
from tests.support.metrics import parse
from tests.support.relay import RelayProcess, relay_process

KEY = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "00112233445566778899aabbccddeeff"}


def state(**values: Any) -> dict[str, Any]:
    counts = {"seen": 20, "kept": 5, "sampled_out": 6, "shed": {"rate": 2}, "incomplete": {"reset": 3}, "opaque": 1}
    return {"counts": counts, "in_flight": 3, "client_bytes": 10, "server_bytes": 20, **values}


def test_seen_is_the_sum_of_all_fates_and_what_has_none_yet_is_in_flight() -> None:
    samples = parse(render_metrics(state()))
    fates = {name: value for name, value in samples.items() if name.startswith("understudy_exchanges_total")}
    assert fates == {
        'understudy_exchanges_total{fate="kept"}': 5,
        'understudy_exchanges_total{fate="sampled_out"}': 6,
        'understudy_exchanges_total{fate="shed"}': 2,
        'understudy_exchanges_total{fate="incomplete"}': 3,
        'understudy_exchanges_total{fate="opaque"}': 1,
    }
    assert samples["understudy_exchanges_seen_total"] == 17
    assert samples["understudy_exchanges_in_flight"] == 3
    assert samples['understudy_shed_total{reason="rate"}'] == 2
    assert samples['understudy_incomplete_total{reason="reset"}'] == 3
    assert samples['understudy_bytes_total{direction="to_client"}'] == 20


def test_a_histogram_is_cumulative_and_in_seconds() -> None:
    added = LatencyHistogram()
    for duration_ns in (4_000, 5_000, 6_000, 30_000_000, 9_000_000_000):
        added.add(duration_ns)
    samples = parse(render_metrics(state(added=added.state())))
    assert samples['understudy_added_latency_seconds_bucket{le="5e-06"}'] == 2
    assert samples['understudy_added_latency_seconds_bucket{le="1e-05"}'] == 3
    assert samples['understudy_added_latency_seconds_bucket{le="1"}'] == 4
    assert samples['understudy_added_latency_seconds_bucket{le="+Inf"}'] == 5
    assert samples["understudy_added_latency_seconds_count"] == 5
    assert samples["understudy_added_latency_seconds_sum"] == pytest.approx(9.030015)


def test_what_the_log_had_taken_and_lost_stands_beside_the_fates_and_takes_nothing_from_them() -> None:
    samples = parse(render_metrics(state(log_lost={"worker_died": 2})))
    assert samples['understudy_log_lost_total{reason="worker_died"}'] == 2
    assert samples['understudy_exchanges_total{fate="kept"}'] == 5


def test_a_label_value_is_escaped() -> None:
    text = render_metrics(state(capture_errors={'a"b\\c\nd': 1}))
    assert 'understudy_capture_errors_total{reason="a\\"b\\\\c\\nd"} 1\n' in text


def test_the_states_of_workers_are_added_and_of_ratios_the_largest_is_taken() -> None:
    one, other = LatencyHistogram(), LatencyHistogram()
    one.add(1)
    other.add(1)
    total = merge(
        [
            state(added=one.state(), sampling_ratio=0.5, log_errors={"ENOSPC": 1}),
            state(added=other.state(), sampling_ratio=0.25, log_errors={"EIO": 2}),
        ]
    )
    assert total["counts"]["seen"] == 40
    assert total["counts"]["shed"] == {"rate": 4}
    assert total["added"]["counts"][0] == 2
    assert total["added"]["bounds_ns"] == list(BOUNDS_NS)
    assert total["sampling_ratio"] == 0.5
    assert total["log_errors"] == {"ENOSPC": 1, "EIO": 2}


def free_port() -> socket.socket:
    """A port that nobody else is given while this is open; it does not accept."""
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.bind(("127.0.0.1", 0))
    return taken


def admin_of(relay: RelayProcess) -> str:
    """The admin address, as the relay says on stderr."""
    assert relay.process.stderr is not None
    for line in relay.process.stderr:
        relay.err += line
        facts = json.loads(line)
        if facts["message"] == "admin address":
            return f"http://{facts['listen']}"
    raise AssertionError(relay.err)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.net
def test_the_admin_address_of_a_running_relay(tmp_path: Path) -> None:
    (tmp_path / "nginx" / "www").mkdir(parents=True)
    (tmp_path / "nginx" / "www" / "a.txt").write_text("hello")
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json")
    with (
        nginx.serve(tmp_path / "nginx") as site,
        relay_process(f"127.0.0.1:{site}", tmp_path / "log", *arguments, environ=KEY) as relay,
    ):
        admin = admin_of(relay)
        for _ in range(3):
            assert get(f"http://127.0.0.1:{relay.port}/a.txt") == (200, "hello")
        assert get(f"{admin}/livez") == (200, "ok\n")
        assert get(f"{admin}/healthz?verbose") == (200, "ok\n")
        assert get(f"{admin}/readyz") == (200, "ok\n")
        assert get(f"{admin}/nothing")[0] == 404
        status, text = get(f"{admin}/metrics")
        assert status == 200
        samples = parse(text)
        assert samples["understudy_exchanges_seen_total"] == 3
        assert samples['understudy_exchanges_total{fate="kept"}'] == 3
        assert samples["understudy_connections_total"] == 3
        assert samples["understudy_sampling_ratio"] == 1
        assert samples["understudy_added_latency_seconds_count"] >= 1
        assert samples["understudy_capture_off"] == 0
        assert any(name.startswith("understudy_build_info{version=") for name in samples)
        assert relay.stop().kept == 3


@pytest.mark.net
def test_readiness_fails_where_the_upstream_does_not_accept(tmp_path: Path) -> None:
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json")
    with free_port() as taken:
        upstream = "{}:{}".format(*taken.getsockname())
        with relay_process(upstream, tmp_path / "log", *arguments, environ=KEY) as relay:
            admin = admin_of(relay)
            status, text = get(f"{admin}/readyz")
            assert (status, "does not accept" in text) == (503, True)
            assert get(f"{admin}/livez") == (200, "ok\n")
            relay.stop()


@pytest.mark.net
def test_readiness_fails_while_the_relay_drains(tmp_path: Path) -> None:
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json")
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        relay_process("{}:{}".format(*upstream.getsockname()), tmp_path / "log", *arguments, environ=KEY) as relay,
    ):
        admin = admin_of(relay)
        with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            upstream.settimeout(10)
            served, _ = upstream.accept()
            with served:
                assert served.recv(100)
                relay.process.send_signal(signal.SIGTERM)
                assert relay.process.stderr is not None
                while '"draining"' not in (line := relay.process.stderr.readline()):
                    assert line
                assert get(f"{admin}/readyz") == (503, "not ready: draining\n")
                assert parse(get(f"{admin}/metrics")[1])["understudy_draining"] == 1
                served.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                assert client.recv(100)
        assert relay.stopped().kept == 1


@pytest.mark.net
@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /metrics HTTP/1.1\r\n\r\n", b"405"),
        (b"\x16\x03\x01 nonsense\r\n\r\n", b"400"),
        (b"HEAD /livez HTTP/1.0\r\n\r\n", b"200"),
    ],
)
def test_the_admin_address_answers_what_it_does_not_serve(tmp_path: Path, request_bytes: bytes, status: bytes) -> None:
    arguments = ("--admin", "127.0.0.1:0", "--messages", "json")
    with relay_process("127.0.0.1:1", tmp_path / "log", *arguments, environ=KEY) as relay:
        host, port = admin_of(relay).removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(request_bytes)
            answer = b""
            while piece := client.recv(4096):
                answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.split(b" ")[1] == status
        assert (body == b"") == request_bytes.startswith(b"HEAD")
        relay.stop()
