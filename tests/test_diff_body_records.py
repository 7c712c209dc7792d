"""NDJSON and server-sent events."""

from __future__ import annotations

from diff.difference import MISSING
from tests.support.bodies import compare, found

NDJSON = "application/x-ndjson"
EVENTS = "text/event-stream; charset=utf-8"


def test_records_are_compared_by_value_and_blank_lines_are_nothing() -> None:
    assert found('{"a":1,"b":2}\n{"c":3}\n', '{"b":2, "a":1}\r\n\n{"c":3.0}', NDJSON) == []


def test_a_difference_in_a_record_has_the_index_of_the_record() -> None:
    assert found('{"a":1}\n{"a":2}\n', '{"a":1}\n{"a":5}\n', NDJSON) == [((1, "a"), "value", 2, 5)]


def test_an_added_record_is_one_difference() -> None:
    assert found('{"a":1}\n{"a":2}\n', '{"a":0}\n{"a":1}\n{"a":2}\n', NDJSON) == [((0,), "extra", MISSING, {"a": 0})]


def test_records_after_separators_are_read_as_rfc_7464_says() -> None:
    left, right = '\x1e{"a":\n1}\n\x1e{"b":2}\n', '\x1e{"a":1}\n\x1e{"b":3}\n'
    assert found(left, right, "application/json-seq") == [((1, "b"), "value", 2, 3)]


def test_a_broken_record_on_one_side_is_one_difference_of_type() -> None:
    comparison = compare('{"a":1}\n{"a":2}', '{"a":1}\n{"a"', NDJSON)
    assert [(d.path, d.kind) for d in comparison.differences] == [((), "type")]
    assert comparison.notes == (
        "the right body is unreadable: record 2 is not valid JSON at character 4: Expecting ':' delimiter",
    )


def test_broken_records_on_both_sides_are_compared_as_lines() -> None:
    comparison = compare("oops\nx", "oops\ny", NDJSON)
    assert [(d.path, d.kind) for d in comparison.differences] == [((1,), "value")]
    assert comparison.notes[0].endswith("compared as text")


def test_a_record_nested_too_deep_to_walk_is_compared_as_text() -> None:
    deep = "[" * 900 + "%s" + "]" * 900 + "\n"
    assert found(deep % 1 * 2, deep % 2 * 2, NDJSON) != []


def test_events_are_read_as_browsers_read_them() -> None:
    left = ': keep-alive\n\nevent: tick\ndata: {"n": 1}\ndata\nid:7\n\ndata:two\ndata: lines\n\n'
    right = 'id: 7\r\ndata:{"n":1}\r\ndata:\r\nevent:tick\r\n\r\n: hello\r\ndata: two\r\ndata:lines\r\n\r\n'
    assert found(left, right, EVENTS) == []


def test_json_in_the_data_of_an_event_is_compared_as_json() -> None:
    left, right = 'data: {"n":1,"m":2}\n\n', 'data: {"m":2,"n":3}\n\n'
    assert found(left, right, EVENTS) == [((0, "data", "n"), "value", 1, 3)]


def test_an_event_of_another_type_or_without_its_id_is_found() -> None:
    assert found("event:a\ndata:x\nid:1\n\n", "event:b\ndata:x\n\n", EVENTS) == [
        ((0, "event"), "value", "a", "b"),
        ((0, "id"), "missing", "1", MISSING),
    ]


def test_a_lost_event_is_one_difference_and_a_lost_order_too() -> None:
    one, two, three = "data:1\n\n", "data:2\n\n", "data:3\n\n"
    assert [(p, k) for p, k, _, _ in found(one + two + three, one + three, EVENTS)] == [((1,), "missing")]
    assert [(p, k) for p, k, _, _ in found(one + two + three, three + one + two, EVENTS)] == [((), "order")]


def test_an_event_that_the_end_cut_off_was_still_sent() -> None:
    assert found("data:1\n\ndata:2", "data:1\n\n", EVENTS) == [
        ((1,), "missing", {"event": "message", "data": "2"}, MISSING)
    ]
