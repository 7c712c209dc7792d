"""Protobuf and gRPC bodies, with and without their types."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Response
from diff.body.protobuf import parse_frames
from diff.body.reading import Unreadable
from diff.body.schema import parse_schema
from diff.compare import CompareOptions, compare_bodies, compare_outcomes
from diff.difference import MISSING
from replay.outcome import Outcome
from tests.support.bodies import compare, found
from tests.support.protobuf import descriptor_set, field, fixed32, frame, group, varint

PROTOBUF = "application/x-protobuf"
GRPC = "application/grpc"
SCHEMA = parse_schema(descriptor_set())


def test_the_order_of_different_fields_says_nothing() -> None:
    assert found(field(1, 1) + field(2, "x"), field(2, "x") + field(1, 1), PROTOBUF) == []


def test_without_a_type_a_path_is_made_of_field_numbers() -> None:
    left = field(1, 7) + field(2, field(1, "name") + field(3, field(1, 1)))
    right = field(1, 8) + field(2, field(1, "other") + field(3, field(1, 2)))
    assert found(left, right, PROTOBUF) == [
        (("1",), "value", 7, 8),
        (("2", "1"), "value", "name", "other"),
        (("2", "3", "1"), "value", 1, 2),
    ]


def test_a_field_on_one_side_is_missing_or_extra_and_a_repeated_one_has_an_index() -> None:
    assert found(field(1, 1) + field(2, "x"), field(1, 1) + field(3, "y"), PROTOBUF) == [
        (("2",), "missing", "x", MISSING),
        (("3",), "extra", MISSING, "y"),
    ]
    assert found(field(1, "a") + field(1, "c"), field(1, "a") + field(1, "b") + field(1, "c"), PROTOBUF) == [
        (("1", 1), "extra", MISSING, "b")
    ]
    assert found(field(1, "a") + field(1, "b"), field(1, "b") + field(1, "a"), PROTOBUF) == [
        (("1",), "order", ["a", "b"], ["b", "a"])
    ]


def test_values_are_shown_as_they_may_be_meant() -> None:
    assert found(field(1, 2.5), field(1, 0.5), PROTOBUF) == [
        (
            ("1",),
            "value",
            {"fixed64": 0x4004 << 48, "double": 2.5},
            {"fixed64": 0x3FE0 << 48, "double": 0.5},
        )
    ]
    assert found(fixed32(1, b"\0\0\x80?"), fixed32(1, b"\0\0\0\0"), PROTOBUF) == [
        (("1",), "value", {"fixed32": 0x3F80_0000, "float": 1.0}, {"fixed32": 0, "float": 0.0})
    ]
    assert found(field(1, b"\xff\x80"), field(1, b"\xff\x81"), PROTOBUF) == [
        (("1",), "value", b"\xff\x80", b"\xff\x81")
    ]
    assert found(group(1, field(2, 3)), group(1, field(2, 4)), PROTOBUF) == [(("1", "2"), "value", 3, 4)]
    assert found(field(1, 1), field(1, "x"), PROTOBUF) == [(("1",), "type", 1, "x")]


def test_text_that_could_be_a_message_is_text() -> None:
    assert found(field(1, "hi"), field(1, "ho"), PROTOBUF) == [(("1",), "value", "hi", "ho")]


def test_with_a_type_a_path_has_names() -> None:
    left = field(1, 5) + field(2, field(1, "a") + field(2, 1.5)) + field(3, field(1, "k") + field(2, "v")) + field(4, 1)
    right = field(2, field(1, "a") + field(2, 1.25)) + field(1, 5) + field(3, field(1, "k") + field(2, "w"))
    options = CompareOptions(schema=SCHEMA, message_type="shop.Order")
    comparison = compare_bodies(left, right, PROTOBUF, PROTOBUF, options)
    assert [(d.path, d.kind, d.left, d.right) for d in comparison.differences] == [
        (("items", 0, "price"), "value", 1.5, 1.25),
        (("labels", "k"), "value", "v", "w"),
        (("state",), "missing", "PAID", MISSING),
    ]
    assert comparison.notes == ()


def test_the_content_type_may_name_the_message() -> None:
    kind = 'application/x-protobuf; messageType="shop.Order"'
    assert found(field(1, 5), field(1, 6), kind, schema=SCHEMA) == [(("id",), "value", 5, 6)]


def test_a_type_that_is_not_known_is_compared_by_numbers_and_says_so() -> None:
    comparison = compare(field(1, 5), field(1, 6), PROTOBUF, schema=SCHEMA, message_type="shop.Nothing")
    assert [d.path for d in comparison.differences] == [("1",)]
    assert comparison.notes == ("message type 'shop.Nothing' is not in the descriptor set; compared by field numbers",)


def test_delimited_messages_are_rows() -> None:
    def rows(*messages: bytes) -> bytes:
        return b"".join(varint(len(message)) + message for message in messages)

    kind = "application/vnd.google.protobuf; encoding=delimited"
    assert found(rows(field(1, 1), field(1, 2)), rows(field(1, 1), field(1, 3)), kind) == [((1, "1"), "value", 2, 3)]
    assert found(rows(field(1, 1)), rows(field(1, 9), field(1, 1)), kind) == [((0,), "extra", MISSING, b"\x08\t")]


def test_what_is_not_protobuf_is_compared_as_bytes() -> None:
    comparison = compare(b"\xff\xff", b"\xff\xfe", PROTOBUF)
    assert [(d.path, d.kind) for d in comparison.differences] == [((), "value")]
    assert comparison.notes[0].endswith("compared as binary")


def test_grpc_messages_are_compared_one_by_one() -> None:
    left, right = frame(field(1, 1)) + frame(field(1, 2)), frame(field(1, 1)) + frame(field(1, 3))
    assert found(left, right, GRPC) == [((1, "1"), "value", 2, 3)]
    assert [(path, kind) for path, kind, _, _ in found(left, frame(field(1, 1)), GRPC)] == [((1,), "missing")]


def test_a_compressed_grpc_message_equals_the_same_uncompressed() -> None:
    message = field(1, "text " * 50)
    assert found(frame(message), frame(gzip.compress(message), 1), GRPC) == []


def test_the_method_of_a_grpc_call_gives_the_type() -> None:
    def answered(message: bytes) -> Outcome:
        response = Response(200, "", "HTTP/2", (("content-type", GRPC),), frame(message))
        return Outcome("b", "current", 0, 0, 0, 0, response=response)

    options = CompareOptions(schema=SCHEMA)
    comparison = compare_outcomes(answered(field(1, 1)), answered(field(1, 2)), options, "/shop.Shop/Get")
    assert [(d.path, d.left, d.right) for d in comparison.differences] == [((0, "id"), 1, 2)]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\0\0", "cut off"),
        (b"\0\0\0\0\x05abc", "cut off"),
        (b"\x02\0\0\0\0", "unknown flags"),
        (frame(b"x" * 101), "more than 100 bytes"),
        (frame(gzip.compress(bytes(5000), mtime=0), 1), "more than 100 bytes"),
    ],
    ids=["no head", "short message", "flags", "long message", "bomb"],
)
def test_frames_that_cannot_be_read_say_why(body: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_frames(body, 100)


def test_the_trailers_of_grpc_web_are_no_message() -> None:
    assert parse_frames(frame(b"x") + frame(b"grpc-status: 0\r\n", 0x80), 100) == [b"x"]


def test_messages_nested_without_end_are_compared_as_bytes() -> None:
    def nested(value: int) -> bytes:
        message = field(1, value)
        for _ in range(300):
            message = field(1, message)
        return message

    comparison = compare(nested(1), nested(2), PROTOBUF)
    assert [(d.path, d.kind) for d in comparison.differences] == [((), "value")]
    assert comparison.notes[0] == "protobuf messages nested too deep; compared as binary"


@given(st.binary(max_size=40), st.binary(max_size=40), st.sampled_from([PROTOBUF, GRPC]), st.booleans())
def test_garbage_is_compared_without_complaint(left: bytes, right: bytes, kind: str, typed: bool) -> None:
    compare(left, right, kind, **({"schema": SCHEMA, "message_type": "shop.Order"} if typed else {}))
