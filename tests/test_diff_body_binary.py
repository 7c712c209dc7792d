"""Bodies that are only bytes here."""

from __future__ import annotations

import struct

from diff.body.binary import describe
from tests.support.bodies import compare

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + b"rest"
GIF = b"GIF89a" + struct.pack("<HH", 3, 4)
JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xc0\x00\x0b\x08" + struct.pack(">HH", 48, 64) + b"\x01"


def test_a_body_is_described_by_size_digest_and_type() -> None:
    assert describe(b"abc") == {
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "type": None,
    }


def test_images_have_their_size_in_pixels() -> None:
    assert [describe(body).get("width") for body in (PNG, GIF, JPEG)] == [640, 3, 64]
    assert [describe(body).get("height") for body in (PNG, GIF, JPEG)] == [480, 4, 48]
    assert [describe(body)["type"] for body in (PNG, GIF, JPEG)] == ["image/png", "image/gif", "image/jpeg"]


def test_a_broken_image_is_described_without_its_size() -> None:
    for body in (PNG[:20], GIF[:8], JPEG[:12], b"\xff\xd8\xff" + b"\xff" * 30, b"\xff\xd8\xff\xc0\x00\x00"):
        assert "width" not in describe(body)


def test_bytes_differ_once_with_both_sides_described_and_the_offset_noted() -> None:
    comparison = compare(PNG, PNG[:-1] + b"!", "image/png")
    assert [(d.path, d.kind, d.left["width"]) for d in comparison.differences] == [((), "value", 640)]
    assert comparison.notes == (f"compared as bytes; the first that differs is at offset {len(PNG) - 1}",)


def test_where_one_body_is_the_beginning_of_the_other_its_length_is_the_offset() -> None:
    assert compare(b"\0\1", b"\0\1\2", "application/octet-stream").notes == (
        "compared as bytes; the first that differs is at offset 2",
    )
