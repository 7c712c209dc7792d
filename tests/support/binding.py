"""Sessions in which a value that a response supplied is used later, and the links that are found in them."""

from __future__ import annotations

from capture.exchange import Exchange, Response
from replay.bind import Binder
from replay.link import Link
from replay.plan import Planner
from tests.support.rude import exchange, get, json_response

__all__ = [
    "FORM",
    "GRPC",
    "JSON",
    "NDJSON",
    "OTHER",
    "PROTOBUF",
    "TOKEN",
    "answered",
    "html",
    "links_of",
    "login",
    "of_type",
    "shown",
]

TOKEN = "tok_9f8e7d6c5b4a"
OTHER = "tok_1a2b3c4d5e6f"


def links_of(*exchanges: Exchange, exclude: tuple[str, ...] = ()) -> list[tuple[Link, ...]]:
    binder = Binder(exclude)
    return [binder.note(planned) for planned in Planner(allow_writes=True).plan(exchanges)]


def shown(links: tuple[Link, ...]) -> list[tuple[str, str]]:
    return [(link.place.text(), f"{link.sources[0].exchange_id} {link.sources[0].place.text()}") for link in links]


def login(body: bytes, *headers: tuple[str, str]) -> Exchange:
    return exchange(0, get("/login", method="POST"), json_response(body, *headers))


def html(body: bytes) -> Response:
    return Response(200, "OK", "HTTP/1.1", (("Content-Type", "text/html; charset=utf-8"),), body, len(body))


def of_type(kind: str, body: bytes) -> Response:
    return Response(200, "OK", "HTTP/1.1", (("Content-Type", kind),), body, len(body))


JSON = ("Content-Type", "application/json")
NDJSON = ("Content-Type", "application/x-ndjson")
GRPC = ("Content-Type", "application/grpc")
PROTOBUF = ("Content-Type", "application/x-protobuf")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def answered(body: bytes) -> Response:
    return json_response(body)
