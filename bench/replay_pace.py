"""Does the replay keep its schedule, tell the truth about latency, stay small, and know when it was itself too slow?

Every question is put to the command `understudy replay` with a log and a run on disk and two builds, the same server
under both names; what it says is read from the run. Name the questions to ask, or none for all but `million`.

lateness: a fixed rate of 2,000 pairs a second for 20 s: planned against actual send. drift: recorded times at 1x over
60 s: the last sends against the first. truth: a server that sleeps a known distribution and says how long it slept:
reported p50, p90, p99. stall: the server stands still for a second; what the latencies from the planned send say.
busy: as lateness, while other processes want the whole machine: the verdict on timing must be withheld. stopped: the
generator is stopped for two of about ten seconds, at a rate and in a closed loop: withheld, too. million: a million
exchanges in a closed loop over nginx: resident memory over the time, and the size of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.replay_client import nginx
from capture.exchange import Exchange, Request, Response, Times, header
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig
from replay.outcome import Outcome
from replay.run import Run, open_run

HEAD = b"HTTP/1.1 200 OK\r\nX-Slept-Us: %d\r\nContent-Length: %d\r\n\r\n%b"
BODY = b'{"id": 1234567, "name": "a thing of some length"}'
STALL_AFTER_S, STALL_S = 2.0, 1.0


def slept_ms(number: int) -> float:
    """How long the server sleeps before it answers request `number`: 1 to 40 ms, most of them short."""
    return 1 + 39 * random.Random(number).random() ** 4


class Server(asyncio.Protocol):
    """Answers at once; after `slept_ms` where the target is /s and a number; not for a second, once, where it is /o."""

    stall_at: float | None = None
    waiting: list[Server] = []  # noqa: RUF012  one process, one list

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        target = data.split(b" ", 2)[1]
        now, loop = time.perf_counter(), asyncio.get_running_loop()
        if target[:2] == b"/s":
            loop.call_later(slept_ms(int(target[2:])) / 1e3, self.answer, now)
            return
        if target[:2] == b"/o":
            Server.stall_at = Server.stall_at or now + STALL_AFTER_S
            left = Server.stall_at + STALL_S - now
            if 0 < left <= STALL_S:
                loop.call_later(left, self.answer, now)
                return
        self.answer(now)

    def answer(self, began: float) -> None:
        """Say how long it really slept: the loop's timers count milliseconds."""
        self.transport.write(HEAD % (round((time.perf_counter() - began) * 1e6), len(BODY), BODY))


async def serve() -> None:
    """Listen, print the port, and go on until killed."""
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.sleep(3600)


@contextlib.contextmanager
def server() -> Iterator[int]:
    """The server in a process of its own; its port."""
    process = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def write_log(directory: Path, count: int, gap_ms: float, target: str, sessions: int) -> Path:
    """A log of exchanges at even gaps, of as many users, each doing one thing after the other."""
    response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), BODY, len(BODY))
    writer = RecordWriter(directory, Exchange, EXCHANGE_KIND, LogConfig(compact=False), {})
    for number in range(count):
        start = 10**18 + round(number * gap_ms * 1e6)
        request = Request("GET", target.format(number), "HTTP/1.1", (("Host", "h"), ("Accept", "*/*")))
        times = Times(start, start, start + 1000, start + 1000)
        writer.write(Exchange("", f"s{number % sessions}", "relay", 1.0, request, response, times), start)
    writer.close()
    return directory


def replay(home: Path, log: Path, port: int, *options: str, watch: Callable[[int], None] | None = None) -> Run:
    """The run that the command makes; every request must have been answered."""
    address, place = f"http://127.0.0.1:{port}", home / "run"
    home.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "understudy", "replay", str(log), "--current", address, "--candidate", address]
    process = subprocess.Popen([*command, "--run", str(place), *options], stdout=subprocess.DEVNULL)
    try:
        while watch is not None and process.poll() is None:
            watch(process.pid)
            time.sleep(0.5)
        assert process.wait(160) == 0
    finally:
        process.kill()
        process.wait()
    run = open_run(place)
    ledger = run.ledger
    assert all(ledger["answered"][build["name"]] == ledger["sent"] for build in run.builds), ledger
    return run


def outcomes(run: Run) -> list[Outcome]:
    """Those of all builds, in the order of the plan."""
    return sorted((o for p in run.performances() for o in p.outcomes), key=lambda outcome: outcome.planned_ns)


def verdict(run: Run) -> str:
    """What the run says of the generator."""
    generator = run.manifest["generator"]
    said = f"late: {generator['why']}" if generator["late"] else "not late"
    return f"{generator['busy_share']:.0%} of a core; the generator was {said}"


