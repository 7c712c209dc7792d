"""The frames of a segment, and that docs/log-format.md says the truth about them."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path
from typing import Any

import msgpack
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.log.dictionary import DICTIONARY
from capture.log.format import (
    BLOCK_RECORDS,
    MAJOR,
    MINOR,
    BlockHead,
    FormatError,
    SegmentHeader,
    pack_block_head,
    pack_header,
    pack_trailer,
    unpack_block_head,
    unpack_header,
    unpack_trailer,
)
from capture.log.reader import open_segment_file

PAGE = Path(__file__).parents[1] / "docs" / "log-format.md"
BODY = b'{"things":[{"id":0,"price":1.5},{"id":1,"price":1.5},{"id":2,"price":1.5},{"id":3,"price":1.5}]}'


def example() -> bytes:
    """The bytes of the page's example."""
    listing = PAGE.read_text().split("```hex\n")[1].split("```")[0]
    data = bytearray()
    for line in listing.splitlines():
        offset, column = line[:4], line[6:53]
        assert int(offset, 16) == len(data), line
        data += bytes.fromhex(column)
    return bytes(data)


def checked(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data)


def decode_by_the_page(data: bytes) -> dict[str, Any]:
    """A reader written from the page alone: struct, msgpack and xxhash."""
    assert data[:8] == bytes.fromhex("8955 5354 4c4f 470a")
    major, minor, reserved, length, checksum = struct.unpack_from("<BBHIQ", data, 8)
    assert (major, minor, reserved) == (1, 0, 0)
    assert checksum == checked(data[:16] + data[24 : 24 + length])
    header = msgpack.unpackb(data[24 : 24 + length])

    footer_offset, footer_bytes, reserved, checksum = struct.unpack_from("<QIIQ", data, len(data) - 32)
    assert reserved == 0
    assert checksum == checked(data[-32:-16])
    assert data[-8:] == bytes.fromhex("8955 5354 454e 440a")
    assert footer_offset + footer_bytes + 32 == len(data)

    blocks, at = [], 24 + length
    while at < len(data) - 32:
        fields = struct.unpack_from("<4sBBHIIQIIIqqQQ", data, at)
        magic, kind, flags, reserved, stored, raw, first, records, first_body, bodies, low, high, payload_sum, own = (
            fields
        )
        assert (magic, flags, reserved) == (b"USBK", 1, 0)
        assert own == checked(data[at : at + 60])
        payload = data[at + 68 : at + 68 + stored]
        assert payload_sum == checked(payload)
        assert raw == stored == len(payload)
        blocks.append((kind, at, first, records, first_body, bodies, low, high, msgpack.unpackb(payload)))
        at += 68 + stored
    (kind, offset, first, count, first_body, bodies, low, high, content), (footer_kind, *_, footer) = blocks
    assert (kind, footer_kind) == (1, 2)

    table, refs, records, packed = content
    assert packed == [[], [], [], 0]
    assert len(records) == count
    assert len(table) == bodies
    for place, slot, number in zip(refs[0::3], refs[1::3], refs[2::3], strict=True):
        messages = [message for message in (records[place][4], records[place][5]) if message is not None]
        messages[slot][4] = table[number - first_body]
    assert footer["index"][0][:8] == [offset, footer_offset - offset, first, count, first_body, bodies, low, high]
    bloom, session = footer["index"][0][8], xxhash.xxh3_64_intdigest(b"s1")
    for i in range(7):
        bit = ((session & 0xFFFFFFFF) + i * (session >> 32 | 1)) % (len(bloom) * 8)
        assert bloom[bit // 8] >> bit % 8 & 1
    assert struct.unpack("<QI", footer["ids"]) == (xxhash.xxh3_64_intdigest(b"mine"), 1)
    return {"header": header, "records": records, "footer": footer}


def test_the_example_of_the_page_decodes_by_the_page_with_msgpack_alone() -> None:
    found = decode_by_the_page(example())
    assert found["header"]["segment"] == "1ng8t0exampw"
    assert found["header"]["meta"] == {"source": "example"}
    assert found["footer"]["conservation"]["sampled_out"] == 1
    first, second = found["records"]
    assert first[:4] == ["", "s1", "example", 0.5]
    assert first[4] == ["GET", "/things", "HTTP/1.1", [["Host", "shop"]], b"", 0, False, []]
    assert first[5] == [200, "OK", "HTTP/1.1", [["ETag", "\xe9"]], BODY, len(BODY), False, []]
    assert second[0] == "mine"
    assert second[5][4] == BODY
    assert second[6] == [1_794_999_999_000_001_000 + n for n in range(4)]


def test_the_example_of_the_page_is_read_by_the_reader(tmp_path: Path) -> None:
    path = tmp_path / "1ng8t0exampw.seg"
    path.write_bytes(example())
    start = 1_794_999_999_000_000_000
    request = Request("GET", "/things", "HTTP/1.1", (("Host", "shop"),))
    response = Response(200, "OK", "HTTP/1.1", (("ETag", "\xe9"),), BODY, len(BODY))
    with open_segment_file(path) as log:
        assert list(log.exchanges()) == [
            Exchange("1ng8t0exampw-0", "s1", "example", 0.5, request, response, Times(*range(start, start + 4))),
            Exchange("mine", "s1", "example", 0.5, request, response, Times(*range(start + 1000, start + 1004))),
        ]
        assert log.damage == []
        assert log.conservation().line().startswith("conservation seen=3 kept=2 sampled_out=1 ")


def test_the_page_names_the_version_and_the_dictionary() -> None:
    page = PAGE.read_text()
    assert page.startswith(f"# The log format, version {MAJOR}.{MINOR}\n")
    assert hashlib.sha256(DICTIONARY).hexdigest() in page
    assert f"{len(DICTIONARY):,} bytes" in page


def test_the_page_lists_every_field_of_the_records_in_order() -> None:
    page = PAGE.read_text()
    rows = re.findall(
        r"^\| (\d+) \| (.*) \|$",
        page.split("### Records of kind `exchange`")[1].split("What they mean")[0],
        re.MULTILINE,
    )
    for column, kind in enumerate((Exchange, Request, Response, Times)):
        cells = [row.split("|")[column].strip().partition(":")[0] for _, row in rows]
        assert [cell for cell in cells if cell] == list(kind.__struct_fields__), kind


def a_header() -> SegmentHeader:
    return SegmentHeader("0123456789ab", "exchange", "test", 5, "", b"", {"source": "x", "n": [1, 2]}, "run", 3)


def test_a_header_reads_back() -> None:
    data = pack_header(a_header())
    found = unpack_header(data + b"what follows")
    assert found.header_bytes == len(data)
    assert (found.segment, found.meta, found.run, found.sequence) == ("0123456789ab", a_header().meta, "run", 3)


def test_a_header_that_is_too_long_is_refused_when_it_is_written() -> None:
    with pytest.raises(FormatError, match="over the 1048576 allowed"):
        pack_header(SegmentHeader("0", "e", "w", 0, "", b"", {"x": "y" * (1 << 20)}))


heads = st.builds(
    BlockHead,
    kind=st.just(BLOCK_RECORDS),
    flags=st.integers(0, 7),
    stored=st.integers(0, 64 << 20),
    raw=st.integers(0, 64 << 20),
    first_record=st.integers(0, (1 << 64) - 1),
    records=st.integers(0, 1 << 16),
    first_body=st.integers(0, (1 << 32) - 1),
    bodies=st.integers(0, 1 << 16),
    first_ns=st.integers(-(1 << 63), (1 << 63) - 1),
    last_ns=st.integers(-(1 << 63), (1 << 63) - 1),
    payload_sum=st.integers(0, (1 << 64) - 1),
)


@given(heads)
def test_a_block_head_reads_back(head: BlockHead) -> None:
    assert unpack_block_head(pack_block_head(head)) == head


@given(heads, st.integers(0, 68 * 8 - 1))
def test_no_bit_of_a_block_head_can_be_flipped_unnoticed(head: BlockHead, bit: int) -> None:
    data = bytearray(pack_block_head(head))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):
        unpack_block_head(bytes(data))


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 32) - 1), st.integers(0, 32 * 8 - 1))
def test_a_trailer_reads_back_and_no_bit_of_it_can_be_flipped_unnoticed(offset: int, length: int, bit: int) -> None:
    data = bytearray(pack_trailer(offset, length))
    assert unpack_trailer(bytes(data)) == (offset, length)
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):
        unpack_trailer(bytes(data))


@given(st.binary(max_size=200))
def test_garbage_gives_only_our_own_error(data: bytes) -> None:
    for unpack in (unpack_header, unpack_block_head, unpack_trailer):
        with pytest.raises(FormatError):
            unpack(data)  # type: ignore[operator]


def test_a_header_whose_map_is_not_what_it_should_be_is_refused() -> None:
    for values in ({}, {"segment": 5}, [1], "text"):
        body = msgpack.packb(values)
        fixed = b"\x89USTLOG\n" + struct.pack("<BBHI", 1, 0, 0, len(body))
        data = fixed + struct.pack("<Q", checked(fixed + body)) + body
        with pytest.raises(FormatError):
            unpack_header(data)
