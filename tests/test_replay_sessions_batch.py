"""Whole sessions in batches (multipart/mixed of HTTP messages), redacted or not: all resolved, none bound wrongly."""

from __future__ import annotations

import asyncio
import json
import random
import re
from typing import Any

import pytest

from capture.exchange import Exchange, Request, Response, header
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import RedactConfig
from replay.multipart import read_request, split_parts
from replay.pace import Closed
from tests.support.batches import Message, message_part, multipart
from tests.support.replaying import perform_on
from tests.support.rude import exchange, get, rude_server

pytestmark = pytest.mark.net

JSON = ("Content-Type", "application/json")
ALIKE = {"quantity": 2, "page": 1, "status": 200, "lines": [1, 2, 200], "ref": "abcd1234efgh"}


class Service:
    """One build of a service that is asked in batches alone, but for the login. What it did not give is wrong."""

    def __init__(self, salt: int) -> None:
        self.random = random.Random(salt)
        self.orders = 1 + 50 * salt
        self.users: dict[str, dict[str, Any]] = {}
        self.wrong: list[str] = []

    def respond(self, request: Request) -> Response:
        if request.target == "/login":
            token = f"{self.random.getrandbits(120):030x}"
            self.users[token] = {"cart": f"c{self.random.getrandbits(64):016x}", "csrf": "", "orders": []}
            body = json.dumps({"token": token, "count": 2, "status": 200}).encode()
            return Response(200, "OK", "HTTP/1.1", (JSON,), body, len(body))
        kind = header(request.headers, "content-type") or ""
        outer = (header(request.headers, "authorization") or "").removeprefix("Bearer ")
        body = self.parts(kind, request.body or b"", outer, "resp")
        return Response(200, "OK", "HTTP/1.1", (("Content-Type", "multipart/mixed; boundary=resp"),), body, len(body))

    def parts(self, kind: str, body: bytes, token: str, boundary: str) -> bytes:
        made = []
        for part in split_parts(kind, body):
            content, inner = body[part.start : part.end], header(part.headers, "content-type") or ""
            length = header(part.headers, "content-length")
            if length is not None and int(length) != len(content):
                self.wrong.append(f"a part of {len(content)} bytes says {length}")
            if inner.startswith("multipart/"):
                changes = self.parts(inner, content, token, f"{boundary}_set")
                made.append(((("Content-Type", f"multipart/mixed; boundary={boundary}_set"),), changes))
                continue
            request = read_request(content)
            assert request is not None
            said = header(request.headers, "content-length")
            if said is not None and int(said) != len(request.body or b""):
                self.wrong.append(f"{request.target} of {len(request.body or b'')} bytes says {said}")
            made.append(message_part(self.one(request, token)))
        return multipart(boundary, *made)

    def one(self, request: Request, token: str) -> Message:
        own = (header(request.headers, "authorization") or "").removeprefix("Bearer ") or token
        user = self.users.get(own)
        if user is None:
            self.wrong.append(f"{request.target}: not logged in")
            return "HTTP/1.1 401 Unauthorized", (), b""
        said = json.loads(request.body) if request.body else None
        if request.target == "/me":
            user["csrf"] = f"{self.random.getrandbits(96):024x}"
            return self.say({"cart": user["cart"], "csrf": user["csrf"], "count": 2, "page": 1})
        if request.method == "POST":
            if said != {"cart": user["cart"], "csrf": user["csrf"], **ALIKE}:
                self.wrong.append(f"{request.target}: {said}")
            self.orders += 1
            user["orders"].append(self.orders)
            return self.say({"id": self.orders, "count": 2}, "201 Created", ("Location", f"/Orders({self.orders})"))
        match = re.fullmatch(r"/(?:Orders\((\d+)\)|orders/(\d+))(?:/lines)?(?:\?top=1)?", request.target)
        if match is None or int(match[1] or match[2]) not in user["orders"]:
            self.wrong.append(f"{request.target}: the orders are {user['orders']}")
        if said is not None and (said.get("order_id") not in user["orders"] or said.get("quantity") != 2):
            self.wrong.append(f"{request.target}: {said}")
        return self.say({"size": 1, "page": 2})

    @staticmethod
    def say(value: Any, status: str = "200 OK", *headers: tuple[str, str]) -> Message:
        body = json.dumps(value).encode()
        return f"HTTP/1.1 {status}", (JSON, *headers, ("Content-Length", str(len(body)))), body

    async def answer(self, raw: bytes) -> list[bytes | float | str]:
        request = read_request(raw)
        assert request is not None
        response = self.respond(request)
        kind, body = header(response.headers, "content-type"), response.body or b""
        return [f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body]


