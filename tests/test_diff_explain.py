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
