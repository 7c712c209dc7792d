"""Texts and numbers of protobuf are found without a schema, and replaced without touching the rest."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay.protobuf_leaves import looks_like_protobuf, protobuf_leaves, splice_protobuf
from tests.support.protobuf import field, fixed32, frame, group

GRPC = "application/grpc"
PLAIN = "application/x-protobuf"
TOKEN = "tok_9f8e7d6c5b4a"
MESSAGE = field(1, 17) + field(2, field(1, TOKEN) + field(3, 1.5)) + field(2, field(1, "second")) + fixed32(9, b"abcd")


def shown(body: bytes, kind: str = PLAIN, encoding: str = "") -> dict[str, str]:
    return {place.text(): value for place, value in protobuf_leaves(body, kind, encoding)}


def paths(body: bytes, value: str, kind: str = PLAIN, encoding: str = "") -> list[tuple[str | int, ...]]:
    return [place.path for place, found in protobuf_leaves(body, kind, encoding) if found == value]


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc-web+proto", True),
        ("application/grpc-web-text", False),
        ("application/grpc+json", False),
        ("application/x-protobuf; messagetype=a.b", True),
        ("application/vnd.google.protobuf", True),
        ("application/json", False),
        ("text/plain", False),
    ],
)
def test_protobuf_is_known_by_its_type(content_type: str, expected: bool) -> None:
    assert looks_like_protobuf(content_type) is expected


def test_texts_and_numbers_have_the_number_of_their_field_and_which_of_them_they_are() -> None:
    assert shown(MESSAGE) == {
        "protobuf:1:0": "17",
        "protobuf:2:0:1:0": TOKEN,
        "protobuf:2:0:3:0": str(0x3FF8000000000000),
        "protobuf:2:1:1:0": "second",
    }


def test_each_message_of_grpc_counts_and_trailers_of_grpc_web_do_not() -> None:
    body = frame(field(1, "one")) + frame(gzip.compress(field(1, TOKEN)), 1) + frame(b"grpc-status:0\r\n", 0x80)
    assert shown(body, GRPC, "gzip") == {"protobuf:0:1:0": "one", "protobuf:1:1:0": TOKEN}


@pytest.mark.parametrize("body", [b"", b"\xff" * 12, b"\x0a\x7f" + b"short", b"plain text", group(1, field(1, "x"))])
def test_what_is_no_message_has_nothing_and_stays(body: bytes) -> None:
    assert shown(body) == {}
    assert splice_protobuf(body, PLAIN, {(1, 0): "x"}) == body


def test_only_the_values_change_and_lengths_fit_again() -> None:
    longer = "x" * 300
    changes = {paths(MESSAGE, TOKEN)[0]: longer, paths(MESSAGE, "17")[0]: "70000"}
    expected = field(1, 70000) + field(2, field(1, longer) + field(3, 1.5)) + field(2, field(1, "second"))
    assert splice_protobuf(MESSAGE, PLAIN, changes) == expected + fixed32(9, b"abcd")


def test_a_text_is_not_put_where_a_number_was() -> None:
    assert splice_protobuf(MESSAGE, PLAIN, {paths(MESSAGE, "17")[0]: "seventeen"}) == MESSAGE


def test_a_frame_that_is_cut_off_stays() -> None:
    body = frame(field(1, TOKEN)) + frame(field(1, "more"))[:7]
    assert splice_protobuf(body, GRPC, {(0, 1, 0): "x"}) == frame(field(1, "x")) + frame(field(1, "more"))[:7]


@pytest.mark.parametrize(("flags", "encoding"), [(0, ""), (1, "gzip"), (0, "gzip")])
def test_a_message_of_grpc_keeps_its_frame_and_its_coding(flags: int, encoding: str) -> None:
    coded = gzip.compress(MESSAGE, mtime=0) if flags else MESSAGE
    body = frame(field(1, "one")) + frame(coded, flags)
    changed = splice_protobuf(body, GRPC, {paths(body, TOKEN, GRPC, encoding)[0]: "tok_other"}, encoding)
    assert changed.startswith(frame(field(1, "one")) + bytes([flags]))
    assert shown(changed, GRPC, encoding)["protobuf:1:2:0:1:0"] == "tok_other"
    assert "second" in shown(changed, GRPC, encoding).values()


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda data: field(1, data) + field(2, 7)))
def test_putting_back_what_is_there_changes_no_meaning_and_anything_is_read(body: bytes) -> None:
    for kind in (PLAIN, GRPC):
        leaves = dict(protobuf_leaves(body, kind))
        again = splice_protobuf(body, kind, {place.path: value for place, value in leaves.items()})
        assert dict(protobuf_leaves(again, kind)) == leaves


def test_a_message_of_more_fields_than_anybody_needs_is_none() -> None:
    assert len(list(protobuf_leaves(field(1, 1) * 20_000, PLAIN))) == 20_000
    many = field(1, 1) * 20_001
    assert list(protobuf_leaves(many, PLAIN)) == []
    assert splice_protobuf(many, PLAIN, {(1, 0): "2"}) == many