class Client:
    """What one client does, and production answers. odata: change sets and relative addresses with keys in brackets;
    else a token in each message and paths from the root, as batches of Google have them."""

    def __init__(self, service: Service, user: int, number: int, odata: bool) -> None:
        self.service, self.user, self.number, self.odata = service, user, number, odata
        self.made: list[Exchange] = []
        self.token = ""

    def do(self, request: Request) -> Response:
        response = self.service.respond(request)
        at = self.number + len(self.made)
        self.made.append(exchange(at, request, response, f"user-{self.user}", at * 10, 5))
        return response

    def batch(self, *messages: tuple[str, str, Any]) -> list[Any]:
        parts = []
        for method, target, value in messages:
            body = b"" if value is None else json.dumps(value).encode()
            fields = (JSON, ("Content-Length", str(len(body)))) if body else ()
            own = () if self.odata else (("Authorization", f"Bearer {self.token}"),)
            version = " HTTP/1.1" if self.odata else ""
            made = message_part((f"{method} {target}{version}", (*own, *fields), body))
            if self.odata and method != "GET":
                changes = multipart("changes", made)
                head = (("Content-Type", "multipart/mixed; boundary=changes"), ("Content-Length", str(len(changes))))
                made = (head, changes)
            parts.append(made)
        body = multipart("batch_1", *parts)
        headers = [("Content-Type", "multipart/mixed; boundary=batch_1"), ("Content-Length", str(len(body)))]
        if self.odata:
            headers.append(("Authorization", f"Bearer {self.token}"))
        answer = self.do(get("/$batch", *headers, method="POST", body=body))
        return [json.loads(text) for text in re.findall(rb"\r\n\r\n(\{.*\})", answer.body or b"")]

    def visit(self) -> list[Exchange]:
        login = self.do(get("/login", JSON, ("Content-Length", "23"), method="POST", body=b'{"ref": "abcd1234efgh"}'))
        self.token = json.loads(login.body or b"")["token"]
        me = self.batch(("GET", self.at("me"), None))[0]
        order = {"cart": me["cart"], "csrf": me["csrf"], **ALIKE}
        created = self.batch(*[("POST", self.at("Orders" if self.odata else "orders"), order)] * 2)
        first, second = (item["id"] for item in created)
        change = {"order_id": second, "quantity": 2, "page": 1}
        one, other = (f"Orders({n})" if self.odata else f"orders/{n}" for n in (first, second))
        self.batch(("GET", self.at(f"{one}/lines?top=1"), None), ("PATCH", self.at(other), change))
        return self.made

    def at(self, path: str) -> str:
        return path if self.odata else f"/{path}"


@pytest.mark.parametrize("redact", [False, True], ids=["as-it-was", "redacted"])
@pytest.mark.parametrize("odata", [True, False], ids=["odata", "google"])
def test_every_session_is_performed_with_each_builds_own_values(odata: bool, redact: bool) -> None:
    production = Service(0)
    recorded: list[Exchange] = []
    for user in range(12):
        recorded += Client(production, user, len(recorded), odata).visit()
    assert production.wrong == []
    if redact:
        redactor = Redactor(RedactConfig(), Pseudonyms(b"k" * 32))
        recorded = [redactor.redact(item) for item in recorded]
    services = [Service(salt) for salt in (1, 2, 3)]

    async def main() -> list[object]:
        async with (
            rude_server(services[0].answer) as current,
            rude_server(services[1].answer) as reference,
            rude_server(services[2].answer) as candidate,
        ):
            servers = {"current": current, "reference": reference, "candidate": candidate}
            done = await perform_on(servers, recorded, Closed(6))
        return [
            (p.skipped, [any(b.origin.startswith("unresolved:") for b in o.bindings) for o in p.outcomes]) for p in done
        ]

    done = asyncio.run(main())
    assert [service.wrong for service in services] == [[], [], []]
    assert done == [(None, [False] * 3)] * len(recorded)
