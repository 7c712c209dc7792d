"""`understudy replay`, from outside: what it sends, what it refuses, and its exit codes."""

from __future__ import annotations

import asyncio
import base64
import json
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from replay.run import open_run
from tests.support.replaying import write_log
from tests.support.rude import ANSWERS, Rude, exchange, get, rude_server
from understudy import main

pytestmark = pytest.mark.net


@pytest.fixture
def servers() -> Iterator[tuple[Rude, Rude]]:
    """Two well-behaved servers in a thread of their own."""
    started: list[Rude] = []
    ready, over = threading.Event(), []

    async def serve() -> None:
        over.append((asyncio.get_running_loop(), asyncio.Event()))
        async with rude_server() as current, rude_server() as candidate:
            started.extend((current, candidate))
            ready.set()
            await over[0][1].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    yield started[0], started[1]
    over[0][0].call_soon_threadsafe(over[0][1].set)
    thread.join(10)


def run_main(*args: str | Path) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    code = caught.value.code
    assert isinstance(code, int)
    return code


def replay(log: Path, servers: tuple[Rude, Rude], run: Path, *more: str) -> int:
    return run_main("replay", log, "--current", servers[0].url, "--candidate", servers[1].url, "--run", run, *more)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    recorded = [exchange(n, get(f"/ok?{n}", method="POST" if n % 5 == 0 else "GET")) for n in range(20)]
    return write_log(tmp_path / "log", recorded)


