"""The aiohttp client passes the same suite as the others, and keeps targets and headers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from capture.clock import Clock
from capture.exchange import Request
from replay.clients.base import Endpoint, Job, Limits
from replay.clients.web import WebClient
from tests.support.rude import Rude, get, rude_server

pytestmark = pytest.mark.net

LIMITS = Limits(
    timeout_ns=3_000_000_000, first_byte_timeout_ns=1_500_000_000, body_bytes_max=2000, head_bytes_max=10_000
)


async def perform(endpoint: Endpoint, *targets: str | Request) -> list[Job]:
    client = WebClient(endpoint, LIMITS, Clock())
    await client.open()
    jobs = []
    try:
        for target in targets:
            answered: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
            request = target if isinstance(target, Request) else get(target, ("X-A", "1"), ("X-A", "2"))
            client.perform(Job(request, answered.set_result))
            jobs.append(await asyncio.wait_for(answered, 20))
    finally:
        await client.close()
    return jobs


def ask(*targets: str | Request) -> tuple[list[Job], Rude]:
    async def main() -> tuple[list[Job], Rude]:
        async with rude_server() as rude:
            return await perform(rude.endpoint, *targets), rude

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("target", "kinds"),
    [
        ("/reset", {"reset"}),
        ("/close", {"reset"}),
        ("/silence", {"timeout"}),
        ("/stall-in-body", {"timeout"}),
        ("/garbage", {"malformed"}),
        ("/bad-header", {"malformed"}),
        ("/cut-in-body", {"cut"}),
        ("/large", {"too_large"}),
    ],
)
def test_every_way_of_not_answering_is_one_failure_of_its_kind(target: str, kinds: set[str]) -> None:
    (job,), _ = ask(target)
    assert job.failure is not None
    assert job.failure.kind in kinds
    assert "\n" not in job.failure.detail


def test_nobody_there_is_refused_and_no_name_is_dns() -> None:
    (job,) = asyncio.run(perform(Endpoint("http", "127.0.0.1", 9, "x"), "/"))
    assert job.failure is not None
    assert (job.failure.kind, job.failure.phase, job.sent_ns) == ("refused", "connect", None)
    (job,) = asyncio.run(perform(Endpoint("http", "nowhere.invalid", 80, "x"), "/"))
    assert job.failure is not None
    assert job.failure.kind == "dns"


def test_target_and_headers_arrive_as_they_were_recorded() -> None:
    jobs, rude = ask("/a%2Fb/../x?q=%7E", "/ok")
    assert jobs[0].response is not None
    assert (jobs[0].response.status, jobs[0].response.body) == (200, b"ok")
    assert [job.reused for job in jobs] == [False, True]
    head = rude.requests[0]
    assert head.startswith(b"GET /a%2Fb/../x?q=%7E HTTP/1.1\r\nHost: shop.example\r\nX-A: 1\r\nX-A: 2\r\n\r\n")


def test_times_are_in_order() -> None:
    (job,), _ = ask("/drip")
    assert job.sent_ns is not None
    assert job.first_byte_ns is not None
    assert job.sent_ns <= job.first_byte_ns <= job.end_ns


def test_a_unix_socket_gets_the_target_as_it_is_also_where_the_environment_has_a_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    path = str(tmp_path / "shop.sock")
    heads: list[bytes] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    async def main() -> list[Job]:
        async with await asyncio.start_unix_server(handle, path):
            return await perform(Endpoint("http+unix", "localhost", 80, "localhost", path), "/a%2Fb?q=%7E")

    (job,) = asyncio.run(main())
    assert job.response is not None
    assert heads[0].startswith(b"GET /a%2Fb?q=%7E HTTP/1.1\r\n")


def test_every_value_of_a_name_arrives_and_bytes_that_are_utf8_as_they_were() -> None:
    headers = (("X-A", "1"), ("x-a", "2"), ("X-B", "caf\xc3\xa9"), ("X-A", "1"))
    _, rude = ask(get("/ok?caf\xc3\xa9", *headers))
    lines = rude.requests[0].split(b"\r\n")
    assert lines[0] == b"GET /ok?caf\xc3\xa9 HTTP/1.1"
    assert [line for line in lines if line[:3].lower() == b"x-a"] == [b"X-A: 1", b"X-A: 2", b"X-A: 1"]
    assert b"X-B: caf\xc3\xa9" in lines


def test_of_an_absolute_target_the_path_is_sent_and_an_empty_query_is_left_out() -> None:
    _, rude = ask("http://other.example/ok?x=http://y/z", "/ok?u=http://y/z", "//ok/..//?", "/?%3F?")
    sent = [b"/ok?x=http://y/z", b"/ok?u=http://y/z", b"//ok/..//", b"/?%3F?"]
    assert [head.split(b" ")[1] for head in rude.requests] == sent


@pytest.mark.parametrize(
    ("method", "target"), [("OPTIONS", "*"), ("GET", "/ok#fragment"), ("GET", "/ok?\xff"), ("get", "/ok")]
)
def test_what_it_would_change_is_not_sent(method: str, target: str) -> None:
    (job,), rude = ask(get(target, method=method))
    assert job.failure is not None
    assert (job.failure.kind, job.failure.phase, job.sent_ns) == ("malformed", "send", None)
    assert rude.requests == []
