"""The mirror sink answers at once, records what real proxies send it, and bounds everything."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from capture.clock import Clock
from capture.exchange import Exchange
from capture.log.reader import open_log
from capture.pipeline import Pipeline, pipeline_from_config
from capture.settings import CaptureConfig, RedactConfig
from capture.sources.mirror import MirrorLimits, MirrorSink
from tests.support import nginx
from tests.support.accounts import assert_conserved

pytestmark = pytest.mark.net

_WAIT_S = 20


class Running:
    """A sink on a free port, what it recorded, and raw connections to it."""

    def __init__(self, port: int, pipeline: Pipeline, taken: list[Exchange], sink: MirrorSink) -> None:
        self.port = port
        self.pipeline = pipeline
        self.taken = taken
        self.sink = sink

    async def send(self, *pieces: bytes, end: bool = False) -> bytes:
        """All that the sink answers on one connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if end:
            writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), _WAIT_S)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        return answer


@contextlib.asynccontextmanager
async def running(limits: MirrorLimits | None = None, **options: object) -> AsyncIterator[Running]:
    taken: list[Exchange] = []
    capture = CaptureConfig(redaction_key="k" * 32, trust_forwarded=True, **options)  # type: ignore[arg-type]
    pipeline = pipeline_from_config(capture, RedactConfig(), taken.append)
    sink = MirrorSink(pipeline, Clock(), limits or MirrorLimits())
    sock = socket.create_server(("127.0.0.1", 0))
    await sink.start([sock])
    made = Running(sock.getsockname()[1], pipeline, taken, sink)
    try:
        yield made
    finally:
        await sink.drain()
    assert pipeline.in_flight == 0
    assert_conserved(pipeline.counts.line())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_WAIT_S):
        while not condition():  # noqa: ASYNC110  # the sink has no event for a test to wait on
            await asyncio.sleep(0.005)


def test_a_request_is_recorded_byte_for_byte_and_answered_without_a_body() -> None:
    async def play() -> None:
        async with running() as sink:
            answer = await sink.send(
                b"POST /a%2Fb/../x?q=%7E HTTP/1.1\r\nHost: shop.example-shadow:8443\r\nX-Two: a\r\nx-two: b\r\n"
                b"Content-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
            )
            assert answer.startswith(b"HTTP/1.1 204 No Content\r\n")
        (record,) = sink.taken
        assert record.source == "mirror"
        assert record.response is None
        assert record.complete
        assert record.server == "shop.example:8443"
        assert record.request.method == "POST"
        assert record.request.target == "/a%2Fb/../x?q=%7E"
        assert record.request.headers == (
            ("Host", "shop.example:8443"),
            ("X-Two", "a"),
            ("x-two", "b"),
            ("Content-Type", "text/plain"),
            ("Content-Length", "5"),
        )
        assert record.request.body == b"hello"
        assert record.times.request_end is not None
        assert record.times.request_start <= record.times.request_end

    asyncio.run(play())


