"""Packed formats are known by their media types."""

from __future__ import annotations

import pytest

from capture.packed.cbor import CBOR
from capture.packed.items import Format
from capture.packed.media import format_of
from capture.packed.messagepack import MESSAGEPACK


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("application/msgpack", MESSAGEPACK),
        ("application/x-msgpack; charset=binary", MESSAGEPACK),
        ("application/vnd.messagepack", MESSAGEPACK),
        ("application/problem+msgpack", MESSAGEPACK),
        ("application/cbor", CBOR),
        ("application/cbor-seq", CBOR),
        ("application/senml+cbor", CBOR),
        ("application/json; profile=cbor", None),
        ("application/grpc+msgpack", None),
        ("", None),
    ],
)
def test_a_media_type_names_a_format_or_none(content_type: str, expected: Format | None) -> None:
    assert format_of(content_type) is expected
