from __future__ import annotations

from collections import Counter

from capture.exchange import Exchange, Request, Response, Times
from diff.explain import Dimension, dimensions_of, explain


def test_what_nearly_all_affected_have_and_few_others_explains_them() -> None:
    affected: Counter[Dimension] = Counter({("header:accept-language", "tr"): 49, ("method", "GET"): 50})
    everything = {("header:accept-language", "tr"): 52, ("method", "GET"): 350}
    (found,) = explain(affected, 50, everything, 350)
    assert (found.dimension, found.value, found.inside, found.outside) == ("header:accept-language", "tr", 0.98, 0.01)


def test_where_everything_is_affected_nothing_explains_it() -> None:
    assert explain(Counter({("method", "GET"): 300}), 300, {("method", "GET"): 302}, 302) == ()


def test_a_difference_by_chance_explains_nothing() -> None:
    assert explain(Counter({("query:q", "a"): 5}), 6, {("query:q", "a"): 8}, 12) == ()


def test_secrets_are_told_by_their_presence_alone() -> None:
    request = Request(
        "GET",
        "/a?page=2&flag",
        "HTTP/1.1",
        (("Authorization", "Bearer secret"), ("Cookie", "sid=secret; lang=tr"), ("Accept-Language", "tr")),
    )
    exchange = Exchange(
        "x", "s", "relay", 1.0, request, Response(200, "", "HTTP/1.1", ()), Times(3_600_000_000_000 * 5)
    )
    facts = dimensions_of(exchange)
    assert "secret" not in str(facts)
    assert ("header:authorization", "(present)") in facts
    assert ("cookie:sid", "(present)") in facts
    assert ("header:accept-language", "tr") in facts
    assert ("query:page", "2") in facts
    assert ("query:flag", "(present)") in facts
    assert ("hour (UTC)", "05") in facts
    assert ("recorded status", "200") in facts


def facts_of(target: str, headers: tuple[tuple[str, str], ...] = (), body: bytes = b"") -> tuple[Dimension, ...]:
    request = Request("POST", target, "HTTP/1.1", headers, body, len(body))
    return dimensions_of(Exchange("x", "s", "relay", 1.0, request, None, Times(0)))


def test_tenants_in_the_path_and_in_the_host_are_facts() -> None:
    facts = facts_of("/t/acme/orders", (("Host", "acme.shop.example"),))
    assert ("path segment 2", "acme") in facts
    assert ("header:host", "acme.shop.example") in facts


def test_the_fields_of_query_and_body_are_facts() -> None:
    facts = facts_of("/a?sort=price&page=2", (), b'{"coupon": "X1", "gift": true, "lines": [1], "password": "p"}')
    assert ("query fields", "page, sort") in facts
    assert ("body fields", "coupon, gift, lines, password") in facts
    assert ("body:coupon", "X1") in facts
    assert ("body:gift", "true") in facts
    assert "body:password" not in {name for name, _ in facts}


def test_a_body_that_is_no_object_has_no_fields() -> None:
    for body in (b"{broken", b"[1]", b'{"a": "' + b"x" * 20_000 + b'"}'):
        assert not [name for name, _ in facts_of("/a", (), body) if name.startswith("body")]


def test_clients_are_told_by_their_kind() -> None:
    agents = {
        "Mozilla/5.0 (iPhone; CPU) Mobile/15E148": "phone",
        "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0": "browser",
        "Googlebot/2.1": "robot",
        "curl/8.5.0": "curl",
    }
    for agent, kind in agents.items():
        assert ("client class", kind) in facts_of("/a", (("User-Agent", agent),))
