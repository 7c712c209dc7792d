"""Whole sessions whose bodies are MessagePack or CBOR, redacted or not: all resolved, none bound wrongly."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from capture.exchange import Exchange, Request, Response
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import RedactConfig
from replay.pace import Closed
from tests.support.cbor import cbor
from tests.support.replaying import perform_on
from tests.support.rude import exchange, get, rude_server

pytestmark = pytest.mark.net

Pack = Callable[[Any], bytes]


def unpack_cbor(body: bytes) -> Any:
    """What `cbor` has made: another reader than the one that is tested, and only for that."""
    value, at = _next(body, 0)
    assert at == len(body)
    return value


def _next(body: bytes, at: int) -> tuple[Any, int]:
    major, number = body[at] >> 5, body[at] & 31
    at += 1
    if number > 23 and major < 7:
        size = 1 << number - 24
        number, at = int.from_bytes(body[at : at + size], "big"), at + size
    if major < 2:
        return (number if major == 0 else -1 - number), at
    if major < 4:
        data = body[at : at + number]
        return (data if major == 2 else data.decode()), at + number
    if major == 7:
        return {20: False, 21: True, 22: None}[number], at
    values = []
    for _ in range(number * (major - 3)):
        value, at = _next(body, at)
        values.append(value)
    return (values if major == 4 else dict(zip(values[::2], values[1::2], strict=True))), at


FORMATS = [
    pytest.param("application/msgpack", msgpack.packb, msgpack.unpackb, id="msgpack"),
    pytest.param("application/cbor", cbor, unpack_cbor, id="cbor"),
]


class Depot:
    """One build: tokens, keys of baskets and numbers of orders are its own. What is not as it gave it is wrong."""

    def __init__(self, salt: int, kind: str, pack: Pack, unpack: Callable[[bytes], Any]) -> None:
        self.random = random.Random(salt)
        self.kind, self.pack, self.unpack = kind, pack, unpack
        self.order = 1 + 50 * salt  # short numbers, as the looks-alike are
        self.users: dict[str, dict[str, Any]] = {}
        self.wrong: list[str] = []

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        if target == "/login":
            token = f"{self.random.getrandbits(120):030x}"
            user = {"basket": self.random.randbytes(16), "csrf": self.random.randbytes(8).hex() + "-c", "order": 0}
            self.users[token] = user
            return self.say({"status": 200, "session": {"token": token}, "basket": user["basket"], "count": 2, "v": 1})
        user = self.users.get(headers.get("authorization", "").removeprefix("Bearer "), {})
        if not user:
            self.wrong.append(f"{target}: not logged in")
            return self.say({"error": "login"}, 401)
        said = self.unpack(body) if body else None
        if target == "/orders":
            alike = {"quantity": 2, "page": 1, "status": 200, "lines": [1, 2, 200], "ref": "abcd1234efgh", "n": None}
            if said != {"basket": user["basket"], **alike}:
                self.wrong.append(f"{target}: {said}")
            self.order += 1
            user["order"] = self.order
            more = [{"sku": "abcd1234efgh", "n": 1}, {"sku": "zzzz9999yyyy", "n": 2}]
            return self.say({"id": self.order, "csrf": user["csrf"], "lines": more, "count": self.order}, 201)
        match = re.fullmatch(r"/orders/(\d+)", target)
        if match is None or int(match[1]) != user["order"]:
            self.wrong.append(f"{target}: the order is {user['order']}")
        if method == "PATCH" and said != {
            "order_id": user["order"],
            "csrf": user["csrf"],
            "n": 2,
            "v": self.first(said),
        }:
            self.wrong.append(f"{target}: {said}")
        return self.say({"order": user["order"], "csrf": user["csrf"], "size": 1, "count": 2})

    @staticmethod
    def first(said: Any) -> int:
        """A number that production's client took from nowhere, the number of the order of production."""
        return 2 if isinstance(said, dict) and said.get("v") == 2 else -1

    def say(self, value: Any, status: int = 200) -> Response:
        body = self.pack(value)
        return Response(status, "OK", "HTTP/1.1", (("Content-Type", self.kind),), body, len(body))

    async def answer(self, raw: bytes) -> list[bytes | float | str]:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        response = self.respond(*first.split()[:2], headers, body)
        assert response.body is not None
        fields = f"Content-Type: {self.kind}\r\nContent-Length: {len(response.body)}\r\n\r\n"
        return [f"HTTP/1.1 {response.status} OK\r\n{fields}".encode() + response.body]


def visit(depot: Depot, user: int, number: int) -> list[Exchange]:
    made: list[Exchange] = []

    def do(method: str, target: str, value: Any, *headers: tuple[str, str]) -> Any:
        body = b"" if value is None else depot.pack(value)
        kind = (("Content-Type", depot.kind), ("Content-Length", str(len(body)))) if body else ()
        request: Request = get(target, *headers, *kind, method=method, body=body)
        response = depot.respond(method, target, {name.lower(): text for name, text in request.headers}, body)
        at = number + len(made)
        made.append(exchange(at, request, response, f"user-{user}", at * 10, 5))
        return depot.unpack(response.body or b"")

    login = do("POST", "/login", {"user": f"user-{user}", "ref": "abcd1234efgh", "page": 1})
    own = ("Authorization", f"Bearer {login['session']['token']}")
    alike = {"quantity": 2, "page": 1, "status": 200, "lines": [1, 2, 200], "ref": "abcd1234efgh", "n": None}
    order = do("POST", "/orders", {"basket": login["basket"], **alike}, own)
    do("GET", f"/orders/{order['id']}", None, own)
    do("PATCH", f"/orders/{order['id']}", {"order_id": order["id"], "csrf": order["csrf"], "n": 2, "v": 2}, own)
    return made


@pytest.mark.parametrize("redact", [False, True], ids=["as-it-was", "redacted"])
@pytest.mark.parametrize(("kind", "pack", "unpack"), FORMATS)
def test_every_session_is_performed_with_each_builds_own_values(
    kind: str, pack: Pack, unpack: Callable[[bytes], Any], redact: bool
) -> None:
    production = Depot(0, kind, pack, unpack)
    recorded: list[Exchange] = []
    for user in range(12):
        recorded += visit(production, user, len(recorded))
    assert production.wrong == []
    if redact:
        redactor = Redactor(RedactConfig(), Pseudonyms(b"k" * 32))
        recorded = [redactor.redact(item) for item in recorded]
    depots = [Depot(salt, kind, pack, unpack) for salt in (1, 2, 3)]

    async def main() -> list[object]:
        async with (
            rude_server(depots[0].answer) as current,
            rude_server(depots[1].answer) as reference,
            rude_server(depots[2].answer) as candidate,
        ):
            servers = {"current": current, "reference": reference, "candidate": candidate}
            return [
                (p.skipped, [o.response.status if o.response else o.failure for o in p.outcomes])
                for p in await perform_on(servers, recorded, Closed(6))
            ]

    done = asyncio.run(main())
    assert [depot.wrong for depot in depots] == [[], [], []]
    expected = [item.response.status for item in recorded if item.response is not None]
    assert done == [(None, [status] * 3) for status in expected]
