"""Does the relay's memory stay flat over a million captured requests and two thousand idle connections?

wrk sends requests with varied targets, headers and bodies, some of them the last of their connection, through one relay
that captures all of it, redacted, with sessions by cookie; two thousand connections that have had one exchange stay
open all the while. Resident memory is read after every round. Caches fill in the beginning, and what is known of a
segment goes when it is sealed, so what counts is the greatest of the second half against that of the first. All idle
connections must still answer at the end, and the conservation line must add up to at least what wrk counted.

    .venv/bin/python bench/relay_memory.py [--requests 1000000] [--idle 2000]
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from capture.sources.relay.run import raise_descriptor_limit  # noqa: E402 - the checkout is not installed
from tests.support import nginx  # noqa: E402
from tests.support.relay import relay_process  # noqa: E402

ROUND_S = 5
GROWTH_MAX = 1.1
SERVER = """location / {{ default_type application/json;
  return 200 '{{"id":"$request_id","token":"$request_id","at":$msec,"n":"$arg_n","pad":"{pad}"}}'; }}"""
LUA = """
local letters = string.rep("lorem ipsum dolor sit amet ", 200)
math.randomseed(os.time() + %d)
request = function()
  local n = math.random(1000000000)
  local headers = {["Cookie"] = "sid=" .. tostring(math.random(20000) * 7919 %% 100003) .. "abcdef"}
  headers["X-Request-Id"] = string.format("%%x-%%x", n, math.random(1000000000))
  if n %% 20 == 0 then headers["Connection"] = "close" end
  local path = "/orders/" .. tostring(n) .. "?n=" .. tostring(n) .. "&page=" .. tostring(n %% 9)
  if n %% 5 > 0 then return wrk.format("GET", path, headers) end
  headers["Content-Type"] = "application/json"
  local body = string.format('{"password":"p%%dx","note":"%%s"}', n, string.sub(letters, 1, n %% 3000))
  return wrk.format("POST", path, headers, body)
end
"""
ENVIRON = {
    "UNDERSTUDY_CAPTURE_REDACTION_KEY": "00112233445566778899aabbccddeeff",
    "UNDERSTUDY_LOG_DISK_BYTES_MAX": str(128 << 20),
    "UNDERSTUDY_LOG_SEGMENT_BYTES": str(16 << 20),
    "UNDERSTUDY_GUARD_CPU_SHARE_MAX": "64",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--idle", type=int, default=2000)
    arguments = parser.parse_args()
    wrk = shutil.which("wrk")
    if wrk is None or nginx.NGINX is None:
        print("this benchmark needs nginx and wrk: apt-get install nginx-light wrk")
        return 2
    raise_descriptor_limit()
    print(f"{platform.platform()}, Python {platform.python_version()}; all captured, redacted, sessions by cookie")
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        up = stack.enter_context(
            nginx.serve(
                root / "up", SERVER.format(pad="x" * 900), "keepalive_timeout 3600s; client_body_timeout 3600s;"
            )
        )
        options = ("--session-key", "cookie:sid", "--session-key", "client")
        relay = stack.enter_context(relay_process(f"127.0.0.1:{up}", root / "log", *options, environ=ENVIRON))
        start_mb = rss_mb(relay.process.pid)
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", relay.port))) for _ in range(arguments.idle)]
        for connection in idle:
            ask(connection)
        print(f"start {start_mb:.1f} MB; with {arguments.idle} idle connections {rss_mb(relay.process.pid):.1f} MB")
        asked, rounds = 0, 0
        states: list[tuple[int, float]] = []
        while asked < arguments.requests:
            rounds += 1
            (root / "mix.lua").write_text(LUA % rounds)
            command = [
                wrk,
                "-t1",
                "-c32",
                f"-d{ROUND_S}s",
                "-s",
                str(root / "mix.lua"),
                f"http://127.0.0.1:{relay.port}/",
            ]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = re.search(r"(\d+) requests in", out)
            assert found is not None, out
            assert "Non-2xx" not in out, out
            asked += int(found[1])
            states.append((asked, rss_mb(relay.process.pid)))
            print(f"{asked:>9} requests  {states[-1][1]:6.1f} MB", flush=True)
        for connection in idle:
            ask(connection)
        counts = relay.stop()
        print(relay.out.strip().splitlines()[-1])
        assert counts.seen >= asked + 2 * arguments.idle, (counts.seen, asked)
    first = max(mb for requests, mb in states if requests <= asked / 2)
    second = max(mb for requests, mb in states if requests > asked / 2)
    print(f"greatest of the first half {first:.1f} MB, of the second {second:.1f} MB: x{second / first:.2f}")
    if second > first * GROWTH_MAX:
        print(f"MISSED: memory grew by more than {GROWTH_MAX - 1:.0%}")
        return 1
    return 0


def ask(connection: socket.socket) -> None:
    """One exchange on a kept connection."""
    connection.sendall(b"GET /idle HTTP/1.1\r\nHost: shop\r\n\r\n")
    got = b""
    while not got.endswith(b'"}'):
        piece = connection.recv(1 << 16)
        assert piece, "an idle connection was ended"
        got += piece


def rss_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
