"""A service in memory with natural noise, and builds of it with planted defects, for tests of judging."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from capture.exchange import Exchange, Request, Response, Times
from replay.outcome import Binding, Failure, Outcome, Performance

NOW_NS = 1_790_000_000_000_000_000
Headers = list[tuple[str, str]]
Answer = tuple[int, Headers, Any]
Defect = Callable[["Call", Answer], Answer]

WEIGHTS = {
    "/products": 30,
    "/products/{}": 30,
    "/search?q={}": 15,
    "/cart/{}": 10,
    "/me": 8,
    "/health": 4,
    "/page": 3,
}


class Call:
    """One request as a build sees it: `chance` is this build's own, `facts` are the same on every build."""

    def __init__(self, target: str, number: int, session: int, chance: random.Random, language: str) -> None:
        self.target, self.number, self.session, self.chance, self.language = target, number, session, chance, language

    @property
    def route(self) -> str:
        path = self.target.partition("?")[0]
        for prefix in ("/products/", "/cart/"):
            if path.startswith(prefix):
                return prefix + "{}"
        return path


def uuid_of(chance: random.Random) -> str:
    text = f"{chance.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def answer(call: Call, counter: int) -> Answer:
    """What the current build answers: stable content, and noise of every usual kind."""
    chance, stable = call.chance, random.Random(call.target)
    headers: Headers = [("Content-Type", "application/json"), ("X-Request-Id", uuid_of(chance)), ("Server", "shop/1")]
    now = NOW_NS + call.number * 10_000_000 + chance.randrange(5_000_000)
    tags = ["new", "red", "sale", "eco"]
    chance.shuffle(tags)
    common = {
        "id": uuid_of(chance),
        "at": f"2026-09-21T14:{now // 60_000_000_000 % 60:02d}:{now // 10**9 % 60:02d}.{now // 1000 % 10**6:06d}Z",
    }

    def product(index: int) -> dict[str, Any]:
        return {
            "sku": f"SKU{index:04d}",
            "name": f"Product {index}",
            "price": round(1 + index * 1.37, 2),
            "currency": "EUR",
            "stock": index * 7 % 50,
            "note": None if index % 3 else "fragile",
        }

    route = call.route
    body: Any
    if route == "/products":
        body = {**common, "items": [product(index) for index in range(10)], "total": 10, "tags": tags}
    elif route == "/products/{}":
        index = int(call.target.rpartition("/")[2])
        body = {**common, **product(index), "score": 4 + chance.random() / 100, "views": counter}
        headers.append(("ETag", f'"{chance.getrandbits(64):016x}"'))
    elif route == "/search":
        found = stable.sample(range(40), 5)
        body = {"took_ms": chance.randrange(1, 9), "hits": [product(index) for index in found], "served": counter}
    elif route == "/cart/{}":
        body = {"cart": call.session, "token": f"{chance.getrandbits(128):032x}", "lines": [{"sku": "SKU0001", "n": 2}]}
        headers.append(("Set-Cookie", f"sid={chance.getrandbits(64):016x}; Path=/; HttpOnly"))
    elif route == "/me":
        body = {"user": f"u{call.session}", "roles": chance.sample(["reader", "buyer"], 2), "session": uuid_of(chance)}
    elif route == "/page":
        return (
            200,
            [("Content-Type", "text/plain"), ("Server", "shop/1"), ("Cache-Control", "max-age=60")],
            "line one\nline two\n",
        )
    else:
        body = {"ok": True, "since": now // 10**9}
    return 200, headers, body


def run(
    seed: int,
    *,
    requests: int = 600,
    sessions: int = 60,
    defect: Defect | None = None,
    reference: bool = True,
    rare: int = 3,
    slower: Callable[[Call], float] | None = None,
    recorded: bool = True,
    failure: Callable[[Call], str | None] | None = None,
    pages: int = 1,
) -> list[Performance]:
    """The performances of a run: current, candidate, and the reference unless told otherwise.

    defect: changes what the candidate answers; slower: ms that the candidate takes longer; failure: the kind of
    failure of the candidate. rare: requests to a route that is hardly ever asked for. pages: of a search's result; all
    but the first are asked for by their number.
    """
    return list(stream(seed, requests, sessions, defect, reference, rare, slower, recorded, failure, pages))


def stream(
    seed: int,
    requests: int,
    sessions: int,
    defect: Defect | None,
    reference: bool,
    rare: int,
    slower: Callable[[Call], float] | None,
    recorded: bool,
    failure: Callable[[Call], str | None] | None,
    pages: int = 1,
) -> Iterator[Performance]:
    plan = random.Random(seed)
    names = ["current", "reference", "candidate"] if reference else ["current", "candidate"]
    chances = {name: random.Random(f"{seed}:{name}") for name in [*names, "recorded"]}
    counters = {name: plan.randrange(1000) for name in chances}
    rare_at = set(plan.sample(range(requests), rare))
    for number in range(requests):
        session = plan.randrange(sessions)
        pattern = plan.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        target = (
            "/rare/report" if number in rare_at else pattern.format(plan.randrange(40) if "/p" in pattern else session)
        )
        if pages > 1 and target.startswith("/search") and (page := plan.randint(1, pages)) > 1:
            target += f"&page={page}"
        language = ("en", "de", "fr", "tr")[session % 4]
        answers: dict[str, Answer] = {}
        for name in chances:
            counters[name] += 1
            call = Call(target, number, session, chances[name], language)
            answers[name] = answer(call, counters[name])
            if name == "candidate" and defect is not None:
                answers[name] = defect(call, answers[name])
        start = NOW_NS + number * 10_000_000
        call = Call(target, number, session, plan, language)
        outcomes = []
        for order, name in enumerate(names):
            kind = failure(call) if failure is not None and name == "candidate" else None
            took = int((2 + plan.expovariate(1.0)) * 1e6)
            if name == "candidate" and slower is not None:
                took += int(slower(call) * 1e6)
            role = "candidate" if name == "candidate" else "reference" if name == "reference" else "current"
            outcomes.append(
                Outcome(
                    name, role, start, start, start + took, start + took,  # type: ignore[arg-type]
                    response=None if kind else as_response(answers[name]),
                    failure=Failure(kind, "first_byte") if kind else None,  # type: ignore[arg-type]
                    order=order,
                )
            )  # fmt: skip
        exchange = Exchange(
            f"x{number:06d}", f"s{session}", "relay", 1.0,
            Request("GET", target, "HTTP/1.1", (("Host", "shop"), ("Accept-Language", language))),
            as_response(answers["recorded"]) if recorded else None,
            Times(start - 10**13, start - 10**13, start - 10**13, start - 10**13 + 10**6),
        )  # fmt: skip
        yield Performance(number, exchange, tuple(outcomes))


def as_response(found: Answer) -> Response:
    status, headers, value = found
    body = (
        value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else json.dumps(value).encode()
    )
    pairs = (*headers, ("Content-Length", str(len(body))))
    return Response(status, "OK", "HTTP/1.1", tuple(pairs), body, len(body))


__all__ = ["NOW_NS", "Answer", "Binding", "Call", "Defect", "answer", "as_response", "run", "stream", "uuid_of"]
