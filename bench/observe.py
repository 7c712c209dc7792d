"""What does it cost to observe an exchange, beside httptools fed both directions?

A GET with 12 header fields, answered with 12 and a body of 1 kB, each as one chunk. "alike": every head is the same to
the letter, as from a client that polls; "distinct": each head differs in target, a request id and a date, as from many
users. httptools only fires callbacks that collect headers and body; the observer also pairs, times, bounds and records.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import httptools

from capture.observe.connection import ConnectionObserver
from capture.observe.events import Finished
from capture.observe.skim import Skim

EXCHANGES = 4_000
ROUNDS = 7
_FIELDS = b"".join(b"X-Field-%d: the value of field number %d\r\n" % (n, n) for n in range(8))
Pairs = list[tuple[bytes, bytes]]


def messages(distinct: bool) -> Pairs:
    """Request and response bytes of all exchanges."""
    pairs = []
    for n in range(EXCHANGES):
        mark = n if distinct else 0
        request = (
            b"GET /api/items/%d?page=1 HTTP/1.1\r\nHost: shop.example:8080\r\nAccept: application/json\r\n"
            b"User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nX-Request-Id: %032x\r\n%b\r\n" % (mark, mark, _FIELDS)
        )
        response = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 23 Nov 2026 15:%02d:%02d GMT\r\n"
            b"Content-Length: 1024\r\nX-Request-Id: %032x\r\n%b\r\n%b"
            % (mark // 60 % 60, mark % 60, mark, _FIELDS, b"x" * 1024)
        )
        pairs.append((request, response))
    return pairs


class Collector:
    """The least that a user of httptools has to do."""

    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.body: list[bytes] = []
        self.done = 0

    def on_message_begin(self) -> None:
        self.headers = []
        self.body = []

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_body(self, part: bytes) -> None:
        self.body.append(part)

    def on_message_complete(self) -> None:
        self.done += 1


def with_httptools(pairs: Pairs) -> int:
    asked, answered = Collector(), Collector()
    client, server = httptools.HttpRequestParser(asked), httptools.HttpResponseParser(answered)
    for request, response in pairs:
        client.feed_data(request)
        server.feed_data(response)
    assert asked.done == len(pairs)
    return answered.done


def with_observer(pairs: Pairs, token: object | None = 1) -> int:
    observer = ConnectionObserver(lambda request, at_ns: token)
    done = 0
    for n, (request, response) in enumerate(pairs):
        observer.client_bytes(request, n)
        for event in observer.server_bytes(response, n):
            assert isinstance(event, Finished)
            done += event.exchange.complete and event.exchange.response.body_bytes == 1024
    return done if token is not None else len(pairs)


def with_skim(pairs: Pairs) -> int:
    skim = Skim()
    return sum(skim.client_bytes(request) for request, _ in pairs)


def main() -> None:
    print(f"# {platform.machine()}, Python {platform.python_version()}, httptools {httptools.__version__}")
    print(f"# python bench/observe.py: {EXCHANGES} exchanges, {ROUNDS} rounds in turn; median us (least, most)")
    subjects: dict[str, Callable[[Pairs], int]] = {
        "httptools, both directions": with_httptools,
        "observer, recorded": with_observer,
        "observer, not recorded": lambda pairs: with_observer(pairs, None),
        "skim, client's side": with_skim,
    }
    for label, distinct in (("alike", False), ("distinct", True)):
        pairs = messages(distinct)
        took: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(ROUNDS):
            for name, subject in subjects.items():
                started = time.process_time()
                done = subject(pairs)
                took[name].append((time.process_time() - started) / EXCHANGES * 1e6)
                assert done == EXCHANGES, (name, done)
        base = took["httptools, both directions"]
        for name, us in took.items():
            ratio = statistics.median(b / u for b, u in zip(base, us, strict=True))
            print(f"{label:9} {name:28} {statistics.median(us):6.2f} us ({min(us):.2f}, {max(us):.2f})"
                  f"   {ratio:5.2f} x httptools' speed")  # fmt: skip


if __name__ == "__main__":
    main()
