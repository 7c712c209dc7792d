from __future__ import annotations

from capture.exchange import Exchange, Request, Response, Times
from diff.coverage import CoverageCounter


def exchange(target: str, status: int = 200, body: bytes = b"{}") -> Exchange:
    response = Response(status, "", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))
    return Exchange("x", "s", "relay", 1.0, Request("GET", target, "HTTP/1.1", ()), response, Times(0))


def test_with_nothing_seen_nothing_is_excluded() -> None:
    found = CoverageCounter().result()
    assert (found.behaviours_seen, found.unseen_probability, found.high) == (0, 1.0, 1.0)


def test_one_behaviour_seen_often_leaves_little_unseen() -> None:
    counter = CoverageCounter()
    for _ in range(100):
        counter.add(exchange("/a"), "GET /a", performed=True)
    found = counter.result()
    assert (found.behaviours_seen, found.behaviours_performed, found.unseen_probability) == (1, 1, 0.0)
    assert 0.029 < found.high < 0.03


def test_the_share_of_singletons_is_the_chance_of_something_new() -> None:
    counter = CoverageCounter()
    for _ in range(90):
        counter.add(exchange("/a"), "GET /a", performed=True)
    for number in range(10):
        counter.add(exchange(f"/a?q{number}=1"), "GET /a", performed=True)
    found = counter.result()
    assert found.unseen_probability == 0.1
    assert found.low < 0.1 < found.high


def test_what_was_skipped_counts_as_unseen() -> None:
    counter = CoverageCounter()
    for number in range(100):
        counter.add(exchange("/a"), "GET /a", performed=True)
        counter.add(exchange("/b"), "POST /b", performed=False)
        assert counter.result().behaviours_performed == 1, number
    assert counter.result().unseen_probability == 0.5


def test_a_status_a_query_name_and_a_field_make_other_behaviours() -> None:
    counter = CoverageCounter()
    for one in (
        exchange("/a"),
        exchange("/a", 404),
        exchange("/a?x=1"),
        exchange("/a?x=2"),
        exchange("/a", body=b'{"a":1}'),
    ):
        counter.add(one, "GET /a", performed=True)
    assert counter.result().behaviours_seen == 4


def test_a_body_that_is_not_what_it_says_is_a_behaviour_too() -> None:
    counter = CoverageCounter()
    counter.add(exchange("/a", body=b"{" * 5000), "GET /a", performed=True)
    assert counter.result().behaviours_seen == 1
