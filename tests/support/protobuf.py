"""A small protobuf encoder, so that tests need neither protoc nor a library: fields in, wire bytes out."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    """A non-negative number as a varint; negative ones as 64 bits, as protobuf does."""
    value &= (1 << 64) - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """One field: an int as a varint, a float as eight bytes, text and bytes with their length."""
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def fixed32(number: int, data: bytes) -> bytes:
    """A field of four bytes."""
    return varint(number << 3 | 5) + data


def group(number: int, *fields: bytes) -> bytes:
    """A field of the old group kind."""
    return varint(number << 3 | 3) + b"".join(fields) + varint(number << 3 | 4)


def field_type(
    name: str, number: int, kind: int, *, repeated: bool = False, of: str = "", oneof: bool = False
) -> bytes:
    """A FieldDescriptorProto within a DescriptorProto."""
    parts = field(1, name) + field(3, number) + field(4, 3 if repeated else 1) + field(5, kind)
    return field(2, parts + (field(6, of) if of else b"") + (field(9, 0) if oneof else b""))


def frame(message: bytes, flags: int = 0) -> bytes:
    """A gRPC length-prefixed message."""
    return bytes([flags]) + struct.pack(">I", len(message)) + message


def descriptor_set() -> bytes:
    """The types of a small shop: shop.Order with items, a map, an enum, an optional field and numbers of every kind."""
    item = field(1, "Item") + field_type("sku", 1, 9) + field_type("price", 2, 1)
    entry = field(1, "LabelsEntry") + field_type("key", 1, 9) + field_type("value", 2, 9) + field(7, field(7, 1))
    state = field(1, "State") + field(2, field(1, "NEW") + field(2, 0)) + field(2, field(1, "PAID") + field(2, 1))
    order = (
        field(1, "Order")
        + field_type("id", 1, 4)
        + field_type("items", 2, 11, repeated=True, of=".shop.Order.Item")
        + field_type("labels", 3, 11, repeated=True, of=".shop.Order.LabelsEntry")
        + field_type("state", 4, 14, of=".shop.State")
        + field_type("note", 5, 9, oneof=True)
        + field_type("numbers", 6, 5, repeated=True)
        + field_type("delta", 7, 18)
        + field_type("ratio", 8, 2)
        + field_type("raw", 9, 12)
        + field_type("flag", 10, 8)
        + field_type("stamp", 11, 16)
        + field_type("parent", 12, 11, of=".shop.Order")
        + field(3, item)
        + field(3, entry)
    )
    method = field(1, "Get") + field(2, ".shop.Order.Item") + field(3, ".shop.Order")
    service = field(1, "Shop") + field(2, method)
    file = field(1, "shop.proto") + field(2, "shop") + field(4, order) + field(5, state) + field(6, service)
    return field(1, file + field(12, "proto3"))
