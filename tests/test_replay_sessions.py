"""Whole sessions on a service with random tokens, CSRF fields and created ids: all resolved, none bound wrongly."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from capture.exchange import Exchange, Request, Response, Times
from replay.pace import Closed
from tests.support.replaying import perform_on
from tests.support.rude import exchange, get, rude_server

pytestmark = pytest.mark.net

JSON = ("Content-Type", "application/json")


class Shop:
    """One build of a small shop; `salt` makes its tokens, csrf values and first order number its own."""

    def __init__(self, salt: int) -> None:
        self.random = random.Random(salt)
        self.orders = 1000 + 37 * salt
        self.tokens: dict[str, dict[str, str]] = {}
        self.wrong: list[str] = []
        self.notes: list[str] = []

    def token(self) -> str:
        return f"{self.random.getrandbits(96):024x}"

    def respond(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        path = target.partition("?")[0]
        if path == "/login":
            token, sid = self.token(), self.token()
            self.tokens[token] = {"sid": sid, "csrf": self.token(), "order": ""}
            return self.json({"session": {"token": token}, "lucky": 4711}, ("Set-Cookie", f"sid={sid}; Path=/"))
        user = self.tokens.get(headers.get("authorization", "").removeprefix("Bearer "))
        if user is None or headers.get("cookie") != f"sid={user['sid']}; theme=dark":
            self.wrong.append(f"{target}: not logged in")
            return self.json({"error": "login"}, status=401)
        if path == "/form":
            page = f'<form><input type="hidden" name="csrf" value="{user["csrf"]}"></form>'.encode()
            return Response(200, "OK", "HTTP/1.1", (("Content-Type", "text/html"),), page, len(page))
        if method == "POST" and path == "/orders":
            got = dict(pair.split("=") for pair in body.decode().split("&"))
            if got["csrf"] != user["csrf"] or (got["quantity"], got["ref"]) != ("4711", "abcd1234efgh"):
                self.wrong.append(f"{target}: {got}")
            self.orders += 1
            user["order"] = str(self.orders)
            return self.json({"id": self.orders, "next": f"/orders/{self.orders}?page=2"}, status=201)
        match = re.fullmatch(r"/orders/(\d+)", path)
        if match is None or match[1] != user["order"] or target.partition("?")[2] not in ("", "page=2&size=1001"):
            self.wrong.append(f"{target}: the order is {user['order']}")
            return self.json({"error": "no such order"}, status=404)
        if body and json.loads(body)["order_id"] != int(user["order"]):
            self.wrong.append(f"{target}: {body!r}")
        return self.json({"order": int(user["order"]), "size": 1001, "count": 2})

    @staticmethod
    def json(value: object, *headers: tuple[str, str], status: int = 200) -> Response:
        body = json.dumps(value).encode()
        return Response(status, "OK", "HTTP/1.1", (JSON, *headers), body, len(body))

    async def answer(self, raw: bytes) -> list[bytes | float | str]:
        """As the test server wants it."""
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        response = self.respond(first.split()[0], first.split()[1], headers, body)
        fields = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        assert response.body is not None
        return [
            f"HTTP/1.1 {response.status} OK\r\n{fields}Content-Length: {len(response.body)}\r\n\r\n".encode()
            + response.body
        ]


def visit(shop: Shop, user: int, number: int) -> list[Exchange]:
    """What a client does and production answers, with values that look like others' (quantity, ref, size)."""
    made: list[Exchange] = []

    def do(request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers}
        response = shop.respond(request.method, request.target, headers, request.body or b"")
        start_ms = (number + len(made)) * 10
        made.append(exchange(number + len(made), request, response, f"user-{user}", start_ms, 5))
        return response

    login = do(get("/login", JSON, method="POST", body=b'{"ref": "abcd1234efgh"}'))
    token = json.loads(login.body or b"")["session"]["token"]
    sid = dict(login.headers)["Set-Cookie"].partition(";")[0]
    own = (("Authorization", f"Bearer {token}"), ("Cookie", f"{sid}; theme=dark"))
    page = do(get("/form", *own))
    csrf = re.findall(rb'value="(\w+)"', page.body or b"")[0]
    form = b"csrf=%b&quantity=4711&ref=abcd1234efgh" % csrf
    created = do(get("/orders", *own, ("Content-Type", "application/x-www-form-urlencoded"), method="POST", body=form))
    order = json.loads(created.body or b"")["id"]
    do(get(f"/orders/{order}", *own))
    do(get(f"/orders/{order}?page=2&size=1001", *own))
    do(get(f"/orders/{order}", *own, JSON, method="PATCH", body=b'{"order_id": %d, "size": 1001}' % order))
    return made


