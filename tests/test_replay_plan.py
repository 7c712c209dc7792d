"""The plan: what waits for what inside a session, and why something is not sent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from replay.plan import SKIP_REASONS, Planned, Planner, skip_reason
from tests.support.rude import exchange, get


def plan(*exchanges: Exchange, allow_writes: bool = False, sessions_max: int = 1000) -> list[Planned]:
    return list(Planner(allow_writes, sessions_max).plan(exchanges))


def at(number: int, start_ms: float, took_ms: float, session: str = "s") -> Exchange:
    return exchange(number, get(f"/{number}"), None, session, start_ms, took_ms)


def test_a_request_waits_only_for_what_had_ended_before_it_began() -> None:
    planned = plan(at(0, 0, 10), at(1, 5, 10), at(2, 12, 1), at(3, 20, 1))
    assert [p.waits_for for p in planned] == [(), (), (0,), (1, 2)]


def test_the_end_of_an_answer_at_the_very_beginning_of_a_request_is_before_it() -> None:
    assert [p.waits_for for p in plan(at(0, 0, 5), at(1, 5, 5))] == [(), (0,)]


def test_sessions_do_not_wait_for_each_other() -> None:
    assert [p.waits_for for p in plan(at(0, 0, 1, "a"), at(1, 2, 1, "b"), at(2, 4, 1, "a"))] == [(), (), (0,)]


def test_what_another_already_waited_for_is_not_waited_for_again() -> None:
    assert [p.waits_for for p in plan(*(at(n, n * 2, 1) for n in range(4)))] == [(), (0,), (1,), (2,)]


def test_an_exchange_without_a_known_end_holds_nothing_back() -> None:
    first = msgspec.structs.replace(at(0, 0, 1), times=Times(0), response=None)
    assert [p.waits_for for p in plan(first, at(1, 5, 1))] == [(), ()]


@pytest.mark.parametrize(("method", "waits"), [("POST", (0,)), ("GET", ())])
def test_what_a_client_changed_is_waited_for_though_it_left_before_the_end_and_a_stream_is_not(
    method: str, waits: tuple[int, ...]
) -> None:
    begun = exchange(0, get("/0", method=method))
    start = begun.times.request_start
    left = msgspec.structs.replace(
        begun, times=Times(start, start, start + 1_000_000, None), incomplete_reason="response_cut"
    )
    planned = plan(left, at(1, 0.9, 1), at(2, 5, 1), allow_writes=True)
    assert [p.waits_for for p in planned[:2]] == [(), ()]
    assert planned[2].waits_for == (*waits, 1)


def test_offsets_count_from_the_first_exchange_and_never_go_back() -> None:
    planned = plan(at(0, 10, 1), at(1, 15, 1), at(2, 12, 1), at(3, 16, 1))
    assert [p.offset_ns for p in planned] == [0, 5_000_000, 5_000_000, 6_000_000]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), min_size=1, max_size=25))
def test_waiting_covers_exactly_what_happened_before(spans: list[tuple[int, int]]) -> None:
    spans.sort()
    planned = plan(*(at(n, start, took) for n, (start, took) in enumerate(spans)))
    reach: list[set[int]] = []
    for number, item in enumerate(planned):
        reach.append(set().union(*({other} | reach[other] for other in item.waits_for)))
        before = {other for other in range(number) if spans[other][0] + spans[other][1] <= spans[number][0]}
        assert reach[number] == before


def left(number: int, start_ms: float, first_ms: float, took_ms: float) -> Exchange:
    """A stream whose first byte came after first_ms, and which was left after took_ms."""
    one = at(number, start_ms, took_ms)
    start = one.times.request_start
    times = Times(start, start, start + int(first_ms * 1e6), None, start + int(took_ms * 1e6))
    return msgspec.structs.replace(one, times=times, incomplete_reason="reset")


def test_who_was_sent_while_a_stream_was_open_waits_for_it_and_who_came_after_it_does_too() -> None:
    planned = plan(left(0, 0, 2, 100), at(1, 1, 1), at(2, 10, 5), at(3, 20, 5), at(4, 150, 1))
    assert [p.waits_for for p in planned] == [(), (), (0, 1), (2,), (0, 3)]
    assert [p.stay is not None for p in planned] == [True, False, False, False, False]


def test_nothing_waits_for_what_was_left_without_an_answer() -> None:
    poll = msgspec.structs.replace(left(0, 0, 1, 100), response=None)
    assert [p.waits_for for p in plan(poll, at(1, 50, 1), at(2, 150, 1))] == [(), (), (1,)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10), st.booleans()), min_size=1, max_size=25))
def test_a_stream_is_waited_for_from_its_beginning_and_again_from_when_it_was_left(
    spans: list[tuple[int, int, bool]],
) -> None:
    spans.sort()
    planned = plan(
        *(left(n, start, 1, 2 + took) if open_ else at(n, start, took) for n, (start, took, open_) in enumerate(spans))
    )
    begun: list[set[int]] = []
    ended: list[set[int]] = []
    for number, item in enumerate(planned):
        start = spans[number][0]
        over = {other for other in range(number) if sum(spans[other][:2]) + 2 * spans[other][2] <= start}
        begun.append(set().union(*({other} | begun[other] for other in item.waits_for)))
        ended.append(set().union(*(({other} & over) | ended[other] for other in item.waits_for)))
        open_ = {other for other in range(number) if spans[other][2] and spans[other][0] + 1 <= start}
        assert begun[number] == over | open_
        assert ended[number] == over


def test_forgotten_sessions_are_counted() -> None:
    planner = Planner(sessions_max=2)
    list(planner.plan([at(0, 0, 1, "a"), at(1, 2, 1, "b"), at(2, 4, 1, "c"), at(3, 6, 1, "a")]))
    assert planner.forgotten == 1


def change(base: Exchange, **request: object) -> Exchange:
    return msgspec.structs.replace(base, request=msgspec.structs.replace(base.request, **request))


BASE = exchange(0, get("/"))


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (BASE, None),
        (change(BASE, method="POST"), "unsafe_method"),
        (change(BASE, method="get"), "unsafe_method"),
        (change(BASE, method="QUERY"), None),
        (change(BASE, truncated=True), "truncated_body"),
        (change(BASE, body=None), "no_body"),
        (change(BASE, method="CONNECT", target="h:443"), "connect_or_upgrade"),
        (change(BASE, headers=(("Upgrade", "WebSocket"),)), "connect_or_upgrade"),
        (change(BASE, headers=(("x-understudy-replay", "r/e"),)), "captured_by_replay"),
        (change(BASE, target="/a b"), "invalid_request"),
        (change(BASE, target="/a\r\nX: y"), "invalid_request"),
        (change(BASE, headers=(("X", "a\r\nY: b"),)), "invalid_request"),
        (change(BASE, headers=(("X Y", "a"),)), "invalid_request"),
        (change(BASE, headers=(("X", "caf\xe9"),), target="/caf\xe9"), None),
        (change(BASE, headers=(("X", "a\u2014b"),)), "invalid_request"),
        (change(BASE, target="/\u2014"), "invalid_request"),
        (change(BASE, headers=((":authority", "a"),)), None),
        (msgspec.structs.replace(BASE, response=Response(101, "", "HTTP/1.1", ())), "connect_or_upgrade"),
        (msgspec.structs.replace(BASE, response=None), None),
        (msgspec.structs.replace(BASE, incomplete_reason="closed"), None),
        (msgspec.structs.replace(BASE, incomplete_reason="closed", times=Times(1)), "incomplete_request"),
    ],
)
def test_a_request_that_cannot_be_sent_says_why(found: Exchange, reason: str | None) -> None:
    assert skip_reason(found, allow_writes=False) == reason
    assert reason is None or reason in SKIP_REASONS


def test_writes_are_planned_where_they_are_allowed() -> None:
    assert plan(change(BASE, method="DELETE"), allow_writes=True)[0].skipped is None


def test_a_skipped_request_is_planned_in_its_place_and_nothing_waits_for_it() -> None:
    planned = plan(at(0, 0, 1), change(at(1, 2, 1), method="POST"), at(2, 4, 1))
    assert [(p.position, p.skipped, p.waits_for) for p in planned] == [
        (0, None, ()),
        (1, "unsafe_method", ()),
        (2, None, (0,)),
    ]


def test_a_target_is_any_text_without_spaces_and_controls() -> None:
    assert skip_reason(change(BASE, target="/caf\xe9/%zz?x={y}|"), allow_writes=False) is None
    assert Request("GET", "/", "HTTP/1.1", ()).body == b""
