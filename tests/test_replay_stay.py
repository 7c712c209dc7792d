"""How long a stream is listened to: as long as production's client did, at the pace that there is, or for a bound."""

from __future__ import annotations

import msgspec
import pytest

from capture.exchange import Exchange, Response, Times
from replay.stay import Stay, has_enough, is_event_stream, listen_ns, stay_of
from tests.support.rude import exchange, get

S = 1_000_000_000
EVENTS = (("Content-Type", "text/event-stream"),)
LISTENED = Times(5 * S, 5 * S, 6 * S, None, 9 * S)


def of(
    body: bytes = b"data: 1\n\n",
    times: Times = LISTENED,
    headers: tuple[tuple[str, str], ...] = EVENTS,
    reason: str | None = "response_cut",
) -> Exchange:
    response = Response(200, "OK", "HTTP/1.1", headers, body, len(body))
    return msgspec.structs.replace(exchange(0, get("/events"), response), times=times, incomplete_reason=reason)


def test_a_stream_is_listened_to_for_as_long_as_production_did_after_its_first_byte() -> None:
    assert stay_of(of()) == Stay(3 * S, 9 * S, 9, 2)


def test_what_ended_is_waited_for_to_its_end() -> None:
    assert stay_of(of(times=Times(1, 2, 3, 4), reason=None)) is None
    assert stay_of(of(times=Times(1, 2, 3, 4), reason="response_transfer_coding")) is None
    assert stay_of(of(times=Times(1), reason=None, headers=())) is None  # whole, of a source that knows no times


def test_where_it_is_not_known_when_the_client_left_neither_is_how_long_it_listened() -> None:
    assert stay_of(of(times=Times(1, 2, 3))) == Stay(None, None, 9, 2)
    assert stay_of(of(times=Times(1), reason=None)) == Stay(None, None, 9, 2)


def test_a_client_that_left_without_an_answer_has_waited_since_its_request() -> None:
    alone = msgspec.structs.replace(of(), response=None, times=Times(S, 2 * S, None, None, 5 * S))
    assert stay_of(alone) == Stay(3 * S, 5 * S, answered=False)


def test_of_a_request_alone_only_the_answer_can_say_whether_it_is_a_stream() -> None:
    alone = msgspec.structs.replace(of(), response=None, times=Times(S), incomplete_reason=None)
    found = stay_of(alone)
    assert found is not None
    assert not found.certain
    assert is_event_stream((("content-type", "text/event-stream; charset=utf-8"),))
    assert not is_event_stream((("content-type", "application/json"),))
    assert not is_event_stream(())


@pytest.mark.parametrize(
    ("listened_ns", "speed", "expected_ns"),
    [
        (3 * S, 1.0, 3 * S),  # the recorded pace
        (60 * S, 2.0, 30 * S),  # twice as fast
        (3 * S, None, 3 * S),  # as fast as the builds answer
        (60 * S, None, 10 * S),  # likewise, but not for longer than the bound
        (None, 4.0, 10 * S),  # not known
    ],
)
def test_the_time_is_the_recorded_one_at_the_pace_that_there_is(
    listened_ns: int | None, speed: float | None, expected_ns: int
) -> None:
    assert listen_ns(Stay(listened_ns), speed, 10 * S) == expected_ns


@pytest.mark.parametrize(
    ("body", "headers", "enough"),
    [
        (b"data: 1\n\ndata: 22\n\n", EVENTS, True),
        (b"data: 1\n\ndata: 2\n\n", EVENTS, True),  # an id is shorter here
        (b"data: 1\n\n", EVENTS, False),
        (b"data: 1\n\ndata: 2\n\n", (("Content-Type", "text/plain"), ("Content-Encoding", "gzip")), False),
        (b"data: 1\n\ndata: 2\n\n", (("Content-Type", "application/octet-stream"),), False),
    ],
)
def test_enough_has_come_once_it_is_as_many_lines_or_bytes(
    body: bytes, headers: tuple[tuple[str, str], ...], enough: bool
) -> None:
    stay = stay_of(of(b"data: 1\n\ndata: 22\n\n"))
    assert stay is not None
    assert has_enough(stay, Response(200, "", "HTTP/1.1", headers, body, len(body))) is enough