def test_every_session_is_performed_with_each_builds_own_values() -> None:
    production = Shop(0)
    recorded: list[Exchange] = []
    for user in range(12):
        recorded += visit(production, user, len(recorded))
    assert production.wrong == []
    shops = [Shop(1), Shop(2), Shop(3)]

    async def main() -> list[object]:
        async with (
            rude_server(shops[0].answer) as current,
            rude_server(shops[1].answer) as reference,
            rude_server(shops[2].answer) as candidate,
        ):
            servers = {"current": current, "reference": reference, "candidate": candidate}
            return [
                (p.skipped, [o.response.status if o.response else o.failure for o in p.outcomes])
                for p in await perform_on(servers, recorded, Closed(6))
            ]

    done = asyncio.run(main())
    assert [shop.wrong for shop in shops] == [[], [], []]
    expected = [item.response.status for item in recorded if item.response is not None]
    assert done == [(None, [status] * 3) for status in expected]


def test_where_the_login_fails_on_a_candidate_alone_the_rest_is_sent_and_says_so() -> None:
    recorded = visit(Shop(0), 0, 0)

    async def broken(_: bytes) -> list[bytes | float | str]:
        return [b"HTTP/1.1 503 Sorry\r\nContent-Length: 0\r\n\r\n"]

    async def main(current_too: bool) -> list[tuple[str | None, list[bool]]]:
        async with rude_server(broken if current_too else Shop(1).answer) as current, rude_server(broken) as candidate:
            done = await perform_on({"current": current, "candidate": candidate}, recorded)
        return [
            (p.skipped, [any(b.origin.startswith("unresolved:") for b in o.bindings) for o in p.outcomes]) for p in done
        ]

    assert asyncio.run(main(False)) == [(None, [False, False]), *[(None, [False, True])] * 5]
    assert asyncio.run(main(True)) == [(None, [False, False]), *[("unresolved_binding", [])] * 5]


def test_a_value_of_a_stream_that_the_client_left_is_sent_when_each_builds_own_stream_has_given_it() -> None:
    def events(token: str) -> bytes:
        return f'event: endpoint\ndata: {{"post_to": "/messages/{token}"}}\n\n'.encode()

    def stream(token: str) -> Response:
        body = events(token)
        return Response(200, "OK", "HTTP/1.1", (("Content-Type", "text/event-stream"),), body, len(body))

    opened = exchange(0, get("/events"), stream("chan-00aa11bb22cc"))
    start = opened.times.request_start
    left = Times(start, start, start + 100_000, None)
    opened = msgspec.structs.replace(opened, times=left, incomplete_reason="response_cut")
    posted = exchange(1, get("/messages/chan-00aa11bb22cc", JSON, method="POST", body=b"{}"))
    tokens = {"current": "chan-11dd22ee33ff", "candidate": "chan-44aa55bb66cc"}

    def answering(token: str) -> Callable[[bytes], Awaitable[list[bytes | float | str]]]:
        async def answer(raw: bytes) -> list[bytes | float | str]:
            if not raw.startswith(b"GET /events"):
                return [b"HTTP/1.1 204 No Content\r\n\r\n"]
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
            return [head, 0.2, events(token), 0.2, "close"]

        return answer

    async def main() -> tuple[list[object], dict[str, list[bytes]]]:
        async with (
            rude_server(answering(tokens["current"])) as current,
            rude_server(answering(tokens["candidate"])) as candidate,
        ):
            servers = {"current": current, "candidate": candidate}
            done = await perform_on(servers, [opened, posted], Closed(4))
            return [(p.position, p.skipped) for p in done], {name: s.requests for name, s in servers.items()}

    done, asked = asyncio.run(main())
    assert done == [(0, None), (1, None)]
    for name, token in tokens.items():
        assert [head.split(b" ")[1].decode() for head in asked[name]] == ["/events", f"/messages/{token}"]
