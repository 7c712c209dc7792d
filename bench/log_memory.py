"""How much memory do stat, one by id, a time range and a merge of 16 segments take with 1,000,000 exchanges?

Each is done by a process of its own, whose greatest resident set (VmHWM) is what counts. bench/log_memory.py 200000
asks for fewer.
"""

from __future__ import annotations

import json
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from capture.exchange import Exchange, Request, Response, Times
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig

SEGMENTS = 16
START_NS = 1_700_000_000_000_000_000
LIMIT_MB = 200


def write(directory: Path, count: int) -> str:
    """Sixteen writers at once, so that every segment spans the whole time; returns the id of the last exchange."""
    chance = random.Random(3)
    config = LogConfig(fsync="off", segment_bytes=1 << 40, level=1)
    writers = [RecordWriter(directory, Exchange, EXCHANGE_KIND, config, {"source": "bench"}) for _ in range(SEGMENTS)]
    headers = (("Content-Type", "application/json"), ("Server", "nginx"))
    for n in range(count):
        body = b'{"id":%d,"name":"thing number %d","tags":["%x"],"pad":"%s"}' % (
            n,
            n,
            chance.getrandbits(64),
            b"x" * 800,
        )
        at = START_NS + n * 100_000
        record = Exchange(
            "",
            f"{chance.getrandbits(48):012x}" if n % 5 == 0 else "many",
            "relay",
            1.0,
            Request("GET", f"/api/things/{n}", "HTTP/1.1", (("Host", "shop.example"), ("User-Agent", "bench/1"))),
            Response(200, "OK", "HTTP/1.1", headers, body, len(body)),
            Times(at, at + 1000, at + 400_000, at + 500_000),
        )
        writers[n % SEGMENTS].write(record, at)
    for writer in writers:
        writer.close()
    return f"{writers[(count - 1) % SEGMENTS].segments_sealed[0].stem}-{(count - 1) // SEGMENTS}"


def measured(script: str, *args: str) -> tuple[str, float, float]:
    """(what it printed, seconds, greatest resident set in MB) of a Python program in a process of its own."""
    program = f"import re, sys\n{script}\nprint(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program, *args], capture_output=True, text=True, check=True)
    took = time.perf_counter() - start
    *lines, peak = done.stdout.splitlines()
    return "\n".join(lines), took, int(peak) / 1024


STAT = """
from capture.log.statistics import LogStatistics
from capture.log.reader import open_log
from capture.log.stat_report import stat_document
found = LogStatistics()
with open_log(sys.argv[1]) as log:
    for exchange in log.unordered():
        found.add(exchange)
    print(stat_document(log, found)["exchanges"])
"""
BY_ID = """
from capture.log.reader import open_log
with open_log(sys.argv[1]) as log:
    print(log.get(sys.argv[2]).request.target)
"""
RANGE = """
from capture.log.reader import open_log
with open_log(sys.argv[1]) as log:
    print(sum(1 for _ in log.exchanges(int(sys.argv[2]), int(sys.argv[3]))))
"""
MERGE = """
from capture.log.reader import open_log
last = count = 0
with open_log(sys.argv[1]) as log:
    assert len(log.segments) == 16
    for exchange in log.exchanges():
        assert exchange.times.request_start >= last
        last = exchange.times.request_start
        count += 1
print(count)
"""


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    directory = Path(tempfile.mkdtemp())
    try:
        start = time.perf_counter()
        last_id = write(directory, count)
        took = time.perf_counter() - start
        size = sum(path.stat().st_size for path in directory.iterdir())
        print(f"{platform.machine()}, Python {platform.python_version()}")
        print(f"bench/log_memory.py {count}: {count} exchanges in {SEGMENTS} segments, {size / 1e6:.0f} MB on disk")
        print(
            f"written in {took:.0f} s; the writer's peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MB"
        )
        low, high = START_NS + count // 2 * 100_000, START_NS + (count // 2 + 1000) * 100_000
        for name, script, args, expected in (
            ("stat", STAT, (), str(count)),
            ("one by id", BY_ID, (last_id,), f"/api/things/{count - 1}"),
            ("1,000 in a time range", RANGE, (str(low), str(high)), "1000"),
            ("a merge of 16 segments", MERGE, (), str(count)),
        ):
            printed, seconds, peak = measured(script, str(directory), *args)
            assert printed == expected, json.dumps([name, printed, expected])
            verdict = "under" if peak < LIMIT_MB else "OVER"
            print(f"{name:<24}{seconds:>8.2f} s{peak:>8.0f} MB   {verdict} {LIMIT_MB} MB")
            assert peak < LIMIT_MB, name
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
