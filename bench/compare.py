"""How fast are two bodies and two whole outcomes compared, and how does that stand against DeepDiff on the same pair?

Every timed call is checked first. Each round times all cases in turn; the ratio to DeepDiff is taken within a round.
"""

from __future__ import annotations

import copy
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from deepdiff import DeepDiff

from capture.exchange import Headers, Response
from diff.body.tree import compare_values
from diff.collector import Collector
from diff.compare import compare_bodies, compare_outcomes
from diff.options import DEFAULT_OPTIONS
from replay.outcome import Outcome

ROUNDS = 7
JSON = "application/json"


def document() -> dict[str, Any]:
    """About 1 kB of JSON like an API's answer: nested, with text, numbers, booleans and a list of 10 objects."""
    items = [
        {"sku": f"SKU-{n:04}", "name": f"Thing no. {n}", "price": 9.5 + n, "in_stock": n % 3 > 0} for n in range(10)
    ]
    user = {"id": 4711, "name": "Zoë", "email": "z@example.org", "roles": ["admin", "ops"], "tenant": None}
    return {"order": {"id": 12345, "state": "paid", "user": user, "items": items}, "total": 140.5, "next": "/v1/x?p=2"}


def encoded(value: Any, **how: Any) -> bytes:
    how = {"separators": (",", ":"), "sort_keys": False} | how  # without white space, as most servers write it
    return json.dumps(value, ensure_ascii=False, **how).encode()


def outcome(build: str, body: bytes, date: str) -> Outcome:
    headers: Headers = (
        ("Date", date),
        ("Server", "nginx"),
        ("Content-Type", JSON),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "max-age=60, public"),
        ("Vary", "Accept-Encoding"),
        ("X-Request-Id", date),
        ("Set-Cookie", "sid=1; Path=/; HttpOnly"),
    )
    return Outcome(build, "current", 0, 0, 0, 0, response=Response(200, "OK", "HTTP/1.1", headers, body))


def seconds_per_call(call: Callable[[], object], budget_s: float = 0.12) -> float:
    """Mean of as many calls as fit the budget."""
    calls, spent = 0, 0.0
    while spent < budget_s:
        batch = max(1, calls)
        started = time.process_time()
        for _ in range(batch):
            call()
        spent += time.process_time() - started
        calls += batch
    return spent / calls


def main() -> None:
    """Check, time in turn, print."""
    plain = document()
    changed = copy.deepcopy(plain)
    changed["order"]["items"][6]["price"] = 99.0
    rows = [{"id": n, "text": f"row {n}", "ok": True} for n in range(1000)]
    inserted = [{"id": -1, "text": "new", "ok": True}, *rows]

    left = encoded(plain)
    twin = bytes(bytearray(left))
    indented = encoded(plain, indent=2)
    sorted_keys = encoded(plain, sort_keys=True)
    leaf = encoded(changed)
    long, long_inserted = encoded(rows), encoded(inserted)
    one, two, three = outcome("a", left, "x"), outcome("b", twin, "y"), outcome("b", leaf, "z")

    def bodies(mine: bytes, other: bytes) -> Callable[[], Any]:
        return lambda: compare_bodies(mine, other, JSON, JSON)

    cases: dict[str, tuple[Callable[[], Any], int]] = {
        "equal bytes": (bodies(left, twin), 0),
        "re-indented, equal values": (bodies(left, indented), 0),
        "keys in another order, equal values": (bodies(left, sorted_keys), 0),
        "one changed leaf": (bodies(left, leaf), 1),
        "one element inserted at the head of 1,000": (bodies(long, long_inserted), 1),
        "whole outcomes, equal but for Date and ids": (lambda: compare_outcomes(one, two), 0),
        "whole outcomes, one changed leaf": (lambda: compare_outcomes(one, three), 1),
    }
    for name, (call, count) in cases.items():
        found = call().differences
        assert len(found) == count, (name, found)

    def values() -> Collector:
        collector = Collector(10)
        compare_values(plain, changed, collector, DEFAULT_OPTIONS, faithful=True)
        return collector

    assert len(values().differences) == 1
    deep = {
        "DeepDiff, one changed leaf, values given": lambda: DeepDiff(plain, changed),
        "DeepDiff, one changed leaf, bodies given": lambda: DeepDiff(json.loads(left), json.loads(leaf)),
    }
    for call in deep.values():
        assert list(call()) == ["values_changed"]
    # Each beside what does the same work, and last the unfair pair: bodies given to us, values to DeepDiff.
    ratios = [
        ("one changed leaf, values given", "values"),
        ("one changed leaf", "bodies"),
        ("one changed leaf", "values"),
    ]

    everything: dict[str, Callable[[], Any]] = {name: call for name, (call, _) in cases.items()} | deep
    everything["one changed leaf, values given"] = values
    times: dict[str, list[float]] = {name: [] for name in everything}
    gc.freeze()
    for _ in range(ROUNDS):
        for name, call in everything.items():
            times[name].append(seconds_per_call(call))

    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("msgspec", "deepdiff"))
    print(
        f"command: python bench/compare.py; {platform.python_implementation()} {platform.python_version()}, {versions}"
    )
    print(
        f"machine: {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; CPU time of one process"
    )
    print(
        f"body: {len(left)} bytes of JSON ({len(indented)} indented); {ROUNDS} rounds in turn: median (lowest-highest)"
    )
    for name, taken in times.items():
        rates = sorted(1 / one_call for one_call in taken)
        print(f"  {name:46} {statistics.median(rates):>12,.0f} /s  ({rates[0]:,.0f}-{rates[-1]:,.0f})")
    for mine, given in ratios:
        reference = f"DeepDiff, one changed leaf, {given} given"
        found = sorted(slow / fast for slow, fast in zip(times[reference], times[mine], strict=True))
        print(f"  {mine}, ratio to {reference}: {statistics.median(found):.0f} x ({found[0]:.0f}-{found[-1]:.0f})")


if __name__ == "__main__":
    main()
