"""Message types from a protobuf descriptor set (`protoc -o`), and messages decoded by them into named values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from diff.body.reading import Unreadable
from diff.body.wire import Field, Fields, as_double, as_float, parse_fields, parse_varint

__all__ = ["FieldType", "MessageType", "Schema", "decode_message", "parse_schema"]

_DEPTH_MAX: Final = 100


class FieldType(msgspec.Struct, frozen=True):
    """One field of a message. type: number of FieldDescriptorProto.Type. type_name: full name of its message or enum.

    implicit: it has no presence, so that its default value and its absence are the same (proto3 without `optional`).
    """

    name: str
    type: int
    repeated: bool = False
    implicit: bool = False
    type_name: str = ""


class MessageType(msgspec.Struct, frozen=True):
    """Fields by number. map_entry: the compiler made it for a map field; 1 is the key and 2 the value."""

    fields: dict[int, FieldType]
    map_entry: bool = False


class Schema(msgspec.Struct, frozen=True):
    """messages and enums: by full name without a leading dot. methods: "/package.Service/Method" to (input, output)."""

    messages: dict[str, MessageType]
    enums: dict[str, dict[int, str]]
    methods: dict[str, tuple[str, str]]


def parse_schema(descriptor_set: bytes) -> Schema:
    """The types of a serialised FileDescriptorSet (google/protobuf/descriptor.proto). Raises Unreadable."""
    schema = Schema({}, {}, {})
    for file in _messages(parse_fields(descriptor_set), 1):
        package = _text(file, 2)
        implicit = _text(file, 12) == "proto3"
        scope = f"{package}." if package else ""
        for message in _messages(file, 4):
            _add_message(schema, message, scope, implicit, 0)
        for enum in _messages(file, 5):
            _add_enum(schema, enum, scope)
        for service in _messages(file, 6):
            for method in _messages(service, 2):
                path = f"/{scope}{_text(service, 1)}/{_text(method, 1)}"
                schema.methods[path] = _text(method, 2).lstrip("."), _text(method, 3).lstrip(".")
    return schema


def _add_message(schema: Schema, message: Fields, scope: str, implicit: bool, depth: int) -> None:
    if depth > _DEPTH_MAX:
        raise Unreadable("a descriptor set of types nested too deep")
    name = scope + _text(message, 1)
    fields: dict[int, FieldType] = {}
    for field in _messages(message, 2):
        kind, repeated = _number(field, 5), _number(field, 4) == 3
        # A member of a oneof (9), which `optional` of proto3 is made of as well, has presence; so has a message.
        has_presence = repeated or 9 in field or kind in (10, 11) or not implicit
        fields[_number(field, 3)] = FieldType(
            _text(field, 1), kind, repeated, not has_presence, _text(field, 6).lstrip(".")
        )
    options = _messages(message, 7)
    schema.messages[name] = MessageType(fields, any(_number(option, 7) for option in options))
    for inner in _messages(message, 3):
        _add_message(schema, inner, f"{name}.", implicit, depth + 1)
    for enum in _messages(message, 4):
        _add_enum(schema, enum, f"{name}.")


def _add_enum(schema: Schema, enum: Fields, scope: str) -> None:
    values: dict[int, str] = {}
    for value in _messages(enum, 2):
        values.setdefault(_signed(_number(value, 2), 32), _text(value, 1))
    schema.enums[scope + _text(enum, 1)] = values


def _messages(fields: Fields, number: int) -> list[Fields]:
    return [parse_fields(value) for _, value in fields.get(number, []) if isinstance(value, bytes)]


def _text(fields: Fields, number: int) -> str:
    values = [value for _, value in fields.get(number, []) if isinstance(value, bytes)]
    return values[-1].decode("utf-8", "replace") if values else ""


def _number(fields: Fields, number: int) -> int:
    values = [value for _, value in fields.get(number, []) if isinstance(value, int)]
    return values[-1] if values else 0


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _zigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


# FieldDescriptorProto.Type to how it is written and what the number stands for.
_SCALARS: Final[dict[int, tuple[str, Callable[[int], Any]]]] = {
    1: ("fixed64", as_double),
    2: ("fixed32", as_float),
    3: ("varint", lambda value: _signed(value, 64)),
    4: ("varint", lambda value: value),
    5: ("varint", lambda value: _signed(value, 32)),
    6: ("fixed64", lambda value: value),
    7: ("fixed32", lambda value: value),
    8: ("varint", bool),
    13: ("varint", lambda value: value & 0xFFFF_FFFF),
    14: ("varint", lambda value: _signed(value, 32)),
    15: ("fixed32", lambda value: _signed(value, 32)),
    16: ("fixed64", lambda value: _signed(value, 64)),
    17: ("varint", lambda value: _zigzag(value & 0xFFFF_FFFF)),
    18: ("varint", _zigzag),
}
_STRING, _GROUP, _MESSAGE, _BYTES, _ENUM = 9, 10, 11, 12, 14


def decode_message(schema: Schema, type_name: str, data: bytes | Fields, depth: int = 0) -> dict[str, Any]:
    """A message as its field names and values: lists for repeated fields, dicts for maps and messages, names for enums.

    A field without presence that has its default value is left out, as if it had not been sent. Fields that the type
    does not have, or not in this form, stand under "#NUMBER" as they were written. Raises Unreadable.
    """
    message = schema.messages.get(type_name)
    if message is None:
        raise Unreadable(f"message type {type_name[:100]!r} is not in the descriptor set")
    if depth > _DEPTH_MAX:
        raise Unreadable("protobuf messages nested too deep")
    values: dict[str, Any] = {}
    for number, written in (parse_fields(data) if isinstance(data, bytes) else data).items():
        field = message.fields.get(number)
        if field is None:
            values[f"#{number}"] = [value for _, value in written]
            continue
        decoded: list[Any] = []
        for one in written:
            items = _decoded(schema, field, one, depth)
            if items is None:
                values.setdefault(f"#{number}", []).append(one[1])
            else:
                decoded += items
        if decoded:
            _put(schema, field, decoded, values)
    return values


def _put(schema: Schema, field: FieldType, decoded: list[Any], values: dict[str, Any]) -> None:
    entry = schema.messages.get(field.type_name)
    if field.repeated and field.type == _MESSAGE and entry is not None and entry.map_entry:
        key, value = entry.fields.get(1), entry.fields.get(2)
        if key is not None and value is not None:
            default = {} if value.type == _MESSAGE else _default(schema, value)
            values[field.name] = {
                str(item.get(key.name, _default(schema, key))): item.get(value.name, default) for item in decoded
            }
            return
    if field.repeated:
        values[field.name] = decoded
    elif field.type in (_MESSAGE, _GROUP) and len(decoded) > 1:
        merged: dict[str, Any] = {}
        for part in decoded:
            merged.update(part)  # Parts of one message are merged (the protobuf encoding guide, "Last One Wins").
        values[field.name] = merged
    elif not (field.implicit and decoded[-1] == _default(schema, field)):
        values[field.name] = decoded[-1]


def _default(schema: Schema, field: FieldType) -> Any:
    if field.type == _STRING:
        return ""
    if field.type == _BYTES:
        return b""
    if field.type == _ENUM:
        return schema.enums.get(field.type_name, {}).get(0, 0)
    return False if field.type == 8 else 0


def _decoded(schema: Schema, field: FieldType, written: Field, depth: int) -> list[Any] | None:
    """The values that one written field holds, several where it is packed; None where it is not written as its type."""
    wire_type, value = written
    if field.type in _SCALARS:
        expected, read = _SCALARS[field.type]
        if wire_type == expected and isinstance(value, int):
            return [_named(schema, field, read(value))]
        if wire_type == "bytes" and isinstance(value, bytes):
            return [_named(schema, field, read(number)) for number in _packed(value, expected)]
        return None
    if field.type == _GROUP and isinstance(value, dict):
        return [decode_message(schema, field.type_name, value, depth + 1)]
    if not isinstance(value, bytes) or field.type == _GROUP:
        return None
    if field.type == _MESSAGE:
        return [decode_message(schema, field.type_name, value, depth + 1)]
    if field.type == _STRING:
        return [value.decode("utf-8", "surrogateescape")]
    return [value]


def _named(schema: Schema, field: FieldType, value: Any) -> Any:
    return schema.enums.get(field.type_name, {}).get(value, value) if field.type == _ENUM else value


def _packed(data: bytes, wire_type: str) -> list[int]:
    if wire_type == "varint":
        numbers: list[int] = []
        at = 0
        while at < len(data):
            number, at = parse_varint(data, at)
            numbers.append(number)
        return numbers
    size = 8 if wire_type == "fixed64" else 4
    if len(data) % size:
        raise Unreadable("not protobuf: a packed field of broken length")
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
