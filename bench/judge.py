"""How many pairs a second does judging get through, and in what memory? bench/judge.py 1000000 asks for a million."""

from __future__ import annotations

import datetime
import platform
import resource
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from diff.judge import Subject, judge
from diff.settings import DiffConfig
from replay.outcome import Performance
from tests.support.defects import DEFECTS
from tests.support.service import stream

_DEFECT = next(defect for defect in DEFECTS if defect.name == "a field missing in every row")


def performances(count: int) -> Iterator[Performance]:
    """`count` performances in bounded memory, the same each time; sessions of ten requests."""
    return stream(1, count, max(60, count // 10), _DEFECT.defect, True, 3, None, True, None)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    subject = Subject(lambda: performances(count), current="current", candidates=["candidate"], reference="reference")
    start = time.process_time()
    for _ in performances(count):
        pass
    making = 2 * (time.process_time() - start)
    rounds = []
    for _ in range(3 if count <= 50_000 else 1):
        start = time.process_time()
        report = judge(subject, DiffConfig(), [], datetime.date(2026, 1, 1))
        rounds.append(time.process_time() - start - making)
        found = report.candidates["candidate"]
        assert [(one.route, one.path) for one in found.findings] == [(_DEFECT.route, _DEFECT.path)], found.findings
        assert found.totals.same + found.totals.noisy + found.totals.different == count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{platform.machine()}, Python {platform.python_version()}, msgspec {metadata.version('msgspec')}")
    print(f"bench/judge.py {count}: {count} pairs with reference, every response noisy, one planted defect")
    rates = sorted(count / took for took in rounds)
    print(f"{rates[len(rates) // 2]:,.0f} pairs a CPU second ({rates[0]:,.0f} to {rates[-1]:,.0f}), peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
