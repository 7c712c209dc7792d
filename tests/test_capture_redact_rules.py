"""The rules of `[redact]`: what is kept, what else is secret, and strict mode."""

from __future__ import annotations

import json

import pytest

from capture.errors import UsageError
from tests.support.redaction import FORM, JSON, MAIL, answered, asked, through


def test_what_a_rule_keeps_stays_readable_everywhere_in_the_exchange() -> None:
    rules = (
        "header:authorization",
        "cookie:sid",
        "query:token",
        "form:password",
        "json:$.password",
        "json:$..items[*].code_key",
        "xml:secret",
        "detector:email",
    )
    kept = (
        asked("/a?token=abcdef-123", ("Authorization", "Bearer abcdef-123"), ("Cookie", "sid=abcdef-123")),
        asked("/", FORM, body="password=abcdef-123"),
        asked("/", JSON, body={"password": "abcdef-123", "mail": MAIL}),
        asked("/", ("Content-Type", "text/xml"), body="<a><secret>abcdef-123</secret></a>"),
    )
    for request in kept:
        assert through(request, keep=rules).request == request
    deeper = through(asked("/", JSON, body={"x": {"password": "abcdef-123"}}), keep=rules)
    assert deeper.redacted == ("request.json:$['x']['password']",)


def test_further_fields_and_headers_are_secret_by_rule() -> None:
    record = through(
        asked(
            "/?nickname=annabell1",
            ("X-Customer", "customer-77"),
            JSON,
            body={"a": {"nickName": "annabell1"}, "n": "b1"},
        ),
        fields=("nickname", "json:$.n"),
        headers=("X-Customer",),
    )
    assert record.redacted == (
        "request.query:nickname",
        "request.header:x-customer",
        "request.json:$['a']['nickName']",
        "request.json:$['n']",
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"keep": ("heder:x",)}, "did you mean 'header'"),
        ({"keep": ("authorization",)}, "is not KIND:NAME"),
        ({"keep": ("json:$.a[",)}, "is not a path"),
        ({"keep": ("detector:emial",)}, "did you mean 'email'"),
        ({"fields": ("$",)}, "is not a path"),
    ],
)
def test_a_rule_that_is_not_understood_is_refused(rules: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        through(asked(), **rules)


def test_strict_mode_keeps_only_what_is_allowed_by_name() -> None:
    record = through(
        asked(
            "/users/4711/orders?page=2&q=shoes",
            ("Host", "shop.example"),
            ("X-Custom", "readable"),
            ("Cookie", "theme=dark"),
            JSON,
            body={"name": "Anna", "age": 44, "ok": True, "city": "Izmir"},
        ),
        answered(("Content-Type", "text/html"), body="<p>Anna</p>"),
        mode="strict",
        keep=("json:$.city", "query:page"),
    )
    request, response = record.request, record.response
    assert response is not None
    assert request.target.startswith("/users/")
    assert "4711" not in request.target
    assert "page=2" in request.target
    assert "shoes" not in request.target
    assert request.headers[0] == ("Host", "shop.example")
    assert request.headers[1][1] != "readable"
    assert request.headers[2][1] != "theme=dark"
    body = json.loads(request.body or b"")
    assert list(body) == ["name", "age", "ok", "city"]
    assert body["city"] == "Izmir"
    assert body["ok"] is True
    assert body["name"] != "Anna"
    assert body["age"] != 44
    assert response.body is None
    assert "response body dropped: cannot be made safe" in record.notes
