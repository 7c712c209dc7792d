"""What a real Envoy mirrors with the configuration of the manual is in the log, as its clients sent it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import http.client
import json
import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web

from capture.exchange import Exchange, header
from capture.log.reader import open_log
from tests.support import envoy
from tests.support.accounts import assert_conserved
from tests.support.relay import understudy
from tests.test_capture_mirror import Command

yaml = pytest.importorskip("yaml")
pytestmark = pytest.mark.net

ROOT = Path(__file__).parents[1]
HOSTS = {
    "shop.example": "shop.example:80",
    "shop.example:8443": "shop.example:8443",
    "[::1]:8080": "[::1]:8080",
    "my-shadow.example": "my-shadow.example:80",
}
"""Host as the client sends it, and the server of the record."""


class Sent(NamedTuple):
    """A request of a client."""

    method: str
    target: str
    host: str
    fields: tuple[tuple[str, str], ...]
    body: bytes


class Got(NamedTuple):
    """A request as the service got it. request_id: what Envoy called it."""

    method: str
    target: str
    host: str
    body: bytes
    request_id: str


def requests() -> list[Sent]:
    """60 requests, each with a target of its own."""
    made = []
    for n in range(60):
        method, body = (("GET", b""), ("POST", f'{{"n":{n}}}'.encode()), ("PUT", bytes(range(256)) * n * 2))[n % 3]
        repeated = (("X-Tag", "red"), ("X-Tag", "blue"), ("Accept", "*/*"), ("Cookie", f"sid=s{n % 5}"))
        made.append(Sent(method, f"/items/{n}?q=a%20b&q={n}&empty=", list(HOSTS)[n % 4], repeated, body))
    return made


def manual(version: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """`route_config` and the cluster `understudy`, as the manual has them; with what it adds for HTTP/2."""
    section = (ROOT / "docs" / "mirrors.md").read_text().partition("\n## Envoy\n")[2].partition("\n## ")[0]
    block, for_http2 = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    parsed = yaml.safe_load(block)
    (mirror,) = parsed["clusters"]
    return parsed["route_config"], mirror | (yaml.safe_load(for_http2) if version == "HTTP/2" else {})


@contextlib.contextmanager
def service() -> Iterator[tuple[int, list[Got]]]:
    """A service that answers with the digest of what it got; its port, and what it got."""
    heard: list[Got] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        body = await request.read()
        got = Got(request.method, request.raw_path, request.host, body, request.headers["x-request-id"])
        heard.append(got)
        return web.Response(status=201, text=digest(request.method, request.raw_path, body))

    async def start() -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    runner = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield runner.addresses[0][1], heard
    finally:
        try:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(20)
            loop.close()


def digest(method: str, target: str, body: bytes) -> str:
    return hashlib.sha256(b"\n".join((method.encode(), target.encode(), body))).hexdigest()


def ask(port: int, sent: Sent) -> tuple[int, str]:
    """Status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", sent.host), *sent.fields):
            connection.putheader(name, value)
        if sent.body:
            connection.putheader("Content-Length", str(len(sent.body)))
        connection.endheaders(sent.body or None)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Mirrored(NamedTuple):
    """version: of HTTP to the mirror; heard: by the service; line: the sink's conservation line; records: its log."""

    version: str
    heard: list[Got]
    line: str
    records: list[Exchange]
    log: Path


@pytest.fixture(scope="module", params=["HTTP/1.1", "HTTP/2"])
def mirrored(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Mirrored:
    """60 requests through Envoy, all answered by the service and all mirrored."""
    root = tmp_path_factory.mktemp("mirror")
    routes, mirror = manual(request.param)
    sink = Command(root / "log")
    try:
        endpoint = mirror["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        endpoint["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": sink.port}
        with (
            service() as (port, heard),
            envoy.serve(root / "envoy", routes, [envoy.cluster("service", port), mirror]) as proxy,
        ):
            for sent in requests():
                assert ask(proxy.port, sent) == (201, digest(sent.method, sent.target, sent.body))
            proxy.wait_until(lambda: proxy.stat("cluster.understudy.upstream_rq_204") >= 60, "mirror every request")
        line = sink.stop()
    finally:
        if sink.process.poll() is None:
            sink.process.kill()
            sink.process.wait(20)
        assert sink.process.stdout is not None
        sink.process.stdout.close()
    with open_log(root / "log") as log:
        return Mirrored(request.param, heard, line, list(log.exchanges()), root / "log")


def by_target(mirrored: Mirrored) -> dict[str, Exchange]:
    return {record.request.target: record for record in mirrored.records}


def test_every_mirrored_request_is_in_the_log_as_its_client_sent_it(mirrored: Mirrored) -> None:
    assert len(mirrored.records) == 60
    records = by_target(mirrored)
    for sent in requests():
        record = records[sent.target]
        assert (record.request.method, record.request.version) == (sent.method, mirrored.version)
        assert (record.source, record.scheme, record.server) == ("mirror", "http", HOSTS[sent.host])
        assert header(record.request.headers, "host") == sent.host
        assert (record.request.body, record.request.body_bytes) == (sent.body, len(sent.body))
        assert [value for name, value in record.request.headers if name == "x-tag"] == ["red", "blue"]
        assert record.notes == ("host restored from host",)
        assert (record.response, record.complete, record.request.truncated) == (None, True, False)


def test_what_envoy_adds_for_itself_is_left_out_and_its_request_id_is_kept(mirrored: Mirrored) -> None:
    heard = {got.target: got for got in mirrored.heard}
    for target, record in by_target(mirrored).items():
        names = Counter(name for name, _ in record.request.headers)
        assert not [name for name in names if name.startswith("x-envoy-")]
        assert "connection" not in names
        assert (names["x-request-id"], names["x-forwarded-for"]) == (1, 1)
        assert header(record.request.headers, "x-request-id") == heard[target].request_id
    assert len({got.request_id for got in heard.values()}) == 60


def test_the_service_gets_each_request_once_and_does_not_see_the_mirror(mirrored: Mirrored) -> None:
    assert [got[:4] for got in mirrored.heard] == [(one.method, one.target, one.host, one.body) for one in requests()]


def test_the_counts_of_the_sink_add_up(mirrored: Mirrored) -> None:
    counts = assert_conserved(mirrored.line)
    assert (counts.seen, counts.kept) == (60, 60)


def test_the_log_is_printed_as_requests_without_answers(mirrored: Mirrored) -> None:
    command = [*understudy("log", "cat", str(mirrored.log), "--format", "jsonl")]
    out = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    lines = [json.loads(line) for line in out.splitlines()]
    assert sorted(line["request"]["target"] for line in lines) == sorted(sent.target for sent in requests())
    assert {line["response"] for line in lines} == {None}
    assert {line["complete"] for line in lines} == {True}
