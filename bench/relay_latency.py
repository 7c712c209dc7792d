"""What does a client of a service notice of the sidecar: latency at a moderate rate, with and without it?

Requests that differ in everything are sent when they are due, at a fixed rate over 16 connections, whether or not
earlier ones were answered, and each latency counts from when the request was due. Direct, nginx as reverse proxy, the
relay that keeps nothing, everything, and everything with a scribe take turns in short rounds, so that what else the
machine does meets all of them. What the client itself adds is in all of them, too: compare the rows.

    .venv/bin/python bench/relay_latency.py [--rate 1000] [--seconds 4] [--rounds 5] [--without-secrets]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import cast

import uvloop

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1])]

import relay  # noqa: E402 - bench/relay.py, beside this file

CONNECTIONS = 16
LEAST_S = 0.0002
"""Shorter waits are not worth a turn of the event loop."""


def made(n: int, chance: random.Random, secrets: bool) -> bytes:
    """One request, as bench/relay.py has wrk send them."""
    user = chance.randrange(65_000)
    fields = [
        "Host: shop.example",
        "Accept: application/json",
        "Accept-Language: tr-TR,tr;q=0.9",
        f"User-Agent: Mozilla/5.0 (X11; Linux x86_64) Chrome/{100 + n % 31}.0 Safari/537.36",
        f"X-Request-Id: {chance.getrandbits(128):032x}",
        f"X-User: {user}",
        f"X-Forwarded-For: 10.0.{user // 250}.{user % 250}",
    ]
    if secrets:
        fields += [
            f"Cookie: sid={user:08x}5eed5eed5eed5eed; theme=dark",
            f"Authorization: Bearer {chance.getrandbits(160):040x}",
        ]
    head = "\r\n".join(fields)
    return f"GET /api/items/{chance.randrange(100_000)}?page={n % 90}&q=word{n} HTTP/1.1\r\n{head}\r\n\r\n".encode()


class Line(asyncio.Protocol):
    """One connection: requests are written when they are due, answers come in their order."""

    def __init__(self, latencies_ns: list[int]) -> None:
        self.transport: asyncio.Transport | None = None
        self._due_ns: deque[int] = deque()
        self._latencies_ns = latencies_ns
        self._buffer = b""

    @property
    def waiting(self) -> int:
        return len(self._due_ns)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, request: bytes, due_ns: int) -> None:
        assert self.transport is not None
        self._due_ns.append(due_ns)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            assert self._buffer.startswith(b"HTTP/1.1 200"), self._buffer[:80]
            place = self._buffer.lower().index(b"content-length:", 0, head) + 15
            end = head + 4 + int(self._buffer[place : self._buffer.index(b"\r\n", place)])
            if len(self._buffer) < end:
                return
            self._buffer = self._buffer[end:]
            self._latencies_ns.append(time.monotonic_ns() - self._due_ns.popleft())


async def paced(port: int, requests: list[bytes], rate: float) -> list[int]:
    """Send the requests at this rate; ns from when each was due to its answer."""
    loop = asyncio.get_running_loop()
    latencies_ns: list[int] = []
    lines = [
        (await loop.create_connection(lambda: Line(latencies_ns), "127.0.0.1", port))[1] for _ in range(CONNECTIONS)
    ]
    start_ns = time.monotonic_ns()
    for n, request in enumerate(requests):
        due_ns = start_ns + int(n * 1e9 / rate)
        wait_s = (due_ns - time.monotonic_ns()) / 1e9
        await asyncio.sleep(wait_s if wait_s > LEAST_S else 0)
        min(lines, key=lambda line: line.waiting).send(request, due_ns)
    for _ in range(200):
        if not any(line.waiting for line in lines):
            break
        await asyncio.sleep(0.05)
    for line in lines:
        assert line.transport is not None
        line.transport.close()
    assert len(latencies_ns) == len(requests), f"{len(requests) - len(latencies_ns)} requests were not answered"
    return latencies_ns


def quantile_us(latencies_ns: list[int], share: float) -> float:
    return sorted(latencies_ns)[min(len(latencies_ns) - 1, int(share * len(latencies_ns)))] / 1000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-secrets", action="store_true")
    arguments = parser.parse_args()
    arguments.without_mitmproxy, arguments.alike = True, False
    chance = random.Random(7)
    count = int(arguments.rate * arguments.seconds)
    with tempfile.TemporaryDirectory(prefix="bench-relay-") as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        (root / "up").mkdir()
        ports, relays, _ = relay.open_ways(stack, root, arguments)
        ways = {name: port for name, port in ports.items() if not name.startswith("relay 1%, ")}
        taken: dict[str, list[list[int]]] = {name: [] for name in ways}
        for turn in range(arguments.rounds + 1):  # the first one is to warm up
            for name, port in ways.items():
                requests = [made(n, chance, not arguments.without_secrets) for n in range(count if turn else 1000)]
                gc.collect()
                gc.disable()  # the client's own pauses are nobody's latency
                latencies_ns = uvloop.run(paced(port, requests, arguments.rate))
                gc.enable()
                if turn:
                    taken[name].append(latencies_ns)
        print(f"{arguments.rate:,.0f} requests/s, {CONNECTIONS} connections; median of rounds and (spread), us")
        for name, rounds in taken.items():
            cells = []
            for share in (0.5, 0.9, 0.99, 0.999):
                row = sorted(quantile_us(latencies_ns, share) for latencies_ns in rounds)
                cells.append(f"p{share * 100:g} {statistics.median(row):6.0f} ({row[0]:.0f} to {row[-1]:.0f})")
            print(f"{name:19} " + "  ".join(cells))
        for name, process in relays.items():
            counts = process.stop()
            if name in ways:
                assert counts.seen >= count * arguments.rounds, (name, counts.line())
                assert not counts.shed, (name, counts.line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
