"""Where does the relay's processor time go: forwarding, observing, redacting, writing?

wrk sends the requests of bench/relay.py, each of which differs, through relays that do ever more: keep nothing; keep
everything as it was seen; redact it. What each stage takes is the difference to the one before. Processor time is that
of the threads of one relay (proc(5)), in us a request: of the event loop in user and in system mode, and of the log's.
It bears other work on the machine better than throughput does. Every relay's conservation line must add up.

    .venv/bin/python bench/relay_stages.py [--seconds 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).resolve().parents[1])]

import relay  # noqa: E402 - bench/relay.py, beside this file

from tests.support import nginx  # noqa: E402
from tests.support.relay import RelayProcess, relay_process  # noqa: E402

STAGES = (
    ("forwarded only: its client is left out", ("--sample", "0.01", "--scribe", "off"), False),
    ("1 % of users kept, a header decides", ("--sample", "0.01", "--session-key", "header:x-user"), False),
    ("observed, kept as seen, logged", ("--sample", "1", "--redact", "off", "--scribe", "off"), False),
    ("the same, redacted", ("--sample", "1", "--scribe", "off"), False),
    ("the same, with a new cookie and token each", ("--sample", "1", "--scribe", "off"), True),
)


class Spent(NamedTuple):
    """us a request of one round."""

    loop_user: float
    loop_system: float
    others: float


def ticks(pid: int) -> tuple[int, int, int]:
    """User and system time of the first thread, and both of all others."""
    user = system = others = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        if task.name == str(pid):
            user, system = int(fields[11]), int(fields[12])
        else:
            others += int(fields[11]) + int(fields[12])
    return user, system, others


def spent(wrk: str, process: RelayProcess, root: Path, seconds: int) -> Spent:
    before = ticks(process.process.pid)
    _, requests, _ = relay.ask(wrk, "", process.port, root, relay.CONNECTIONS, seconds)
    time.sleep(1)  # what waits for the log is written within its flush interval
    unit_us = 1_000_000 / os.sysconf("SC_CLK_TCK") / requests
    return Spent(*((after - was) * unit_us for after, was in zip(ticks(process.process.pid), before, strict=True)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    wrk = shutil.which("wrk")
    if wrk is None or nginx.NGINX is None:
        print("this benchmark needs nginx and wrk: apt-get install nginx-light wrk")
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-relay-") as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        for name in ("False", "True", "up"):
            (root / name).mkdir()
        for secrets in (False, True):
            head = f"local SECRETS = {str(secrets).lower()}\nlocal ALIKE = false\n"
            (root / str(secrets) / "varied.lua").write_text(head + relay.VARIED)
        fields = 'add_header X-Request-Id $request_id; add_header ETag "$request_id"; add_header Cache-Control private;'
        answer = f"default_type application/json; {fields} return 200 '{relay.ANSWER}';"
        up = stack.enter_context(nginx.serve(root / "up", f"location / {{ {answer} }}"))
        relays = [
            stack.enter_context(relay_process(f"127.0.0.1:{up}", root / f"log{n}", *options, environ=relay.KEY))
            for n, (_, options, _) in enumerate(STAGES)
        ]
        taken: list[list[Spent]] = [[] for _ in STAGES]
        for turn in range(arguments.rounds + 1):  # the first one is to warm up
            for n, (_, _, secrets) in enumerate(STAGES):
                one = spent(wrk, relays[n], root / str(secrets), arguments.seconds if turn else 1)
                if turn:
                    taken[n].append(one)
        print(f"{'us of processor time a request':44} {'loop, user':>10} {'system':>8} {'log':>6} {'all':>6}")
        for (name, _, _), rounds in zip(STAGES, taken, strict=True):
            row = [statistics.median(column) for column in zip(*rounds, strict=True)]
            print(f"{name:44} {row[0]:10.1f} {row[1]:8.1f} {row[2]:6.1f} {sum(row):6.1f}")
        for process in relays:
            process.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
