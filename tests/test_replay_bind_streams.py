"""Values of answers that were still coming when they were used: only what had surely come is bound."""

from __future__ import annotations

import msgspec
import pytest

from capture.exchange import Exchange, Request, Times
from replay.bind import Binder
from replay.outcome import Outcome
from replay.plan import Planner
from replay.supplies import Supplies
from tests.support.binding import (
    JSON,
    OTHER,
    TOKEN,
    links_of,
    of_type,
    shown,
)
from tests.support.rude import exchange, get, json_response


def test_a_value_that_the_client_sent_while_the_answer_was_under_way_is_not_bound() -> None:
    first = exchange(0, get("/a"), json_response(b'{"t": "%b"}' % TOKEN.encode()), start_ms=0, took_ms=10)
    assert links_of(first, exchange(1, get(f"/b?t={TOKEN}"), start_ms=5))[1] == ()


def test_what_a_client_read_of_a_stream_before_it_left_is_bound_and_waited_for() -> None:
    stream = of_type("text/event-stream", b"event: endpoint\ndata: /messages?sid=%b\n\n" % TOKEN.encode())
    opened = exchange(0, get("/events"), stream)
    start = opened.times.request_start
    left = msgspec.structs.replace(
        opened, times=Times(start, start, start + 400_000, None), incomplete_reason="response_cut"
    )
    posted = exchange(1, get(f"/messages?sid={TOKEN}", method="POST"))
    sooner = exchange(0, get(f"/messages?sid={TOKEN}", method="POST"), start_ms=0.3)
    binder = Binder()
    planned = list(Planner(allow_writes=True).plan([left, posted]))
    assert binder.note(planned[0]) == ()
    assert shown(binder.note(planned[1])) == [("query:sid", "log-0 event:0:data/query/sid/0")]
    assert (planned[1].waits_for, binder.waits_for) == ((), (0,))
    assert links_of(left, sooner)[1] == ()
    assert Binder().waits_for == ()


def open_stream(*events: str) -> Exchange:
    body = "".join(f"data: {event}\n\n" for event in events).encode()
    opened = exchange(0, get("/events"), of_type("text/event-stream", body))
    start = opened.times.request_start
    times = Times(start, start, start + 400_000, None, start + 50_000_000)
    return msgspec.structs.replace(opened, times=times, incomplete_reason="reset")


LATER = f'{{"order": "{TOKEN}", "ticket_id": 417}}'


@pytest.mark.parametrize(
    ("stream", "request_", "start_ms", "bound"),
    [
        (open_stream(LATER), get("/o", JSON, method="POST", body=b'{"order": "%b"}' % TOKEN.encode()), 1, True),
        (
            open_stream("hello", LATER),
            get("/o", JSON, method="POST", body=b'{"order": "%b"}' % TOKEN.encode()),
            1,
            False,
        ),
        (
            open_stream("hello", LATER),
            get("/o", JSON, method="POST", body=b'{"order": "%b"}' % TOKEN.encode()),
            60,
            True,
        ),
        (open_stream("hello", LATER), get(f"/orders/{TOKEN}"), 1, True),
        (open_stream("hello", LATER), get("/o?ticket=417"), 1, False),
        (open_stream("hello", LATER), get("/o?ticket=417"), 60, True),
    ],
)
def test_of_an_open_stream_only_what_had_surely_come_is_bound(
    stream: Exchange, request_: Request, start_ms: int, bound: bool
) -> None:
    links = links_of(stream, exchange(1, request_, start_ms=start_ms))[1]
    assert [link.sources[0].place.kind for link in links] == ["event"] * bound


def test_what_a_client_may_have_known_before_a_later_event_said_it_needs_no_answer() -> None:
    for events, needed in ((["hello", LATER], False), ([LATER], True)):
        links = links_of(open_stream(*events), exchange(1, get(f"/orders/{TOKEN}"), start_ms=1))[1]
        supplies = Supplies(1, 1 << 20)
        supplies.keep(open_stream(), 0, 0, 0, Outcome("b", "current", 0, 1, 2, 3, of_type("text/event-stream", b"")))
        assert supplies.resolvable(links, "s", 0, 0) is not needed


def test_what_more_has_come_of_an_answer_takes_the_place_of_what_had_come_before() -> None:
    stream = open_stream(LATER)
    links = links_of(stream, exchange(1, get(f"/orders/{TOKEN}"), start_ms=1))[1]
    supplies = Supplies(1, 1 << 20)
    for body, expected in ((b"", None), (b'data: {"order": "%b"}\n\n' % OTHER.encode(), OTHER)):
        supplies.keep_response(stream, 0, 0, 0, of_type("text/event-stream", body))
        found = supplies.value(links[0], "s", 0, 0)
        assert (found and found[0]) == expected
