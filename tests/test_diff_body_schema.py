"""Protobuf types from a descriptor set."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.reading import Unreadable
from diff.body.schema import FieldType, Schema, decode_message, parse_schema
from tests.support.protobuf import descriptor_set, field, fixed32, varint


@pytest.fixture(scope="module")
def schema() -> Schema:
    return parse_schema(descriptor_set())


def test_types_methods_and_enums_have_their_full_names(schema: Schema) -> None:
    assert sorted(schema.messages) == ["shop.Order", "shop.Order.Item", "shop.Order.LabelsEntry"]
    assert schema.messages["shop.Order.LabelsEntry"].map_entry
    assert schema.enums == {"shop.State": {0: "NEW", 1: "PAID"}}
    assert schema.methods == {"/shop.Shop/Get": ("shop.Order.Item", "shop.Order")}
    assert schema.messages["shop.Order"].fields[5] == FieldType("note", 9)
    assert schema.messages["shop.Order"].fields[10] == FieldType("flag", 8, implicit=True)


def test_every_kind_of_field_is_decoded_by_its_type(schema: Schema) -> None:
    message = b"".join(
        [
            field(1, 2**63),
            field(2, field(1, "a") + field(2, 2.5)),
            field(2, field(1, "b")),
            field(3, field(1, "k") + field(2, "v")),
            field(3, field(1, "empty")),
            field(4, 1),
            field(5, ""),
            field(6, varint(-1) + varint(7)),
            field(6, 8),
            field(7, 3),
            fixed32(8, struct.pack("<f", 0.5)),
            field(9, b"\xff"),
            field(10, 1),
            field(12, field(4, 9)),
        ]
    )
    assert decode_message(schema, "shop.Order", message) == {
        "id": 2**63,
        "items": [{"sku": "a", "price": 2.5}, {"sku": "b"}],
        "labels": {"k": "v", "empty": ""},
        "state": "PAID",
        "note": "",
        "numbers": [-1, 7, 8],
        "delta": -2,
        "ratio": 0.5,
        "raw": b"\xff",
        "flag": True,
        "parent": {"state": 9},
    }


def test_the_default_of_a_field_without_presence_is_as_if_not_sent(schema: Schema) -> None:
    assert decode_message(schema, "shop.Order", field(1, 0) + field(4, 0) + field(10, 0) + field(9, b"")) == {}


def test_parts_of_one_message_are_merged_and_the_last_scalar_counts(schema: Schema) -> None:
    message = field(12, field(1, 1)) + field(12, field(10, 1)) + field(1, 5) + field(1, 6)
    assert decode_message(schema, "shop.Order", message) == {"parent": {"id": 1, "flag": True}, "id": 6}


def test_fields_that_the_type_does_not_have_are_kept_by_number(schema: Schema) -> None:
    assert decode_message(schema, "shop.Order", field(99, 7) + field(5, 4)) == {"#99": [7], "#5": [4]}


def test_what_cannot_be_decoded_says_why(schema: Schema) -> None:
    with pytest.raises(Unreadable, match=r"message type 'shop\.Nothing' is not in the descriptor set"):
        decode_message(schema, "shop.Nothing", b"")
    nested = b""
    for _ in range(150):
        nested = field(12, nested)
    with pytest.raises(Unreadable, match="nested too deep"):
        decode_message(schema, "shop.Order", nested)
    with pytest.raises(Unreadable, match="packed field of broken length"):
        decode_message(schema, "shop.Order", field(8, b"abc"))


def test_a_descriptor_set_nested_without_end_is_refused() -> None:
    message = field(1, "M")
    for _ in range(150):
        message = field(1, "M") + field(3, message)
    with pytest.raises(Unreadable, match="types nested too deep"):
        parse_schema(field(1, field(4, message)))


@given(st.binary(max_size=60))
def test_garbage_is_read_or_refused(schema: Schema, data: bytes) -> None:
    for read in (parse_schema, lambda body: decode_message(schema, "shop.Order", body)):
        try:
            read(data)
        except Unreadable:
            pass
