"""Streams that were left: what both builds have sent is compared, how much that is and a cut end are no difference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from capture.exchange import Response
from diff.collector import Collector
from diff.compare import compare_outcomes
from diff.options import DEFAULT_OPTIONS
from diff.stream import compare_streams
from replay.outcome import Outcome

SSE, NDJSON, GRPC, TEXT = "text/event-stream", "application/x-ndjson", "application/grpc", "text/plain"
S = 1_000_000_000


def event(data: str, name: str = "") -> bytes:
    return (f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode()


def message(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4, "big") + data


def differences(
    left: bytes,
    right: bytes,
    kind: str = SSE,
    whole: tuple[bool, bool] = (False, False),
    patient: tuple[bool, bool] = (False, False),
) -> Sequence[tuple[str, str]]:
    """(kind, path) of each, and the same the other way round."""
    found = []
    for mine, other, ends, waits in ((left, right, whole, patient), (right, left, whole[::-1], patient[::-1])):
        collector = Collector(100)
        compare_streams(mine, other, kind, kind, ends, waits, collector, DEFAULT_OPTIONS)
        found.append([(one.kind, "/".join(map(str, one.path))) for one in collector.differences])
    turned = {"missing": "extra", "extra": "missing"}
    assert sorted((turned.get(kind, kind), path) for kind, path in found[1]) == sorted(found[0])
    return found[0]


@pytest.mark.parametrize(
    ("left", "right", "kind"),
    [
        (event("1") + event("2"), event("1") + event("2") + event("3"), SSE),
        (event("1") + b"data: 2", event("1") + event("2"), SSE),
        (event("1") + b"data: 23\n", event("1") + event("2"), SSE),
        (event("1") + b": ping\n\n" + event("2"), b": ping 7\n\n" + event("1") + event("2"), SSE),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", b"data: 1\r\n\r\n", SSE),
        (b'{"a": 1}\n{"a": 2}\n{"a"', b'{"a": 1}\n', NDJSON),
        (b'\x1e{"a": 1}\n\x1e{"a": 2', b'\x1e{"a": 1}\n', NDJSON),
        (b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a', "application/json"),
        (message(b"ab") + message(b"cd"), message(b"ab") + message(b"cd")[:6], GRPC),
        (b"one\ntwo\nthr", b"one\ntwo\nthree\n", TEXT),
        (b"\x89PNG\r\n\x1a\n\0\1\2\3", b"\x89PNG\r\n\x1a\n\0\1", "image/png"),
        (b"", b"", SSE),
    ],
)
def test_how_much_came_until_the_stream_was_left_is_no_difference(left: bytes, right: bytes, kind: str) -> None:
    assert differences(left, right, kind) == []


@pytest.mark.parametrize(
    ("left", "right", "kind", "path"),
    [
        (event('{"a": 1}') + event('{"a": 2}'), event('{"a": 1}') + event('{"a": 3}') + event("4"), SSE, "1/data/a"),
        (b'{"a": 1}\n{"a": 2}\n', b'{"a": 1}\n{"a": 3}\n{"a": 4}\n', NDJSON, "1/a"),
        (b"one\ntwo\n", b"one\nzwei\ndrei\n", TEXT, "1"),
    ],
)
def test_what_both_have_sent_is_compared(left: bytes, right: bytes, kind: str, path: str) -> None:
    assert differences(left, right, kind) == [("value", path)]


def test_bytes_that_differ_before_the_shorter_one_ends_are_a_difference() -> None:
    assert differences(b"\x89PNG\r\n\x1a\n\0\1\2\3", b"\x89PNG\r\n\x1a\n\0\7\2", "image/png") != []


def test_a_build_that_sends_nothing_where_the_other_does_is_a_difference() -> None:
    assert differences(event("1"), b"") == [("missing", "0")]
    assert differences(event("1"), b": ping\n\n") == [("missing", "0")]


def test_an_event_of_another_name_is_a_difference_and_one_that_came_in_between_shifts_nothing() -> None:
    assert differences(event("1", "tick") * 3, event("1", "tock") * 3) == [("missing", "0"), ("extra", "0")]
    ticks = [event(f'{{"n": {n}}}', "tick") for n in range(4)]
    ping = event("{}", "ping")
    with_pings = ticks[0] + ping + ticks[1] + ticks[2]
    assert differences(b"".join(ticks) + ping, with_pings) == []
    changed = ticks[0] + ping + event('{"n": "one"}', "tick") + ticks[2]
    assert differences(b"".join(ticks) + ping, changed) == [("type", "1/data/n")]


def test_a_kind_of_event_that_may_only_not_have_come_yet_is_no_difference() -> None:
    assert differences(event("1", "tick") * 3 + event("1", "end"), event("1", "tick") * 3) == []


def test_of_a_stream_that_ended_by_itself_the_last_piece_counts_without_its_end() -> None:
    assert differences(event("1") + event("2"), event("1") + b"data: 3", whole=(False, True)) == [("value", "1/data")]


@pytest.mark.parametrize(
    ("patient", "expected"),
    [
        ((False, True), [("missing", "1")]),
        ((True, True), [("missing", "1")]),
        ((True, False), []),
        ((False, False), []),
    ],
)
def test_fewer_events_in_more_time_are_a_difference(
    patient: tuple[bool, bool], expected: list[tuple[str, str]]
) -> None:
    assert differences(event("1") * 5, event("1"), patient=patient) == expected
    lengths = [("length", "")] if expected else []
    assert differences(b"\x89PNG\r\n\x1a\n\0\1\2\3", b"\x89PNG\r\n\x1a\n\0\1", "image/png", patient=patient) == lengths


def outcome(name: str, body: bytes, left: bool, listened_ns: int, **more: Any) -> Outcome:
    response = Response(200, "OK", "HTTP/1.1", (("Content-Type", SSE),), body, len(body))
    return Outcome(name, "current", 0, 0, S, S + listened_ns, response, left=left, **more)


@pytest.mark.parametrize(
    ("open_ns", "ended_ns", "expected"),
    [
        (3 * S, S // 10, [("header", "connection")]),  # it ended long before the other was left
        (3 * S, 2 * S, []),  # they may all end then
        (S // 2, 0, []),
    ],
)
def test_a_stream_that_one_build_ends_early_is_told(
    open_ns: int, ended_ns: int, expected: list[tuple[str, str]]
) -> None:
    body = event("1")
    mine, other = outcome("current", body, True, open_ns), outcome("candidate", body, False, ended_ns)
    for left, right in ((mine, other), (other, mine)):
        found = compare_outcomes(left, right)
        assert [(one.place, one.path[0]) for one in found.differences] == expected
        assert found.not_comparable is None
        assert not found.limits


@pytest.mark.parametrize(
    ("left", "more_ns", "expected"),
    [
        (True, S, ["missing"]),  # it was listened to for a second longer, and sent no more
        (True, S // 2, []),
        (True, -S, []),
        (False, -S // 4, ["missing"]),  # it has ended, so that no more can come
    ],
)
def test_a_stream_that_stands_still_or_ends_with_less_than_the_other_is_told(
    left: bool, more_ns: int, expected: list[str]
) -> None:
    mine = outcome("current", event("1") * 5, True, S)
    other = outcome("candidate", event("1") * 2, left, S + more_ns)
    assert [one.kind for one in compare_outcomes(mine, other).differences] == expected


def test_another_status_of_a_stream_stands_alone() -> None:
    mine = outcome("current", event("1"), True, 3 * S)
    refused = Outcome("candidate", "candidate", 0, 0, S, S, Response(503, "No", "HTTP/1.1", (), b"no", 2))
    assert [one.place for one in compare_outcomes(mine, refused).differences] == ["status"]
