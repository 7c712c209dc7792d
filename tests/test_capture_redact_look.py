"""What is passed over at a first look is what would have stayed as it is, had every piece been read by itself."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.log.importers import har, mitm
from capture.log.importers.found import Found
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.redact.header_memory import HeaderMemory
from capture.redact.look import Side, look
from capture.redact.rules import Rules
from capture.settings import RedactConfig

USERS_RULES = {
    "keep": ["header:x-user", "query:page", "json:$.note", "cookie:theme", "detector:email"],
    "fields": ["nickname", "json:$.deep.place"],
    "headers": ["X-Customer"],
}
SECRETS = (
    "AKIAQ7Z2M4K9X1B8T5W3",
    "4111111111111111",
    "4111-1111-1111-1111",
    "3782 822463 10005",
    "DE89 3704 0044 0532 0130 00",
    "joe@shop.example",
    "joe%40shop.example",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl",
    "Bearer a1b2c3d4e5f6a7b8c9d0",
    "BEARER+a1b2c3d4e5f6a7b8c9d0",
    "Basic dXNlcjpodW50ZXIyaHVudGVyMg==",
    "sk-proj-a1b2c3d4e5f6a7b8c9d0",
    "glpat-a1b2c3d4e5f6a7b8c9d0",
    "xoxb-12345678-abcdefgh",
    "pypi-" + "AgEIcHlwaS5vcmc" * 3,
    "ya29." + "a0AfH6SMBx1y2z3" * 2,
    "ghp_" + "a1B2c3D4e5F6g7H8i9J0",
    "whsec_a1b2c3d4e5f6a7b8c9d0",
    "sk_live_a1b2c3d4e5f6a7b8",
    "hf_" + "a1b2c3d4e5f6a7b8c9d0e1f2",
    "https://joe:hunter2pass@db.example/",
    "/reset/a1b2c3d4e5f6g7h8",
    "/RESET-Password/a1b2c3d4e5f6g7h8",
    "-----BEGIN RSA PRIVATE KEY-----abcdef-----END RSA PRIVATE KEY-----",
)
WORDS = (
    *SECRETS, "1763900000123", "c7263b6b-d878-4bb1-938d-6f0816b23442", "7263-1111-2222-3", "updated_at", "tasks-",
    "q=0.9", "password", "token", "page", "size", ": ", "=", "&", "?", "/", ";", "%", "+", " ", "--", "</b>", "é", "\\",
    "{", "[", "shop.example", "hunter2", "id", "-", ".", "_", "Zm9v", "yJ", "A", "AA", "xox",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(WORDS), max_size=4).map("".join)
NAMES = st.sampled_from(
    ["Accept", "X-Request-Id", "ETag", "Referer", "Cookie", "Authorization", "X-User", "X-Customer", "Location", "Link"]
)
FIELDS = st.tuples(NAMES, TEXTS)
TYPES = st.sampled_from(
    ["application/json", "application/json; charset=utf-8", "application/json; charset=latin-1", "text/plain", ""]
)
KEYS = st.sampled_from(
    ["id", "note", "token", "card", "number", "pin", "nickname", "deep", "place", "name", "value", "é"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.one_of(
    st.just(b""),
    st.builds(lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(), VALUES, st.booleans()),
    st.builds(lambda value: b'{"token":"abcdef12","token":' + json.dumps(value).encode() + b"}", VALUES),
    TEXTS.map(lambda text: text.encode()),
    st.sampled_from(
        [b'{"token":"abc', b"\xff\xfe{\0}\0", b'{"a":"\xff\xfe"}', b'{"t\\u006fken":"abcdef12"}', b'"token":"x"']
    ),
)
TARGETS = st.builds("/{}?page={}&q={}".format, TEXTS, st.integers(0, 9), TEXTS) | TEXTS.map("/".__add__)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    sides = []
    for _ in range(2):
        typed = draw(TYPES)
        headers = tuple(draw(st.lists(FIELDS, max_size=3))) + ((("Content-Type", typed),) if typed else ())
        sides.append((headers, draw(BODIES)))
    (asked, sent), (answered, body) = sides
    request = Request("GET", draw(TARGETS), "HTTP/1.1", asked, sent or None, len(sent))
    return Exchange("", "", "relay", 1.0, request, Response(200, "OK", "HTTP/1.1", answered, body, len(body)), Times(1))


@contextlib.contextmanager
def nothing_is_passed_over() -> Iterator[None]:
    """Every text is searched by every detector, whatever a first look at it says."""
    with contextlib.ExitStack() as stack:
        for module in ("body", "fields", "header_memory", "json_text", "pairs", "clean"):
            stack.enter_context(mock.patch(f"capture.redact.{module}.may_hold", return_value=True))
        yield


def assert_alike(records: list[Exchange], rules: dict[str, Any]) -> None:
    """A redactor that remembers all it has seen writes what one does that reads every piece as if it were the first."""
    config = RedactConfig(**rules)
    quick = Redactor(config, Pseudonyms(b"key"))
    thorough = Redactor(config, Pseudonyms(b"key"), thorough=True)
    for record in records:
        made = quick.redact(record)
        with nothing_is_passed_over():
            assert made == thorough.redact(record)


@given(st.lists(exchanges(), min_size=1, max_size=4), st.sampled_from([{}, USERS_RULES, {"mode": "strict"}]))
def test_what_is_passed_over_is_what_nothing_would_change(records: list[Exchange], rules: dict[str, Any]) -> None:
    assert_alike([*records, *records], rules)


def harmless(n: int) -> Exchange:
    body = json.dumps({"id": n, "items": [{"sku": f"a{n}", "at": 1763900000000 + n}], "note": "blue"}).encode()
    headers = (("Accept", "*/*"), ("X-Request-Id", f"{n:032x}"), ("Content-Type", "application/json"))
    request = Request("POST", f"/items/{n}?page={n % 7}", "HTTP/1.1", headers, body, len(body))
    return Exchange("", "", "relay", 1.0, request, Response(200, "OK", "HTTP/1.1", headers, body, len(body)), Times(n))


PLACES = ("path", "query", "header", "request body", "response body", "name in JSON", "header name")


def planted(secret: str, place: str, n: int) -> Exchange:
    """A harmless exchange but for one secret."""
    plain = harmless(n)
    request, response = plain.request, plain.response
    assert response is not None
    target, headers, sent, got = request.target, request.headers, request.body, response.body
    if place == "path":
        target = f"/items/{secret}"
    elif place == "query":
        target = f"/items/{n}?page=2&q={secret}"
    elif place == "header":
        headers = (headers[0], ("X-Request-Id", secret), headers[2])
    elif place == "header name":
        headers = (*headers, (secret, "1"))
    elif place == "name in JSON":
        got = json.dumps({"id": n, secret: 1}).encode()
    else:
        body = json.dumps({"id": n, "items": [{"sku": secret, "at": 1763900000000}], "note": "blue"}).encode()
        sent, got = (body, got) if place == "request body" else (sent, body)
    return Exchange(
        "", "", "relay", 1.0,
        Request("POST", target, "HTTP/1.1", headers, sent, len(sent or b"")),
        Response(200, "OK", "HTTP/1.1", response.headers, got, len(got or b"")), Times(n),
    )  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_among_hundreds_of_harmless_exchanges_is_treated_as_if_it_were_alone(secret: str, place: str) -> None:
    config = RedactConfig()
    quick = Redactor(config, Pseudonyms(b"key"))
    for n in range(200):
        plain = harmless(n)
        assert quick.redact(plain) is plain
    made = quick.redact(planted(secret, place, 777))
    with nothing_is_passed_over():
        assert made == Redactor(config, Pseudonyms(b"key"), thorough=True).redact(planted(secret, place, 777))
    if place in ("header", "request body", "response body") and not secret.startswith("-----"):
        assert made.redacted
        assert secret not in repr(made)


def test_real_traffic_comes_out_alike_with_and_without_a_first_look(corpora: Path) -> None:
    records = []
    for path in [*sorted((corpora / "har").glob("*.har")), *sorted((corpora / "mitmproxy").iterdir())]:
        reader = har.read if path.suffix == ".har" else mitm.read
        with contextlib.suppress(Exception):  # broken files are there, too; what came before counts
            records += [record.exchange for record in reader(path) if isinstance(record, Found)]
    assert len(records) > 30
    assert_alike([*records, *records], {})


def test_real_json_comes_out_alike_with_and_without_a_first_look(corpora: Path) -> None:
    bodies = []
    for path in (corpora / "json" / "json-test-suite.jsonl", corpora / "api" / "github-recorded.jsonl"):
        for line in path.read_text().splitlines():
            bodies += [text.encode("utf-8", "surrogatepass") for text in texts_in(json.loads(line))]
            bodies.append(line.encode())
    records = [
        Exchange(
            "", "", "relay", 1.0, Request("GET", "/", "HTTP/1.1", ()),
            Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body[:20_000], len(body)),
            Times(1),
        )
        for body in bodies
    ]  # fmt: skip
    assert len(records) > 200
    assert_alike(records, {})


def texts_in(value: Any) -> list[str]:
    """All strings in a JSON value, and what of them is base64."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return [value, base64.b64decode(value, validate=True).decode()]
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [text for one in inner for text in texts_in(one)]


def test_headers_with_pairs_leave_the_body_and_the_target_to_the_look() -> None:
    memory = HeaderMemory(Rules(RedactConfig()))
    body = b'{"id":1}'
    for n in range(40):
        headers = (("Referer", f"/items?page={n}"), ("Content-Type", "application/json"))
        message = Request("GET", "/", "HTTP/1.1", headers, body, len(body))
        side = Side(message, memory, ())
        assert look("/items", side)
        assert side.body_formless
    assert not look("/items/4111111111111111", side)


def test_a_body_that_is_coded_or_of_another_kind_is_left_to_its_own_scanner() -> None:
    memory = HeaderMemory(Rules(RedactConfig()))
    for headers in (
        (("Content-Type", "application/json"), ("Content-Encoding", "gzip")),
        (("Content-Type", "text/plain"),),
        (("Content-Type", "application/json; charset=utf-16"),),
    ):
        side = Side(Request("GET", "/", "HTTP/1.1", headers, b"joe@shop.example", 16), memory, ())
        assert look("/items", side)
        assert not side.body_formless