def test_chunked_bodies_pipelined_requests_and_compressed_bodies_are_taken() -> None:
    async def play() -> None:
        async with running() as sink:
            answer = await sink.send(
                b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
                b"PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x00\x00",
                b"GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            )
            assert answer.count(b"HTTP/1.1 204") == 3
        assert [record.request.target for record in sink.taken] == ["/1", "/2", "/3"]
        assert sink.taken[0].request.body == b"abcde"
        assert sink.taken[1].request.body_bytes == 4
        assert len({record.connection for record in sink.taken}) == 1

    asyncio.run(play())


def test_an_expectation_is_met() -> None:
    async def play() -> None:
        async with running() as sink:
            reader, writer = await asyncio.open_connection("127.0.0.1", sink.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"ok")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
            writer.close()
        assert sink.taken[0].request.body == b"ok"

    asyncio.run(play())


def test_a_long_body_is_cut_and_its_full_length_kept() -> None:
    async def play() -> None:
        async with running(MirrorLimits(body_bytes_max=1000)) as sink:
            await sink.send(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\nConnection: close\r\n\r\n", b"x" * 300_000
            )
            await until(lambda: len(sink.taken) == 1)
        (record,) = sink.taken
        assert record.request.body == b"x" * 1000
        assert record.request.body_bytes == 300_000
        assert record.request.truncated

    asyncio.run(play())


def test_bodies_beyond_the_memory_are_shed_and_still_answered() -> None:
    async def play() -> None:
        async with running(MirrorLimits(held_bytes_max=1000)) as sink:
            answer = await sink.send(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\nConnection: close\r\n\r\n", b"x" * 5000
            )
            assert answer.startswith(b"HTTP/1.1 204")
            await sink.send(b"GET /later HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert sink.pipeline.counts.shed == {"memory": 1}
        assert [record.request.target for record in sink.taken] == ["/later"]

    asyncio.run(play())


def test_a_body_that_breaks_off_or_never_comes_is_incomplete() -> None:
    async def play() -> None:
        async with running(MirrorLimits(body_s=0.2)) as sink:
            await sink.send(b"POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc", end=True)
            await sink.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            await until(lambda: len(sink.taken) == 2)
        assert {record.request.target: record.incomplete_reason for record in sink.taken} == {
            "/cut": "cut",
            "/slow": "timeout",
        }

    asyncio.run(play())


def test_what_is_not_http_is_refused_and_counted() -> None:
    async def play() -> None:
        async with running() as sink:
            assert (await sink.send(b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.0 400")
        assert sink.taken == []
        assert sink.pipeline.counts.shed == {"malformed": 1}

    asyncio.run(play())


def test_connections_beyond_the_bound_are_refused_and_counted() -> None:
    async def play() -> None:
        async with running(MirrorLimits(connections_max=1)) as sink:
            _, writer = await asyncio.open_connection("127.0.0.1", sink.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await until(lambda: len(sink.taken) == 1)
            with contextlib.suppress(ConnectionError):
                assert await sink.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") == b""
            await until(lambda: sink.pipeline.counts.shed["too_many_connections"] == 1)
            writer.close()

    asyncio.run(play())


def test_sessions_are_told_apart_by_the_forwarded_address() -> None:
    async def play() -> None:
        async with running() as sink:
            for address in ("203.0.113.1", "203.0.113.2", "203.0.113.1, 10.0.0.1"):
                await sink.send(
                    f"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Forwarded-For: {address}\r\n\r\n".encode()
                )
        sessions = [record.session for record in sink.taken]
        assert sessions[0] == sessions[2] != sessions[1]

    asyncio.run(play())


def test_what_is_sampled_out_is_answered_too() -> None:
    async def play() -> None:
        async with running(sample=0.0) as sink:
            answer = await sink.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            assert answer.startswith(b"HTTP/1.1 204")
        assert sink.taken == []
        assert sink.pipeline.counts.sampled_out == 1

    asyncio.run(play())


# ---- the command, and a real nginx


class Command:
    """`understudy capture mirror` as a process of its own."""

    def __init__(self, log: Path, *words: str) -> None:
        self.log = log
        self.process = subprocess.Popen(
            [
                sys.executable,
                "understudy.py",
                "capture",
                "mirror",
                "--listen",
                "127.0.0.1:0",
                "--log",
                str(log),
                *words,
            ],
            cwd=Path(__file__).parents[1],
            env={**os.environ, "UNDERSTUDY_CAPTURE_REDACTION_KEY": "k" * 32},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line
        self.port = int(line.rpartition(":")[2])

    def stop(self) -> str:
        """The conservation line."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=_WAIT_S)
        assert self.process.returncode == 0
        return out.strip()


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    made = Command(tmp_path / "log")
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait(_WAIT_S)
    assert made.process.stdout is not None
    made.process.stdout.close()


_SNIPPET = """
location / {{ mirror /mirror; mirror_request_body on; root {root}/www; }}
location = /mirror {{
    internal;
    proxy_pass http://127.0.0.1:{port}$request_uri;
    proxy_http_version 1.1;
    proxy_set_header Host $http_host;
    proxy_set_header Connection "";
    proxy_set_header X-Request-Id $request_id;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_connect_timeout 100ms;
    proxy_read_timeout 500ms;
}}
"""
_BARE = """
location / {{ mirror /mirror; root {root}/www; }}
location = /mirror {{ internal; proxy_pass http://127.0.0.1:{port}$request_uri; }}
"""


@pytest.mark.parametrize(("snippet", "version_note"), [(_SNIPPET, False), (_BARE, True)])
def test_what_nginx_mirrors_is_in_the_log(command: Command, tmp_path: Path, snippet: str, version_note: bool) -> None:
    root = tmp_path / "nginx"
    (root / "www").mkdir(parents=True)
    (root / "www" / "index.html").write_text("hello")
    with nginx.serve(root, snippet.format(root=root, port=command.port)) as port:
        for n in range(5):
            body = json.dumps({"n": n})
            subprocess.run(
                ["curl", "-s", "-o", "/dev/null", "-d", body, f"http://127.0.0.1:{port}/index.html?n={n}"],
                check=True,
                timeout=_WAIT_S,
            )
    counts = assert_conserved(command.stop())
    records = list(open_log(command.log).exchanges())
    assert counts.kept == len(records) == 5
    assert sorted(record.request.target for record in records) == [f"/index.html?n={n}" for n in range(5)]
    assert {record.request.version for record in records} == {"HTTP/1.1"}
    assert all(("mirrored as HTTP/1.0" in record.notes) is version_note for record in records)
    assert sorted(json.loads(record.request.body or b"")["n"] for record in records) == [0, 1, 2, 3, 4]
    if not version_note:
        assert {record.server for record in records} == {f"127.0.0.1:{port}"}


def test_a_missing_listen_is_one_clear_line(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "understudy.py", "capture", "mirror", "--log", str(tmp_path / "log")],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=_WAIT_S,
    )
    assert result.returncode == 2
    assert result.stderr.startswith("understudy: --listen is missing")
    assert "Traceback" not in result.stderr
