"""A service whose values look like each other (numbers, words, dates, states), and which of them are passed on."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any, NamedTuple

from capture.exchange import Exchange, Request, Response, Times

__all__ = ["Told", "told_by"]

_STATES = ("pending", "shipped", "done")
_WORDS = ("red", "blue", "open", "closed", "new", "small", "large", "alpha", "beta")
_CITIES = ("berlin", "paris", "rome", "oslo")
_KINDS = ("order", "user", "product", "comment", "invoice", "ticket")
_TOKEN = "header:authorization"


class Told(NamedTuple):
    """One exchange. passed_on: places of its request whose values an earlier answer gave; may_be: those of the same
    name and thing, which are equal to it now and then."""

    exchange: Exchange
    passed_on: frozenset[str]
    may_be: frozenset[str]


class _World:
    """Numbers of each kind of thing begin anywhere below sixty, so that those of one are those of another."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = Counter({kind: self.random.randrange(1, 60) for kind in _KINDS})
        self.told: list[Told] = []

    def new(self, kind: str) -> int:
        self.numbers[kind] += 1
        return self.numbers[kind]

    def day(self) -> str:
        return f"2026-11-{self.random.randrange(1, 29):02d}"

    def word(self) -> str:
        return self.random.choice(_WORDS)


class _Client:
    """One session."""

    def __init__(self, world: _World, number: int) -> None:
        self.world = world
        self.name = f"user-{number}"
        self.headers: tuple[tuple[str, str], ...] = (("Host", "shop.example"),)

    def log_in(self) -> int:
        """The number of the user."""
        token, user = f"{self.world.random.getrandbits(128):032x}", self.world.new("user")
        answer = {"token": token, "user": {"id": user, "role": "admin", "level": 3}, "page": 2, "active": True}
        self.ask("POST", "/login", answer, body={"name": self.name})
        self.headers += (("Authorization", f"Bearer {token}"),)
        return user

    def ask(
        self,
        method: str,
        target: str,
        answer: dict[str, Any],
        passed_on: tuple[str, ...] = (),
        may_be: tuple[str, ...] = (),
        body: dict[str, Any] | None = None,
    ) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        given = json.dumps(answer).encode()
        content = (("Content-Type", "application/json"),)
        request = Request(method, target, "HTTP/1.1", self.headers + content, data, len(data))
        response = Response(200, "OK", "HTTP/1.1", content, given, len(given))
        number = len(self.world.told)
        start = 10**18 + number * 10_000_000
        times = Times(start, start, start + 1_000_000, start + 1_000_000)
        exchange = Exchange(f"e-{number}", self.name, "relay", 1.0, request, response, times)
        tokens = {_TOKEN} if len(self.headers) > 1 else set()
        self.world.told.append(Told(exchange, frozenset({*passed_on, *tokens}), frozenset(may_be)))


def told_by(seed: int, sessions: int = 12) -> list[Told]:
    """What so many clients of the service did, one after the other."""
    world = _World(seed)
    for number in range(sessions):
        client = _Client(world, number)
        user = client.log_in()
        order, comment = _buy(world, client, user)
        invoice = _pay(world, client, user, order, comment)
        _complain(world, client, user, (order, comment, invoice))
    return world.told


