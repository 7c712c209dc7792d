"""Real clients and servers through the relay: an aiohttp WebSocket echo, ab, h2load, and a page in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from capture.conservation import Conservation
from capture.log.reader import open_log
from tests.support import nginx
from tests.support.h2_server import h2_server
from tests.support.relay import relay_process
from tests.test_capture_admin import KEY

pytestmark = [pytest.mark.net, pytest.mark.slow]

QUIET = {**KEY, "UNDERSTUDY_GUARD_CPU_SHARE_MAX": "64"}
PAGE = """<!doctype html><title>shop</title><link rel=stylesheet href=a.css><body><p id=out>empty</p>
<script src=a.js></script>"""
SCRIPT = "fetch('a.json').then(r => r.json()).then(v => { document.getElementById('out').textContent = v.word; });"


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data[::-1])
        elif message.type == aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


@contextlib.contextmanager
def aiohttp_server() -> Iterator[int]:
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_get("/echo", echo)
    runner = web.AppRunner(app)

    async def start() -> int:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return int(runner.addresses[0][1])

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    finally:
        try:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()


def test_a_websocket_echoes_text_and_large_binary_through_the_relay(tmp_path: Path) -> None:
    async def talk(port: int) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}/echo", max_msg_size=0) as socket,
        ):
            for word in ("hello", "x" * 70_000):
                await socket.send_str(word)
                assert await socket.receive_str(timeout=20) == word[::-1]
            await socket.send_bytes(bytes(1_000_000))
            assert await socket.receive_bytes(timeout=20) == bytes(1_000_000)

    with aiohttp_server() as port, relay_process(f"127.0.0.1:{port}", tmp_path / "log", environ=KEY) as relay:
        asyncio.run(talk(relay.port))
        counts = relay.stop()
    # The upgrade is an exchange of its own; the tunnel behind it is opaque.
    assert (counts.seen, counts.kept, counts.opaque) == (2, 1, 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[int]:
    www = tmp_path / "nginx" / "www"
    www.mkdir(parents=True)
    (www / "page.html").write_text(PAGE)
    (www / "a.css").write_text("p { color: red }")
    (www / "a.js").write_text(SCRIPT)
    (www / "a.json").write_text('{"word":"filled"}')
    with nginx.serve(tmp_path / "nginx") as port:
        yield port


def test_a_browser_loads_a_page_with_its_parts_through_the_relay(site: int, tmp_path: Path) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        url = f"http://127.0.0.1:{relay.port}/page.html"
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", url]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        counts = relay.stop()
    assert '<p id="out">filled</p>' in dom
    assert counts.kept >= 4


def test_ab_with_and_without_keep_alive_gets_every_answer(site: int, tmp_path: Path) -> None:
    ab = shutil.which("ab")
    if ab is None:
        pytest.skip("ab is not installed")
    with relay_process(f"127.0.0.1:{site}", tmp_path / "log", environ=KEY) as relay:
        for more in ([], ["-k"]):
            command = [ab, "-n", "400", "-c", "8", *more, f"http://127.0.0.1:{relay.port}/a.json"]
            out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
            assert "Failed requests:        0" in out
        counts = relay.stop()
    assert (counts.seen, counts.kept) == (800, 800)


def test_h2load_gets_every_answer_over_many_streams_at_once(tmp_path: Path) -> None:
    h2load = shutil.which("h2load")
    if h2load is None:
        pytest.skip("h2load is not installed")

    async def load(program: str) -> Conservation:
        async with h2_server() as server:
            with relay_process(f"127.0.0.1:{server.port}", tmp_path / "log", environ=QUIET) as relay:
                command = [program, "-n", "600", "-c", "6", "-m", "20", f"http://127.0.0.1:{relay.port}/"]
                process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
                out, _ = await asyncio.wait_for(process.communicate(), 60)
                assert b"600 succeeded, 0 failed, 0 errored" in out, out
                return await asyncio.to_thread(relay.stop)  # the server needs this loop to end its side

    counts = asyncio.run(load(h2load))
    assert (counts.seen, counts.kept) == (600, 600)
    with open_log(tmp_path / "log") as log:
        records = list(log.exchanges())
    assert {(record.request.version, record.complete) for record in records} == {("HTTP/2", True)}
    assert len({record.connection for record in records}) == 6
