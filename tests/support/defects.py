"""Planted defects for the service in memory, each with the one finding that must come of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.support.service import Answer, Call, Defect, uuid_of


class Planted(NamedTuple):
    """A defect and where it must be found: exactly one finding that no other causes. kinds: those that are right."""

    name: str
    defect: Defect
    route: str
    path: str
    kinds: tuple[str, ...]


def on(route: str, change: Callable[[Call, Any], None], *, when: Callable[[Call], bool] = lambda call: True) -> Defect:
    """Change the JSON body on one route, on calls that `when` accepts."""

    def defect(call: Call, found: Answer) -> Answer:
        status, headers, body = found
        if call.route != route or not when(call):
            return found
        body = copy.deepcopy(body)
        change(call, body)
        return status, headers, body

    return defect


def header(route: str, name: str, value: str | None) -> Defect:
    """Another value for a header on one route ("*": every route), or without it."""

    def defect(call: Call, found: Answer) -> Answer:
        status, headers, body = found
        if route not in ("*", call.route):
            return found
        kept = [(key, old) for key, old in headers if key != name]
        return status, kept if value is None else [*kept, (name, value)], body

    return defect


def status(code: int, *, when: Callable[[Call], bool]) -> Defect:
    def defect(call: Call, found: Answer) -> Answer:
        return (code, [("Content-Type", "application/json")], {"error": "no"}) if when(call) else found

    return defect


def put(key: str, value: Any) -> Callable[[Call, Any], None]:
    def change(call: Call, body: Any) -> None:
        body[key] = value(call, body) if callable(value) else value

    return change


def rows(key: str, change: Callable[[dict[str, Any]], None]) -> Callable[[Call, Any], None]:
    def each(call: Call, body: Any) -> None:
        for row in body[key]:
            change(row)

    return each


def _rename(call: Call, body: Any) -> None:
    body["quantity"] = body.pop("stock")


def _bare_cookie(call: Call, found: Answer) -> Answer:
    status, headers, body = found
    return status, [(name, value.replace("; HttpOnly", "")) for name, value in headers], body


def _constant_session(call: Call, body: Any) -> None:
    body["session"] = "3f2b8c1e-7a60-4d6e-a9be-0c7d11f4a2d5"


def _other_user(call: Call, body: Any) -> None:
    body["user"] = f"u{call.session + 1000}"


ITEM, LIST, SEARCH, CART, ME = (
    "GET /products/{id}",
    "GET /products",
    "GET /search",
    "GET /cart/{id}",
    "GET /me",
)

DEFECTS: tuple[Planted, ...] = (
    Planted("a value", on("/products/{}", put("currency", "USD")), ITEM, "$['currency']", ("value",)),
    Planted(
        "a value off by a cent",
        on("/products/{}", put("price", lambda c, b: round(b["price"] + 0.01, 2))),
        ITEM,
        "$['price']",
        ("value",),
    ),
    Planted(
        "a number as text",
        on("/products/{}", put("price", lambda c, b: str(b["price"]))),
        ITEM,
        "$['price']",
        ("type",),
    ),
    Planted("a missing field", on("/products/{}", lambda c, b: b.pop("stock")), ITEM, "$['stock']", ("missing",)),
    Planted("an extra field", on("/products/{}", put("internal", 1)), ITEM, "$['internal']", ("extra",)),
    Planted(
        "null for missing",
        on("/products/{}", lambda c, b: b.pop("note") if b["note"] is None else None),
        ITEM,
        "$['note']",
        ("missing",),
    ),
    Planted(
        "a field missing in every row",
        on("/products", rows("items", lambda row: row.pop("stock"))),
        LIST,
        "$['items'][*]['stock']",
        ("missing",),
    ),
    Planted("a lost element", on("/products", lambda c, b: b["items"].pop()), LIST, "$['items'][*]", ("missing",)),
    Planted("a lost order", on("/search", lambda c, b: c.chance.shuffle(b["hits"])), SEARCH, "$['hits']", ("order",)),
    Planted("a uuid that is empty", on("/products/{}", put("id", "")), ITEM, "$['id']", ("value",)),
    Planted("a uuid that turned constant", on("/me", _constant_session), ME, "$['session']", ("value",)),
    Planted(
        "a uuid without hyphens",
        on("/products/{}", put("id", lambda c, b: b["id"].replace("-", ""))),
        ITEM,
        "$['id']",
        ("value",),
    ),
    Planted("a time in seconds", on("/products/{}", put("at", 1_790_000_000)), ITEM, "$['at']", ("type",)),
    Planted(
        "a time without fraction",
        on("/products/{}", put("at", lambda c, b: b["at"].partition(".")[0] + "Z")),
        ITEM,
        "$['at']",
        ("value",),
    ),
    Planted("a counter that stopped", on("/search", put("served", 17)), SEARCH, "$['served']", ("value",)),
    Planted(
        "a jittered float that is an integer",
        on("/products/{}", put("score", 4)),
        ITEM,
        "$['score']",
        ("value", "type"),
    ),
    Planted(
        "a jittered float that is rounded",
        on("/products/{}", put("score", lambda c, b: round(b["score"], 2))),
        ITEM,
        "$['score']",
        ("value",),
    ),
    Planted(
        "an error status",
        status(500, when=lambda c: c.route == "/products/{}" and c.number % 9 == 0),
        ITEM,
        "status",
        ("value",),
    ),
    Planted("one in fifty fails anywhere", status(503, when=lambda c: c.number % 50 == 0), "*", "status", ("value",)),
    Planted(
        "not found for some",
        status(404, when=lambda c: c.target[-1] == "7" and c.route == "/products/{}"),
        ITEM,
        "status",
        ("value",),
    ),
    Planted(
        "one language",
        on("/products", put("total", 11), when=lambda c: c.language == "tr"),
        LIST,
        "$['total']",
        ("value",),
    ),
    Planted("a header on every route", header("*", "Server", "shop/2"), "*", "header:server", ("value",)),
    Planted(
        "a header that is gone",
        header("/page", "Cache-Control", None),
        "GET /page",
        "header:cache-control",
        ("missing",),
    ),
    Planted(
        "a request id that is gone",
        header("/products", "X-Request-Id", None),
        LIST,
        "header:x-request-id",
        ("missing",),
    ),
    Planted(
        "a content type", header("/products", "Content-Type", "text/json"), LIST, "header:content-type", ("value",)
    ),
    Planted("a cookie without HttpOnly", _bare_cookie, CART, "cookie:sid;HttpOnly", ("missing",)),
    Planted("another user's data", on("/me", _other_user), ME, "$['user']", ("value",)),
    Planted("a renamed field", on("/products/{}", _rename), ITEM, "$['stock']", ("missing",)),
    Planted(
        "a token that is shorter",
        on("/cart/{}", put("token", lambda c, b: b["token"][:16])),
        CART,
        "$['token']",
        ("value",),
    ),
    Planted(
        "a set that lost an element",
        on("/me", lambda c, b: b["roles"].remove("buyer")),
        ME,
        "$['roles'][*]",
        ("missing",),
    ),
    Planted(
        "an object that became null", on("/products", lambda c, b: b.update(items=None)), LIST, "$['items']", ("type",)
    ),
    Planted(
        "new uuids where there were words",
        on("/me", put("user", lambda c, b: uuid_of(c.chance))),
        ME,
        "$['user']",
        ("value",),
    ),
    Planted(
        "text instead of JSON",
        lambda c, f: (200, f[1], "oops") if c.route == "/health" else f,
        "GET /health",
        "$",
        ("type", "value"),
    ),
    Planted(
        "a uuid of another version",
        on("/products/{}", put("id", lambda c, b: b["id"][:14] + "1" + b["id"][15:])),
        ITEM,
        "$['id']",
        ("value",),
    ),
    Planted(
        "a counter that goes up by two",
        on("/products/{}", put("views", lambda c, b: 2 * b["views"])),
        ITEM,
        "$['views']",
        ("value",),
    ),
    Planted(
        "a time with fewer digits",
        on("/products/{}", put("at", lambda c, b: b["at"][:-4] + "Z")),
        ITEM,
        "$['at']",
        ("value",),
    ),
    Planted("an entity tag that stays", header("/products/{}", "ETag", '"same"'), ITEM, "header:etag", ("value",)),
    Planted("an empty list", on("/search", put("hits", [])), SEARCH, "$['hits'][*]", ("missing",)),
)
