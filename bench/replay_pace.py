"""Does the replay keep its schedule, tell the truth about latency, and stay small?

1. A fixed rate of 2,000/s for five seconds: lateness. 2. Recorded times at 1x over 20 s: drift of the last
send against the plan. 3. A server that sleeps a known distribution: reported p50, p90, p99 against what it slept.
4. Memory of the performing process after 20,000 exchanges and 60,000 more. The server is a process of its own.
"""

from __future__ import annotations

import asyncio
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

import uvloop

from capture.clock import Clock
from capture.exchange import Exchange, Request, Response, Times, header
from replay.bind import Binder
from replay.clients.base import Endpoint, Limits
from replay.clients.wire import WireClient
from replay.outcome import Outcome, Performance
from replay.pace import Closed, Pace, Rate, Recorded
from replay.perform import Performer
from replay.plan import Planner
from replay.stage import Options, Stage

HEAD = b"HTTP/1.1 200 OK\r\nX-Slept-Us: %d\r\nContent-Length: %d\r\n\r\n%b"
BODY = b'{"id": 1234567, "name": "a thing of some length"}'


def slept_ms(number: int) -> float:
    """How long the server sleeps before it answers request `number`: 1 to 40 ms, most of them short."""
    return 1 + 39 * random.Random(number).random() ** 4


class Server(asyncio.Protocol):
    """Answers at once, or after `slept_ms` where the target has a number."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        target = data.split(b" ", 2)[1]
        if target[:2] == b"/s":
            loop, began = asyncio.get_running_loop(), time.perf_counter()
            loop.call_later(slept_ms(int(target[2:])) / 1e3, self.answer, began)
        else:
            self.answer(time.perf_counter())

    def answer(self, began: float) -> None:
        """Say how long it really slept: the loop's timers count milliseconds."""
        self.transport.write(HEAD % (round((time.perf_counter() - began) * 1e6), len(BODY), BODY))


async def serve() -> None:
    """Listen, print the port, and go on until killed."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)


def exchanges(count: int, gap_ms: float, target: str) -> Iterator[Exchange]:
    """Exchanges at even gaps, each of a user of its own."""
    response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), BODY, len(BODY))
    for number in range(count):
        start = 10**18 + round(number * gap_ms * 1e6)
        request = Request("GET", target.format(number), "HTTP/1.1", (("Host", "h"), ("Accept", "*/*")))
        yield Exchange(f"b-{number}", f"s{number}", "relay", 1.0, request, response, Times(start, start, start, start))


async def perform(port: int, recorded: Iterator[Exchange], pace: Pace, kept: list[Outcome] | None = None) -> Performer:
    """Perform on one build; its outcomes into `kept`, where they are wanted."""
    endpoint = Endpoint("http", "127.0.0.1", port, f"127.0.0.1:{port}")
    clock = Clock()
    client = WireClient(endpoint, Limits(), clock)
    await client.open()

    def record(performance: Performance) -> None:
        if kept is not None:
            kept.extend(performance.outcomes)

    stage = Stage("current", "current", client, endpoint.authority)
    performer = Performer([stage], pace, Options("bench", sessions_max=1000), clock, record, Binder(sessions_max=1000))
    await performer.perform((0, planned) for planned in Planner(sessions_max=1000).plan(recorded))
    await client.close()
    assert not stage.failed, stage.failed
    return performer


def percentile(values: list[float], share: float) -> float:
    """The exact quantile of all samples."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


async def questions(port: int) -> None:
    """Ask all four, print the figures."""
    performer = await perform(port, exchanges(10_000, 0.5, "/x"), Rate(2000))
    late = performer.lateness.as_dict()
    print(
        f"lateness at 2,000/s: p50 {late['p50_ns'] / 1e6:.2f} ms, p99 {late['p99_ns'] / 1e6:.2f} ms,"
        f" max {late['max_ns'] / 1e6:.2f} ms (mark: p99 <= 2 ms), {performer.busy_share:.0%} of a core"
    )
    kept: list[Outcome] = []
    await perform(port, exchanges(1000, 20, "/x"), Recorded(1.0), kept)
    kept.sort(key=lambda outcome: outcome.planned_ns)
    span = kept[-1].planned_ns - kept[0].planned_ns
    late_ms = [((outcome.sent_ns or 0) - outcome.planned_ns) / 1e6 for outcome in kept]
    drift = statistics.median(late_ms[-100:]) - statistics.median(late_ms[:100])
    print(f"drift at 1x over {span / 1e9:.0f} s: {drift:+.2f} ms (mark: below 10 ms)")
    kept = []
    await perform(port, exchanges(3000, 5, "/s{}"), Rate(300), kept)
    truth = [int(header(o.response.headers, "x-slept-us") or 0) / 1e3 for o in kept if o.response is not None]
    told = [(outcome.latency_ns or 0) / 1e6 for outcome in kept]
    for share in (0.5, 0.9, 0.99):
        real, said = percentile(truth, share), percentile(told, share)
        print(
            f"latency p{share * 100:.0f}: slept {real:.2f} ms, reported {said:.2f} ms,"
            f" off by {said - real:+.2f} ms (mark: {0.03 * real + 0.3:.2f} ms)"
        )
    await perform(port, exchanges(20_000, 1, "/x"), Closed(32))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await perform(port, exchanges(60_000, 1, "/x"), Closed(32))
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"memory: {before / 1024:.1f} MB after 20,000 exchanges, {after / 1024:.1f} MB after 60,000 more")


def main() -> None:
    """The server in a process of its own, the questions in this one."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        uvloop.run(questions(int(process.stdout.readline())))
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        uvloop.run(serve())
    else:
        main()
