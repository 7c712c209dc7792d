"""What does binding cost for each exchange whose answer is a JSON list of eighteen things, 145 values, all of them new?

CPU time of one process. Two fifths of the requests carry an id that the answer before them gave. `all` keeps every
value that an answer gives; `carried` first reads what the requests of the log carry, and keeps only that; both must
find the same links. Several rounds in turn.
"""

from __future__ import annotations

import gc
import json
import platform
import random
import statistics
import sys
import time
import uuid
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from capture.exchange import Exchange, Request, Response, Times
from replay.bind import Binder
from replay.carried import carried_by
from replay.link import Link
from replay.plan import Planned, Planner

EXCHANGES, SESSIONS, ROUNDS = 2000, 100, 5


def thing(chance: random.Random) -> dict[str, Any]:
    """One element of a list as services answer it."""
    number = chance.randrange(10**6)
    return {
        "id": number,
        "uuid": str(uuid.UUID(int=chance.getrandbits(128))),
        "name": f"thing number {chance.randrange(1000)}",
        "slug": f"thing-{number}-of-many",
        "price": chance.random(),
        "created": f"2026-01-02T03:04:{chance.randrange(60):02d}+00:00",
        "tags": ["red", "blue"],
        "url": f"/things/{number}",
    }


def recorded() -> list[Exchange]:
    """Sessions side by side; each asks for lists, and for things of the list before."""
    chance = random.Random(1)
    before: dict[str, list[dict[str, Any]]] = {}
    found = []
    for number in range(EXCHANGES):
        session, start = f"s{number % SESSIONS}", 10**18 + number * 1_000_000
        target = f"/things?page={chance.randrange(1000)}"
        if session in before and chance.random() < 0.4:
            target = f"/things/{chance.choice(before[session])['uuid']}?page={chance.randrange(9)}"
        things = before[session] = [thing(chance) for _ in range(18)]
        body = json.dumps({"items": things}).encode()
        headers = (("Host", "shop.example"), ("Authorization", f"Bearer abcdef0123456789{session}"))
        request = Request("GET", target, "HTTP/1.1", headers)
        response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
        times = Times(start, start, start + 500_000, start + 500_000)
        found.append(Exchange(f"b-{number}", session, "relay", 1.0, request, response, times))
    return found


def measure(exchanges: list[Exchange], plan: list[Planned], known: bool) -> tuple[float, float, list[tuple[Link, ...]]]:
    """us for reading ahead and us for binding, both an exchange, and the links."""
    began = time.process_time()
    carried = carried_by(exchanges, {}) if known else None
    ahead = time.process_time() - began
    binder = Binder(carried=carried)
    began = time.process_time()
    links = [binder.note(planned) for planned in plan]
    return ahead / len(plan) * 1e6, (time.process_time() - began) / len(plan) * 1e6, links


def main() -> None:
    """Both ways in turn."""
    gc.set_threshold(50_000, 1 << 30, 1 << 30)  # as a performance does
    exchanges = recorded()
    plan = list(Planner().plan(exchanges))
    sizes = statistics.mean(len(e.response.body or b"") for e in exchanges if e.response is not None)
    print(f"{platform.platform()}, Python {platform.python_version()}; {EXCHANGES} exchanges, {sizes:.0f} byte bodies")
    rounds = [(measure(exchanges, plan, False), measure(exchanges, plan, True)) for _ in range(ROUNDS)]
    assert all(whole[2] == known[2] for whole, known in rounds), "the links differ"
    count = sum(map(len, rounds[0][0][2]))
    print(f"{count} links\n")
    for name, at in (("all", 0), ("carried", 1)):
        binding = [pair[at][1] for pair in rounds]
        ahead = statistics.median(pair[at][0] for pair in rounds)
        spread = f"{statistics.median(binding):.0f} ({min(binding):.0f} to {max(binding):.0f})"
        print(f"{name:8} {spread:>24} us CPU an exchange, and {ahead:.0f} for reading ahead")
    ratios = [whole[1] / (known[0] + known[1]) for whole, known in rounds]
    print(f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")


if __name__ == "__main__":
    main()
