"""How many pairs a second does judging get through, in what memory, and what do more processes bring?

bench/judge.py COUNT [--run DIR]: a run of COUNT pairs is written (and kept in DIR, where it is used again), then judged
by one process and by one on each core, in a process of its own each time. The reports must be the same bytes.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from replay.outcome import Performance
from replay.run import RunWriter, open_run
from tests.support.defects import DEFECTS
from tests.support.service import stream

_DEFECT = next(defect for defect in DEFECTS if defect.name == "a field missing in every row")


def performances(count: int) -> Iterator[Performance]:
    """`count` performances in bounded memory, the same each time; sessions of ten requests."""
    return stream(1, count, max(60, count // 10), _DEFECT.defect, True, 3, None, True, None)


def write(directory: Path, count: int) -> None:
    """A run with a reference at an address of its own."""
    names = ("current", "reference", "candidate")
    builds = [{"name": name, "role": name, "url": f"http://127.0.0.1:{port}"} for port, name in enumerate(names, 9001)]
    writer = RunWriter(directory, {"builds": builds})
    for performance in performances(count):
        while not writer.clear:
            time.sleep(0.01)
        writer.record(performance)
    writer.close({"partial": False, "ended": "2026-01-01T00:00:00Z", "ledger": {"planned": count}})


def _resident_kb(pid: int) -> int:
    """Of a process and those that it started."""
    total, waiting = 0, [pid]
    while waiting:
        one = waiting.pop()
        try:
            for line in Path(f"/proc/{one}/status").read_text().splitlines():
                total += int(line.split()[1]) if line.startswith("VmRSS") else 0
            for task in Path(f"/proc/{one}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
        except OSError:
            continue  # It has ended meanwhile.
    return total


def judged(run: Path, workers: int, report: Path) -> tuple[float, float, float]:
    """(seconds by the clock, CPU seconds, most MB of memory of all processes together) of `understudy diff`."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    front_door = Path(__file__).parents[1] / "understudy.py"
    words = [sys.executable, front_door, "diff", run, "-q", "--workers", str(workers), "--json", report]
    process = subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL)
    peak_kb, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal peak_kb
        while not ended.wait(0.2):
            peak_kb = max(peak_kb, _resident_kb(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.wait() == 1, process.returncode
    ended.set()
    watcher.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, cpu, peak_kb / 1024


def main() -> None:
    """Write, judge in turn, check, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int, nargs="?", default=40_000)
    parser.add_argument("--run", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        place = asked.run or Path(temporary) / "run"
        if not place.exists():
            write(place, asked.count)
        count = open_run(place).ledger["planned"]
        print(f"{platform.machine()}, Python {platform.python_version()}, msgspec {metadata.version('msgspec')}")
        print(f"bench/judge.py {count}: {count} pairs with reference, every response noisy, one planted defect")
        reports = []
        for workers in sorted({1, os.cpu_count() or 1}):
            report = Path(temporary) / f"{workers}.json"
            clock, cpu, peak = judged(place, workers, report)
            reports.append(report.read_bytes())
            print(
                f"  {workers} processes: {clock:.1f} s, {count / clock:,.0f} pairs a second, {cpu:.1f} CPU seconds, "
                f"{count / cpu:,.0f} pairs each, {peak:.0f} MB in all"
            )
        assert len(set(reports)) == 1, "the report depends on the number of processes"
        assert b'"count"' in reports[0]


if __name__ == "__main__":
    main()
