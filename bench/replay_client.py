"""How many requests does the replay client send per CPU second, against hey, aiohttp and wrk, on nginx with 1 kB?

Closed loop of 64 connections (or UNDERSTUDY_BENCH_CONNECTIONS). All clients run in turn in processes of their own
against one nginx worker, several rounds; the figure is requests per second of the client's own CPU time (user and
system), which does not depend on what else the machine does; requests per second of wall time are printed beside it.
`wire` is the bare client, `perform` the whole engine (plan, pairing on one build, outcomes, ledger), `replay` the
command itself with log and run on disk. Where there is a C compiler, the last two are also run compiled, as
`UNDERSTUDY_COMPILE=1 pip install .` would install them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import aiohttp
import uvloop

from capture.clock import Clock
from capture.exchange import Exchange, Request, Response, Times
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig
from replay.bind import Binder
from replay.clients.base import Endpoint, Job, Limits
from replay.clients.wire import WireClient
from replay.compiled import is_compiled
from replay.pace import Closed
from replay.perform import Performer
from replay.plan import Planner
from replay.stage import Options, Stage

BODY = (b'{"items": [' + b", ".join(b'{"id": %d, "name": "thing"}' % n for n in range(1000, 1036)) + b"]}")[:1024]
ROOT = Path(__file__).resolve().parents[1]
COMPILED = " compiled"
CONNECTIONS = int(os.environ.get("UNDERSTUDY_BENCH_CONNECTIONS", "64"))
REQUESTS = 20_000
REPLAYED = 100_000
ROUNDS = 3
HEADERS = (
    ("Host", "shop.example"),
    ("User-Agent", "bench/1"),
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate"),
    ("Connection", "keep-alive"),
)


@contextlib.contextmanager
def nginx() -> Iterator[int]:
    """One nginx worker on a free port that serves /1k.json; ended by its pid."""
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        home = Path(name)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        (home / "1k.json").write_bytes(BODY)
        (home / "nginx.conf").write_text(
            f"worker_processes 1; daemon off; pid {home}/pid; error_log {home}/error.log;\n"
            "events { worker_connections 1024; }\n"
            "http { access_log off; keepalive_requests 100000000; default_type application/json;\n"
            f"client_body_temp_path {home}/b; proxy_temp_path {home}/p; fastcgi_temp_path {home}/f;\n"
            f"uwsgi_temp_path {home}/u; scgi_temp_path {home}/s;\n"
            f"server {{ listen 127.0.0.1:{port}; root {home}; }} }}\n"
        )
        os.chmod(home, 0o755)
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", name, "-c", str(home / "nginx.conf")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait(10)


async def wire(port: int, requests: int) -> int:
    """The bare client: one job after the other on every connection; answers that are whole and right."""
    endpoint = Endpoint("http", "127.0.0.1", port, f"127.0.0.1:{port}")
    client = WireClient(endpoint, Limits(connections_max=CONNECTIONS), Clock())
    await client.open()
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    request = Request("GET", "/1k.json", "HTTP/1.1", HEADERS[:4])
    begun = ended = right = 0

    def done(job: Job) -> None:
        nonlocal begun, ended, right
        ended += 1
        right += job.response is not None and job.response.status == 200 and job.response.body == BODY
        if begun < requests:
            begun += 1
            client.perform(Job(request, done))
        elif ended == requests:
            over.set_result(None)

    for _ in range(CONNECTIONS):
        begun += 1
        client.perform(Job(request, done))
    await over
    await client.close()
    return right


async def perform(port: int, captured: list[Exchange]) -> int:
    """The engine: plan, bindings, pairing, outcomes and ledger; read from memory and recorded to nowhere."""
    endpoint = Endpoint("http", "127.0.0.1", port, f"127.0.0.1:{port}")
    clock = Clock()
    client = WireClient(endpoint, Limits(connections_max=CONNECTIONS), clock)
    await client.open()
    stage = Stage("current", "current", client, endpoint.authority)
    performer = Performer([stage], Closed(CONNECTIONS), Options("bench"), clock, lambda _: None, Binder())
    await performer.perform(zip(itertools.repeat(0), Planner().plan(captured)))
    await client.close()
    return stage.answered


async def with_aiohttp(port: int, requests: int) -> int:
    """aiohttp as it is fastest: one session, no cookies, as many tasks as connections."""
    left = iter(range(requests))
    right = 0
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def worker() -> None:
            nonlocal right
            for _ in left:
                async with session.get(f"http://127.0.0.1:{port}/1k.json") as response:
                    right += await response.read() == BODY

        await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return right


def exchanges(count: int) -> Iterator[Exchange]:
    """A log of as many users as connections, each doing one thing after the other."""
    response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), BODY, len(BODY))
    request = Request("GET", "/1k.json", "HTTP/1.1", HEADERS)
    for number in range(count):
        start = 10**18 + number * 1_000_000
        times = Times(start, start, start + 500_000, start + 500_000)
        yield Exchange(f"b-{number}", f"s{number % 1000}", "relay", 1.0, request, response, times)


CLIENTS = ("wire", "perform", "aiohttp")


def child(name: str, port: int) -> None:
    """Run one client in this process and print what it took."""
    captured = list(exchanges(REQUESTS)) if name == "perform" else []
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    match name:
        case "wire":
            right = uvloop.run(wire(port, REQUESTS))
        case "perform":
            right = uvloop.run(perform(port, captured))
        case _:
            right = uvloop.run(with_aiohttp(port, REQUESTS))
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"right": right, "cpu": cpu, "wall": wall, "compiled": is_compiled()}))


def compiled_tree(scratch: Path) -> Path | None:
    """The project with its engine compiled, unpacked below `scratch`; None where there is no C compiler."""
    if shutil.which("cc") is None:
        return None
    pip = "-m pip wheel -q --disable-pip-version-check --no-deps --no-build-isolation -w"
    command = [sys.executable, *pip.split(), str(scratch), str(ROOT)]
    subprocess.run(command, env={**os.environ, "UNDERSTUDY_COMPILE": "1"}, check=True, timeout=120)
    tree = scratch / "compiled"
    zipfile.ZipFile(next(scratch.glob("*.whl"))).extractall(tree)
    return tree


def measure(command: list[str], tree: Path | None = None) -> tuple[str, float, float]:
    """stdout, CPU seconds and wall seconds of a command that imports the project from `tree`, None for here."""
    place = tree or ROOT
    environ = {**os.environ, "PYTHONPATH": str(place)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environ, cwd=place)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def one(name: str, port: int, log: Path, scratch: Path, compiled: Path | None) -> tuple[float, float]:
    """(requests per CPU second, requests per second) of one client, its answers checked."""
    tree = compiled if name.endswith(COMPILED) else None
    name = name.removesuffix(COMPILED)
    if name in CLIENTS:
        out, _, _ = measure([sys.executable, str(Path(__file__).resolve()), "--child", name, str(port)], tree)
        result = json.loads(out)
        assert result["right"] == REQUESTS, f"{name}: {result['right']} of {REQUESTS} answers were right"
        assert result["compiled"] == (tree is not None)
        return REQUESTS / result["cpu"], REQUESTS / result["wall"]
    url = f"http://127.0.0.1:{port}/1k.json"
    if name == "replay":
        # Pairs of two builds, so every exchange is two requests; start-up, reading and writing included.
        run = scratch / f"run-{time.monotonic_ns()}"
        address = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "understudy", "replay", str(log), "--current", address]
        command += ["--candidate", address, "--run", str(run), "--concurrency", str(CONNECTIONS // 2)]
        out, cpu, wall = measure(command, tree)
        assert f"answered={REPLAYED // 2} failed=0" in out, out
        assert json.loads((run / "manifest.json").read_bytes())["compiled"] == (tree is not None)
        return REPLAYED / cpu, REPLAYED / wall
    if name == "hey":
        out, cpu, wall = measure(["hey", "-n", str(REQUESTS), "-c", str(CONNECTIONS), url])
        assert f"[200]\t{REQUESTS} responses" in out or f"{REQUESTS // CONNECTIONS * CONNECTIONS} responses" in out, out
        return REQUESTS / cpu, REQUESTS / wall
    out, cpu, wall = measure(["wrk", "-t1", f"-c{CONNECTIONS}", "-d2s", url])
    count = int(next(line for line in out.splitlines() if "requests in" in line).split()[0])
    return count / cpu, count / wall


def main() -> None:
    """Every client in turn, several rounds, and the ratios."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"uvloop {metadata.version('uvloop')}, aiohttp {metadata.version('aiohttp')}, {CONNECTIONS} connections,")
    print(f"{REQUESTS} requests a round, {REPLAYED} of `replay`, {ROUNDS} rounds")
    print(f"nginx, 1 worker, {len(BODY)} byte body\n")
    names = ["wire", "perform", "replay", "aiohttp"] + [name for name in ("hey", "wrk") if shutil.which(name)]
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        compiled = compiled_tree(scratch)
        if compiled is not None:
            names += ["perform" + COMPILED, "replay" + COMPILED]
            figures = {name: [] for name in names}
        log = scratch / "log"
        writer = RecordWriter(log, Exchange, EXCHANGE_KIND, LogConfig(), {})
        for item in exchanges(REPLAYED // 2):
            writer.write(item, item.times.request_start)
        writer.close()
        with nginx() as port:
            for _ in range(ROUNDS):
                for name in names:
                    figures[name].append(one(name, port, log, scratch, compiled))
    print(f"{'client':16} {'requests per CPU second':>26} {'us CPU a request':>18} {'requests/s':>12}")
    best = {}
    for name, rounds in figures.items():
        per_cpu = [figure[0] for figure in rounds]
        best[name] = statistics.median(per_cpu)
        wall = statistics.median(figure[1] for figure in rounds)
        spread = f"{best[name]:.0f} ({min(per_cpu):.0f}-{max(per_cpu):.0f})"
        print(f"{name:16} {spread:>26} {1e6 / best[name]:>18.1f} {wall:>12.0f}")
    print()
    for name in ("aiohttp", "hey"):
        if name in best:
            mine = [ours for ours in names if ours.partition(" ")[0] in ("wire", "perform", "replay")]
            ratios = ", ".join(f"{ours} {best[ours] / best[name]:.2f} x" for ours in mine)
            print(f"against {name}: {ratios} requests per CPU second")
    if "hey" not in best:
        print("hey is not on the PATH: no comparison with it")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]))
    else:
        main()