def test_a_log_is_performed_and_the_run_says_what_came(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(log, servers, tmp_path / "run") == 0
    out = capsys.readouterr().out
    assert "planned=20 sent=16 skipped=4 (unsafe_method=4)" in out
    run = open_run(tmp_path / "run")
    assert run.ledger == {
        "planned": 20,
        "sent": 16,
        "skipped": {"unsafe_method": 4},
        "answered": {"current": 16, "candidate": 16},
        "failed": {"current": {}, "candidate": {}},
    }
    assert len(list(run.performances())) == 20
    assert not run.partial
    assert all(head.startswith(b"GET ") for server in servers for head in server.requests)


def test_writes_are_sent_where_they_are_allowed(log: Path, servers: tuple[Rude, Rude], tmp_path: Path) -> None:
    assert replay(log, servers, tmp_path / "run", "--allow-writes") == 0
    assert open_run(tmp_path / "run").ledger["sent"] == 20


def test_the_reference_is_the_current_build_performed_twice(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path
) -> None:
    assert replay(log, servers, tmp_path / "run", "--reference") == 0
    run = open_run(tmp_path / "run")
    assert [(b["name"], b["role"]) for b in run.builds] == [
        ("current", "current"),
        ("reference", "reference"),
        ("candidate", "candidate"),
    ]
    assert len(servers[0].requests) == 32


def test_several_candidates_may_be_named(log: Path, servers: tuple[Rude, Rude], tmp_path: Path) -> None:
    code = run_main(
        "replay", log, "--current", servers[0].url, "--candidate", servers[1].url, f"blue={servers[1].url}",
        servers[1].url, "--run", tmp_path / "run",
    )  # fmt: skip
    assert code == 0
    assert [b["name"] for b in open_run(tmp_path / "run").builds] == ["current", "candidate", "blue", "candidate-2"]


@pytest.mark.parametrize(
    ("more", "sent"),
    [(["--limit", "6"], 4), (["--loop", "3"], 48), (["--rate", "2000"], 16), (["--speed", "10"], 16)],
)
def test_limits_loops_and_paces(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, more: list[str], sent: int
) -> None:
    assert replay(log, servers, tmp_path / "run", *more) == 0
    run = open_run(tmp_path / "run")
    assert run.ledger["sent"] == sent
    keys = [(performance.iteration, performance.position) for performance in run.performances()]
    assert len(set(keys)) == len(keys) == run.ledger["planned"]


def test_an_empty_log_gives_an_empty_readable_run(servers: tuple[Rude, Rude], tmp_path: Path) -> None:
    assert replay(write_log(tmp_path / "log", []), servers, tmp_path / "run") == 0
    assert list(open_run(tmp_path / "run").performances()) == []


def test_a_build_that_is_not_there_is_named_and_nothing_is_sent(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_main(
        "replay", log, "--current", servers[0].url, "--candidate", "http://127.0.0.1:9", "--run", tmp_path / "run"
    )
    assert code == 4
    assert "candidate http://127.0.0.1:9: refuses connections" in capsys.readouterr().err
    assert servers[0].requests == []
    assert not (tmp_path / "run").exists()


def test_without_preflight_a_dead_candidate_is_in_the_ledger(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path
) -> None:
    code = run_main(
        "replay", log, "--current", servers[0].url, "--candidate", "http://127.0.0.1:9", "--run", tmp_path / "run",
        "--no-preflight",
    )  # fmt: skip
    assert code == 0
    ledger = open_run(tmp_path / "run").ledger
    assert ledger["failed"]["candidate"] == {"refused": ledger["sent"]}
    assert ledger["planned"] == 20 == ledger["sent"] + sum(ledger["skipped"].values())


def test_the_address_that_was_captured_from_is_refused_unless_said_twice(
    servers: tuple[Rude, Rude], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    captured = write_log(tmp_path / "log", [exchange(0, get("/ok"), server=f"localhost:{servers[1].port}")])
    assert replay(captured, servers, tmp_path / "run") == 2
    assert "captured from; nothing was sent" in capsys.readouterr().err
    assert replay(captured, servers, tmp_path / "run", "--allow-captured-address") == 2
    assert servers[1].requests == []
    assert replay(captured, servers, tmp_path / "run", *["--allow-captured-address"] * 2) == 0
    assert len(servers[1].requests) == 1


def test_a_preflight_path_must_answer_below_500(log: Path, servers: tuple[Rude, Rude], tmp_path: Path) -> None:
    assert replay(log, servers, tmp_path / "run", "--preflight-path", "/ok") == 0
    assert replay(log, servers, tmp_path / "run2", "--preflight-path", "/garbage") == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--speed", "1", "--rate", "2"], "does not go together"),
        (["--concurrency", "0"], "--concurrency"),
        (["--candidate", "ftp://x"], "not an address"),
        (["--candidate", "http://x/path"], "address alone"),
        (["--candidate", "current=http://x"], "another build called 'current'"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_use_is_one_clear_line_and_exit_2(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str],
    message: str,
) -> None:  # fmt: skip
    assert replay(log, servers, tmp_path / "run", *more) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_directory_that_is_not_empty_is_refused(log: Path, servers: tuple[Rude, Rude], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("x")
    assert replay(log, servers, tmp_path / "run") == 2
    assert (tmp_path / "run" / "precious").read_text() == "x"


@pytest.mark.parametrize("name", ["none", "empty"])
def test_what_is_not_a_log_is_refused(servers: tuple[Rude, Rude], tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    assert replay(tmp_path / name, servers, tmp_path / "run") == 2


def test_headers_are_injected_from_the_environment(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "u.toml"
    config.write_text('[build.candidate.headers]\nAuthorization = "Bearer ${CANDIDATE_KEY}"\n')
    assert replay(log, servers, tmp_path / "run", "--config", str(config)) == 2
    monkeypatch.setenv("CANDIDATE_KEY", "k-123")
    assert replay(log, servers, tmp_path / "run", "--config", str(config)) == 0
    assert all(b"\r\nAuthorization: Bearer k-123\r\n" in head for head in servers[1].requests)
    assert not any(b"k-123" in head for head in servers[0].requests)
    manifest = (tmp_path / "run" / "manifest.json").read_text()
    assert "k-123" not in manifest
    assert json.loads(manifest)["injected"] == {"candidate": ["Authorization"]}
    performance = next(p for p in open_run(tmp_path / "run").performances() if p.outcomes)
    assert performance.outcomes[1].bindings[0].origin == "injected:Authorization"


def test_passwords_are_injected_from_the_environment_by_the_name_of_the_user(
    servers: tuple[Rude, Rude], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = base64.b64encode(b"alice:pseudonym").decode()
    asked = exchange(0, get("/ok", ("Authorization", f"Basic {hidden}")))
    asked = msgspec.structs.replace(asked, redacted=("request.header:authorization",))
    write_log(tmp_path / "log", [asked, exchange(1, get("/ok"))])
    config = tmp_path / "u.toml"
    config.write_text('[build.candidate.passwords]\nalice = "${ALICE_PASSWORD}"\n')
    assert replay(tmp_path / "log", servers, tmp_path / "run", "--config", str(config)) == 2
    monkeypatch.setenv("ALICE_PASSWORD", "wonderland")
    assert replay(tmp_path / "log", servers, tmp_path / "run", "--config", str(config)) == 0
    own = base64.b64encode(b"alice:wonderland").decode().encode()
    assert sum(own in head for head in servers[1].requests) == 1
    assert sum(hidden.encode() in head for head in servers[0].requests) == 1
    manifest = (tmp_path / "run" / "manifest.json").read_text()
    assert "wonderland" not in manifest
    assert json.loads(manifest)["passwords"] == {"candidate": ["alice"]}


def test_rude_paths_are_known() -> None:
    steps: dict[str, Any] = dict(ANSWERS)
    assert "/ok" in steps


def _interrupted(log: Path, servers: tuple[Rude, Rude], run: Path, *, signals: int) -> tuple[int, str]:
    """A replay in a process of its own that gets SIGINT once it is under way; exit code and stderr."""
    command = [sys.executable, "-m", "understudy", "replay", str(log), "--current", servers[0].url]
    command += ["--candidate", servers[1].url, "--run", str(run), "--rate", "100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 20
        while len(servers[1].requests) < 20 and time.monotonic() < deadline:
            time.sleep(0.01)
        for _ in range(signals):
            process.send_signal(signal.SIGINT if signals < 9 else signal.SIGKILL)
        _, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    return process.returncode, err


@pytest.mark.parametrize("signals", [1, 9])
def test_an_interrupted_run_is_readable_and_can_be_resumed(
    servers: tuple[Rude, Rude], tmp_path: Path, signals: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write_log(tmp_path / "log", [exchange(n, get(f"/ok?{n}"), session=str(n % 9)) for n in range(300)])
    code, err = _interrupted(log, servers, tmp_path / "run", signals=signals)
    if signals == 1:
        assert code == 4
        assert "partial (ended by SIGINT); go on with it by --resume" in err
    run = open_run(tmp_path / "run")
    assert run.partial
    done = list(run.performances())
    assert len(done) == run.ledger["planned"] == run.ledger["sent"] < 300
    before = len(servers[1].requests)
    assert replay(log, servers, tmp_path / "run", "--resume") == 0
    run = open_run(tmp_path / "run")
    assert not run.partial
    assert sorted(performance.position for performance in run.performances()) == list(range(300))
    assert run.ledger["answered"] == {"current": 300, "candidate": 300}
    assert len(servers[1].requests) - before == 300 - len(done)
    assert replay(log, servers, tmp_path / "run", "--resume") == 2
    assert "the run is complete" in capsys.readouterr().err


def test_a_run_that_is_gone_on_with_says_what_it_goes_on_with_and_what_held_before(
    servers: tuple[Rude, Rude], tmp_path: Path
) -> None:
    log = write_log(tmp_path / "log", [exchange(n, get(f"/ok?{n}"), session=str(n % 9)) for n in range(300)])
    _interrupted(log, servers, tmp_path / "run", signals=1)
    config = tmp_path / "u.toml"
    config.write_text("[build.candidate]\nconnections_max = 3\nrate_max = 5000\n")
    assert replay(log, servers, tmp_path / "run", "--resume", "--config", str(config), "--concurrency", "4") == 0
    manifest = open_run(tmp_path / "run").manifest
    candidate = manifest["builds"][1]
    assert (candidate["connections_max"], candidate["rate_max"]) == (3, 5000)
    assert (manifest["config"]["rate"], manifest["config"]["concurrency"]) == (None, 4)
    assert len(manifest["resumed"]) == len(manifest["earlier"]) == 1
    before = manifest["earlier"][0]
    assert "connections_max" not in before["builds"][1]
    assert (before["config"]["rate"], before["config"]["concurrency"]) == (100, None)
    assert set(before) == {"builds", "config"}


def test_only_the_run_of_the_same_log_and_builds_is_resumed(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = write_log(tmp_path / "other", [exchange(n, get("/ok?0"), session=str(n)) for n in range(200)])
    _interrupted(other, servers, tmp_path / "run", signals=1)
    assert replay(log, servers, tmp_path / "run", "--resume") == 2
    assert "made from another log" in capsys.readouterr().err
    assert replay(other, servers, tmp_path / "run", "--resume", "--reference") == 2
    assert "other builds" in capsys.readouterr().err
    assert replay(other, servers, tmp_path / "run", "--resume", "--allow-writes") == 2
    assert replay(other, servers, tmp_path / "none", "--resume") == 2


def test_a_damaged_log_is_performed_as_far_as_it_reads_and_never_passes_for_whole(
    log: Path, servers: tuple[Rude, Rude], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (segment,) = log.glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[len(data) // 3] ^= 0xFF
    segment.write_bytes(data)
    assert replay(log, servers, tmp_path / "run") == 4
    assert "the log is damaged" in capsys.readouterr().err
    run = open_run(tmp_path / "run")
    assert run.partial
    assert run.ledger["planned"] == len(list(run.performances())) < 20


@pytest.mark.parametrize("client", ["wire", "aiohttp"])
def test_every_kind_of_failure_is_one_outcome_of_that_kind_in_the_run(
    servers: tuple[Rude, Rude], tmp_path: Path, client: str
) -> None:
    kinds = {
        "/ok": None, "/reset": "reset", "/close": "reset", "/silence": "timeout", "/stall-in-body": "timeout",
        "/garbage": "malformed", "/bad-status": "malformed", "/cut-in-body": "cut", "/large": "too_large",
    }  # fmt: skip
    recorded = [exchange(n, get(path), session=path) for n, path in enumerate(kinds)]
    log = write_log(tmp_path / "log", recorded)
    config = tmp_path / "u.toml"
    config.write_text("[replay]\nbody_bytes_max = 2000\ntimeout_s = 1\nfirst_byte_timeout_s = 0.5\n")
    assert replay(log, servers, tmp_path / "run", "--client", client, "--config", str(config)) == 0
    run = open_run(tmp_path / "run")
    for performance in run.performances():
        expected = kinds[performance.exchange.request.target]
        assert [o.failure.kind if o.failure else None for o in performance.outcomes] == [expected, expected]
    ledger = run.ledger
    assert ledger["planned"] == ledger["sent"] == len(kinds)
    for build in ("current", "candidate"):
        assert ledger["sent"] == ledger["answered"][build] + sum(ledger["failed"][build].values())


@pytest.fixture
def plain_port() -> Iterator[int]:
    """A port that answers whatever it gets in plain HTTP, as one does that was taken for TLS."""

    class Plain(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Plain) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(10)


@pytest.mark.parametrize("client", ["wire", "aiohttp", "h2"])
@pytest.mark.parametrize(
    ("url", "kind"),
    [("http://127.0.0.1:9", "refused"), ("http://nowhere.invalid", "dns"), ("https://127.0.0.1:{}", "tls")],
)
def test_a_build_that_cannot_be_reached_fails_by_its_kind_alone(
    log: Path, servers: tuple[Rude, Rude], plain_port: int, tmp_path: Path, client: str, url: str, kind: str
) -> None:
    code = run_main(
        "replay", log, "--current", servers[0].url, "--candidate", url.format(plain_port), "--run",
        tmp_path / "run", "--no-preflight", "--client", client, "--limit", "3", "--timeout", "5",
    )  # fmt: skip
    assert code == 0
    assert open_run(tmp_path / "run").ledger["failed"]["candidate"] == {kind: 2}