def _buy(world: _World, client: _Client, user: int) -> tuple[int, int]:
    """Numbers of an order and a comment."""
    chance, last = world.random, world.numbers["product"]
    items = [
        {"id": last - n, "name": world.word(), "stock": chance.randrange(60), "city": "rome", "since": world.day()}
        for n in range(3)
    ]
    page, size = chance.randrange(1, 5), chance.choice((5, 10, 20, 50))
    answer = {"items": items, "page": page, "size": size, "total": chance.randrange(3, 60), "next": page + 1}
    client.ask("GET", f"/products?page={page}&size={size}", answer)
    product = chance.choice(items)
    stock, number = product["stock"], product["id"]
    body = {"product_id": number, "quantity": chance.choice((number, stock, 3)), "note": world.word(), "gift": True}
    body |= {"city": chance.choice(_CITIES), "deliver_on": world.day(), "priority": chance.randrange(1, 9)}
    order = world.new("order")
    made = {
        "id": order,
        "status": "pending",
        "quantity": body["quantity"],
        "number": str(order),
        "created": "2026-11-27",
    }
    client.ask("POST", "/orders", made, ("$['product_id']",), body=body)
    known = {"id": order, "status": "pending", "version": 1, "customer": {"id": user, "name": client.name}}
    client.ask("GET", f"/orders/{order}", known, ("path[1]",))
    state = chance.choice(_STATES)
    query = f"status={state}&page={chance.randrange(1, 40)}&limit={size}&from={world.day()}&sort=created"
    client.ask("GET", f"/orders?{query}", {"orders": [{"id": order, "status": state}], "page": page, "status": state})
    comment = world.new("comment")
    body = {"text": world.word(), "rating": order % 10, "stars": min(order, 5), "helpful": False}
    made = {"id": comment, "order_id": order, "rating": order % 10, "pos": order}
    client.ask("POST", f"/orders/{order}/comments", made, ("path[1]",), body=body)
    body = {"text": world.word(), "likes": comment, "depth": comment}
    client.ask("PUT", f"/orders/{order}/comments/{comment}", made, ("path[1]", "path[3]"), body=body)
    client.ask("GET", f"/stores/{chance.choice(_CITIES)}?product={number}&min={stock}", product, ("query:product",))
    return order, comment


def _pay(world: _World, client: _Client, user: int, order: int, comment: int) -> int:
    """The number of an invoice; amounts that are equal to the numbers of things."""
    query = f"q={world.word()}&max_price={order}&min_price={comment}&year=2026&top={user}&lang=en"
    client.ask("GET", f"/search?{query}", {"hits": [{"id": user, "score": order}], "took": user})
    invoice = world.new("invoice")
    body = {"order": order, "amount": order, "days": comment, "currency": "EUR", "status": "pending"}
    made = {"id": invoice, "order": order, "due": world.day(), "amount": order}
    client.ask("POST", "/invoices", made, ("$['order']",), body=body)
    body = {"state": "sent", "copies": invoice % 7, "discount": invoice, "retries": invoice}
    client.ask("PATCH", f"/invoices/{invoice}", {"id": invoice, "state": "sent"}, ("path[1]",), body=body)
    target = f"/users/{user}/orders?offset={invoice}&depth={comment % 4}&active=true"
    client.ask("GET", target, {"orders": [order], "offset": invoice, "depth": comment % 4}, ("path[1]",))
    return invoice


def _complain(world: _World, client: _Client, user: int, numbers: tuple[int, int, int]) -> None:
    """A ticket, whose version, name and colour are called as those of orders and products are."""
    order, comment, invoice = numbers
    ticket = world.new("ticket")
    body = {"title": world.word(), "state": world.random.choice(_STATES), "color": world.word(), "name": world.word()}
    body |= {"version": 1, "seats": user, "parent": None, "urgent": False, "window": {"from": world.day()}}
    made = {"id": ticket, "version": 1, "color": "red", "name": "alpha", "seats": user, "state": "open"}
    client.ask("POST", "/tickets", made, body=body)
    body = {"state": "open", "version": 1, "color": "red", "name": "alpha", "step": 2}
    may_be = ("$['version']", "$['name']", "$['color']", "$['state']")
    client.ask("PATCH", f"/tickets/{ticket}", {"id": ticket, "version": 2}, ("path[1]",), may_be, body)
    query = f"fields=name,color&version={world.random.randrange(1, 4)}&v=2&state=open&index={ticket}"
    client.ask(
        "GET",
        f"/tickets/{ticket}?{query}",
        {"id": ticket, "name": "alpha"},
        ("path[1]",),
        ("query:version", "query:state"),
    )
    query = f"week={order % 52}&hour={comment % 24}&minute={invoice % 60}&count={ticket}"
    days = {"days": [{"day": comment % 24, "hour": order % 52}]}
    client.ask("GET", f"/calendar/2026/{world.random.randrange(1, 13)}/{world.random.randrange(1, 29)}?{query}", days)
    body = {"items": [{"quantity": order, "color": world.word()}], "coupon": world.word(), "zip": f"{10000 + order}"}
    client.ask("POST", "/carts", {"total": order}, body=body)
    client.ask("DELETE", f"/orders/{order}", {"id": order, "status": "deleted"}, ("path[1]",))
