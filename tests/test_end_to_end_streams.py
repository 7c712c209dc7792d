"""Streams that nobody ends, the whole way by the commands: a client that leaves, the sidecar, every pace, a verdict."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.support.house import Captured, check, understudy
from tests.support.relay import relay_process
from tests.support.replaying import serving

pytestmark = [pytest.mark.net, pytest.mark.slow]

STREAMS = 10
Steps = list[bytes | float | str]


def service(price: str = "price", events: int = 40, closes: bool = False) -> Callable[[bytes], Awaitable[Steps]]:
    """Streams of prices without end, or that stand still or close after so many events."""

    async def answer(raw: bytes) -> Steps:
        if not raw.startswith(b"GET /prices"):
            return [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]
        ticks = [b'event: tick\ndata: {"n": %d, "%b": %d}\n\n' % (n, price.encode(), 7 * n) for n in range(events)]
        chunks = [b"%x\r\n%b\r\n" % (len(tick), tick) for tick in ticks]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        steps: Steps = [head]
        for chunk in chunks:
            steps += [chunk, 0.02]
        return [*steps, b"0\r\n\r\n"] if closes else [*steps, "silence"]

    return answer


def leave(port: int, target: str, events: int) -> None:
    """Ask, read that many events, and go; without an event, at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode())
        got = b""
        while got.count(b"\n\n") < events:
            piece = sock.recv(65536)
            assert piece
            got += piece


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    directory = tmp_path_factory.mktemp("streams")
    (directory / "understudy.toml").write_text("[replay]\nallow_captured_address = 0\n")
    environ = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "5a" * 32}
    with (
        serving(service()) as production,
        relay_process(f"127.0.0.1:{production.port}", directory / "log", environ=environ) as relay,
    ):
        for number in range(STREAMS):
            leave(relay.port, f"/prices?shop={number}", 5)
            leave(relay.port, f"/other/{number}", 0)
        counts = relay.stop()
    assert counts.seen == 2 * STREAMS
    return Captured(directory, 2 * STREAMS)


@contextlib.contextmanager
def builds(**answers: Callable[[bytes], Awaitable[Steps]]) -> Iterator[list[str]]:
    """The arguments that name builds which answer so."""
    with contextlib.ExitStack() as stack:
        urls = {name: stack.enter_context(serving(answer)).url for name, answer in answers.items()}
        yield [word for name, url in urls.items() for word in (f"--{name}", url)]


def test_the_log_says_when_the_client_left(captured: Captured) -> None:
    done = understudy("log", "cat", captured.log, "--format", "jsonl", cwd=captured.directory)
    streams = [
        one for one in map(json.loads, done.stdout.splitlines()) if one["request"]["target"].startswith("/prices")
    ]
    assert len(streams) == STREAMS
    for one in streams:
        assert not one["complete"]
        assert one["times_ns"]["response_end"] is None
        assert one["times_ns"]["left"] >= one["times_ns"]["response_start"]


@pytest.mark.parametrize(
    "options",
    [[], ["--speed", "2"], ["--rate", "50"], ["--concurrency", "1"], ["--client", "aiohttp"], ["--workers", "2"]],
    ids=" ".join,
)
def test_the_same_build_is_promoted_at_every_pace_and_by_every_client(
    captured: Captured, tmp_path: Path, options: list[str]
) -> None:
    with builds(current=service(), candidate=service(), reference=service()) as named:
        report, _ = check(captured, tmp_path / "run", *named, *options, exit_code=0)
    assert report["ledger"]["left"] == dict.fromkeys(("candidate", "current", "reference"), STREAMS)
    assert report["ledger"]["failed"] == {"candidate": {}, "current": {}, "reference": {}}
    totals = report["candidates"]["candidate"]["totals"]
    assert (totals["different"], totals["not_comparable"]) == (0, {})


def test_a_change_in_the_events_is_held_with_one_finding(captured: Captured, tmp_path: Path) -> None:
    with builds(current=service(), candidate=service(price="prize"), reference=service()) as named:
        report, _ = check(captured, tmp_path / "run", *named, exit_code=1)
    (finding,) = report["candidates"]["candidate"]["findings"]
    assert finding["path"].startswith("$[*]['data']['pri")
    assert finding["count"] == STREAMS


@pytest.mark.parametrize("closes", [False, True], ids=["stands still", "closes"])
def test_a_candidate_whose_streams_say_less_is_held(captured: Captured, tmp_path: Path, closes: bool) -> None:
    with builds(current=service(), candidate=service(events=2, closes=closes), reference=service()) as named:
        report, _ = check(captured, tmp_path / "run", *named, exit_code=1)
    findings = report["candidates"]["candidate"]["findings"]
    assert [(one["path"], one["kind"], one["count"]) for one in findings] == [("$[*]", "missing", STREAMS)]


def test_a_candidate_that_alone_is_silent_is_held(captured: Captured, tmp_path: Path) -> None:
    async def silent(raw: bytes) -> Steps:
        return ["silence"] if raw.startswith(b"GET /prices") else [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]

    with builds(current=service(), candidate=silent, reference=service()) as named:
        report, _ = check(captured, tmp_path / "run", *named, "--timeout", "4", "--limit", "4", exit_code=1)
    assert report["ledger"]["failed"]["candidate"] == {"timeout": 2}
    assert report["ledger"]["failed"]["current"] == {}