def percentile(values: list[float], share: float) -> float:
    """The exact quantile of all samples."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def lateness(home: Path, port: int) -> None:
    """2,000 pairs a second, that is 4,000 requests."""
    run = replay(home, write_log(home / "log", 20_000, 0.5, "/x", 1000), port, "--rate", "2000")
    late = run.manifest["lateness"]
    print(
        f"lateness at 2,000/s on two builds: p50 {late['p50_ns'] / 1e6:.2f} ms, p99 {late['p99_ns'] / 1e6:.2f} ms,"
        f" max {late['max_ns'] / 1e6:.2f} ms (mark: p99 <= 2 ms), {verdict(run)}"
    )


def drift(home: Path, port: int) -> None:
    """The whole minute, at fifty a second."""
    kept = outcomes(replay(home, write_log(home / "log", 3001, 20, "/x", 100), port, "--speed", "1"))
    span = kept[-1].planned_ns - kept[0].planned_ns
    late_ms = [((outcome.sent_ns or 0) - outcome.planned_ns) / 1e6 for outcome in kept]
    change = statistics.median(late_ms[-200:]) - statistics.median(late_ms[:200])
    print(f"drift at 1x over {span / 1e9:.1f} s: {change:+.3f} ms, worst send {max(late_ms):.2f} ms late (mark: 10 ms)")


def truth(home: Path, port: int) -> None:
    """What the server slept, and what the run says."""
    kept = outcomes(replay(home, write_log(home / "log", 6000, 5, "/s{}", 1000), port, "--rate", "300"))
    slept = [int(header(o.response.headers, "x-slept-us") or 0) / 1e3 for o in kept if o.response is not None]
    for name, told in (
        ("from actual send", [(outcome.latency_ns or 0) / 1e6 for outcome in kept]),
        ("from the plan", [outcome.latency_from_plan_ns / 1e6 for outcome in kept]),
    ):
        for share in (0.5, 0.9, 0.99):
            real, said = percentile(slept, share), percentile(told, share)
            print(
                f"latency {name}, p{share * 100:.0f}: slept {real:.2f} ms, reported {said:.2f} ms,"
                f" off by {said - real:+.2f} ms (mark: {0.03 * real + 0.3:.2f} ms)"
            )


def stall(home: Path, port: int) -> None:
    """Requests that come in the stalled second wait for its end, however many connections there are."""
    log = write_log(home / "log", 3000, 2, "/o", 1)
    kept = outcomes(replay(home, log, port, "--rate", "500"))
    planned = [outcome.latency_from_plan_ns / 1e6 for outcome in kept]
    sent = [(outcome.latency_ns or 0) / 1e6 for outcome in kept]
    long = sum(value > 100 for value in planned) / len(kept)
    print(
        f"a second's stall in {len(kept) // 1000} s of one session: from the plan max {max(planned):.0f} ms,"
        f" {long:.0%} of requests above 100 ms; from actual send {sum(v > 100 for v in sent) / len(kept):.1%}"
    )


def busy(home: Path, port: int) -> None:
    """As many processes that only compute as there are cores, twice."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        run = replay(home, write_log(home / "log", 20_000, 0.5, "/x", 1000), port, "--rate", "2000")
    finally:
        for other in others:
            other.kill()
            other.wait()
    late = run.manifest["lateness"]
    print(f"on a busy machine: p99 {late['p99_ns'] / 1e6:.2f} ms late, {verdict(run)}")


def stopped(home: Path, port: int) -> None:
    """SIGSTOP in the third second, SIGCONT two seconds later."""
    log = write_log(home / "log", 3000, 3, "/s{}", 300)
    for pace in (("--rate", "300"), ("--concurrency", "8")):
        looks = 0

        def stop(pid: int) -> None:
            nonlocal looks
            looks += 1
            if looks in (6, 10):
                os.kill(pid, signal.SIGSTOP if looks == 6 else signal.SIGCONT)

        print(f"stopped for 2 s, {' '.join(pace)}: {verdict(replay(home / pace[1], log, port, *pace, watch=stop))}")


def million(home: Path, _port: int) -> None:
    """Resident memory every half second; the answers of nginx are 1 kB."""
    log = write_log(home / "log", 1_000_000, 1, "/1k.json", 1000)
    resident: list[int] = []

    def watch(pid: int) -> None:
        with contextlib.suppress(OSError):
            resident.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"))

    with nginx() as port:
        began = time.monotonic()
        run = replay(home, log, port, "--concurrency", "32", watch=watch)
        took = time.monotonic() - began
    sent = run.manifest["ledger"]["sent"]
    at = {share: resident[min(int(share * len(resident)), len(resident) - 1)] >> 20 for share in (0.1, 0.25, 0.5, 0.75)}
    shown = ", ".join(f"{size} MB at {share:.0%}" for share, size in at.items())
    size = sum(file.stat().st_size for file in (home / "run").rglob("*") if file.is_file())
    print(
        f"{json.dumps(sent)} exchanges on two builds in {took:.0f} s, {2 * sent / took:,.0f} requests/s: {shown},"
        f" {max(resident) >> 20} MB at most; the run takes {size >> 20} MB of disk"
    )


QUESTIONS = {
    "lateness": lateness, "drift": drift, "truth": truth, "stall": stall, "busy": busy, "stopped": stopped,
    "million": million,
}  # fmt: skip


def main(names: list[str]) -> None:
    """Each question with a server and a directory of its own."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name in names or [name for name in QUESTIONS if name != "million"]:
        with tempfile.TemporaryDirectory() as home, server() as port:
            QUESTIONS[name](Path(home), port)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        uvloop.run(serve())
    else:
        main(sys.argv[1:])
