"""Compressed bodies are kept decompressed and come back to the byte, or with a note where they cannot."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.log import recode
from capture.log.format import FormatError
from capture.log.reader import open_log
from capture.log.recode import NOTE, Packed, Recipes, Recoded, repack, unpack
from tests.support.log_records import an_exchange, exchanges, without_id, write_log

PAGE = b"<html>" + b"".join(b"<p>paragraph %d of many, each with its %x</p>" % (n, n**9) for n in range(40))


USUAL = 6 + 16 * 8 + 256 * 15


def gzipped(content: bytes, level: int) -> bytes:
    return gzip.compress(content, level, mtime=1)


@given(st.binary(max_size=2000), st.integers(1, 9))
def test_gzip_and_zlib_at_any_level_come_back_to_the_byte(content: bytes, level: int) -> None:
    bodies = [gzipped(content, level), zlib.compress(content, level), content]
    stored, packed = repack(bodies, Recipes())
    assert unpack(stored, packed) == bodies


def test_a_compressed_page_is_stored_as_its_content() -> None:
    stored, packed = repack([b"plain", gzipped(PAGE, 6), zlib.compress(PAGE, 4)], Recipes())
    assert stored == [b"plain", PAGE, PAGE]
    assert packed.places == [1, 2]
    assert packed.headers == [gzipped(PAGE, 6)[:10], zlib.compress(PAGE, 4)[:2]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b\x08\0",
        gzipped(PAGE, 6)[:-9],
        gzipped(PAGE, 6) + b"more",
        gzipped(PAGE, 6) + gzipped(PAGE, 6),
        gzipped(PAGE, 6)[:-1] + b"\xff",
        b"\x1f\x8b\x08\x08" + gzipped(PAGE, 6)[4:],
        zlib.compress(PAGE, 6)[:-1] + b"\xff",
        b"\x78\x9c" + bytes(range(50)),
        brotli.compress(PAGE),
        gzip.compress(bytes(9 << 20)),
    ],
)
def test_what_zlib_cannot_make_again_stays_as_it_was_sent(body: bytes) -> None:
    stored, packed = repack([body], Recipes())
    assert (stored, packed) == ([body], Packed())


def test_a_sync_flushed_stream_stays_as_it_was_sent() -> None:
    deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
    body = deflate.compress(PAGE) + deflate.flush(zlib.Z_SYNC_FLUSH) + deflate.compress(PAGE) + deflate.flush()
    assert repack([body], Recipes())[0] == [body]


def test_what_nginx_makes_of_a_short_body_comes_back_to_the_byte() -> None:
    content = os.urandom(3500).hex().encode()  # 7,000 bytes: nginx takes 13 window bits and memory level 6
    deflate = zlib.compressobj(1, zlib.DEFLATED, 16 + 13, 6)
    body = deflate.compress(content) + deflate.flush()
    stored, packed = repack([body], Recipes())
    assert (stored, packed.settings) == ([content], [1 + 16 * 6 + 256 * 13])
    assert unpack(stored, packed) == [body]


def test_after_many_bodies_of_an_unknown_kind_no_more_than_two_ways_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(recode, "_coded", lambda content, settings, header: tried.append(settings) or b"")
    recipes = Recipes()
    for _ in range(33):
        recipes.find(gzipped(PAGE, 6))
    assert len(tried) == 32 * 18 + 2


def test_where_another_zlib_makes_other_bytes_the_body_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, packed = repack([gzipped(PAGE, 6), b"plain"], Recipes())
    monkeypatch.setattr(recode, "_coded", lambda content, level, header: gzipped(content, 1))
    first, second = unpack(stored, packed)
    assert type(first) is Recoded
    assert gzip.decompress(first) == PAGE
    assert type(second) is bytes


@pytest.mark.parametrize(
    "packed",
    [
        Packed([0], [], [], 0),
        Packed([1], [USUAL], [bytes(10)], 0),
        Packed([-1], [USUAL], [bytes(10)], 0),
        Packed([0], [USUAL - 6], [bytes(10)], 0),
        Packed([0], [6 + 256 * 15], [bytes(10)], 0),
        Packed([0], [6 + 16 * 8 + 256 * 16], [bytes(10)], 0),
        Packed([0], [6 + 16 * 8 + 256 * 8], [bytes(10)], 0),
        Packed([0], [USUAL], [bytes(11)], 0),
        Packed([0, 0], [USUAL, USUAL], [bytes(10), bytes(10)], 0),
    ],
)
def test_recipes_that_cannot_be_are_refused(packed: Packed) -> None:
    with pytest.raises(FormatError):
        unpack([b"content"], packed)


def test_a_log_of_compressed_pages_is_small_and_reads_back_to_the_byte(tmp_path: Path) -> None:
    pages = [PAGE + os.urandom(8).hex().encode() for _ in range(60)]
    records = [an_exchange(n, body=gzipped(pages[n % 60], 1 + n % 9)) for n in range(120)]
    plain = write_log(tmp_path / "plain", records, each=10)
    dense = write_log(tmp_path / "dense", records, each=10, compact=True)
    assert dense.stat().st_size < plain.stat().st_size / 2
    with open_log(tmp_path / "dense") as log:
        found = list(log.exchanges())
        assert log.damage == []
    assert without_id(found) == records
    assert found[0].response is not None
    assert type(found[0].response.body) is bytes


def test_a_log_read_with_another_zlib_says_so_on_every_exchange_it_concerns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [*exchanges(3), an_exchange(3, body=gzipped(PAGE, 6)), an_exchange(4, body=gzipped(PAGE, 6))]
    write_log(tmp_path, records, compact=True)
    monkeypatch.setattr(recode, "_coded", lambda content, level, header: gzipped(content, 1))
    with open_log(tmp_path) as log:
        found = list(log.exchanges())
    assert [record.notes for record in found] == [(), (), (), (NOTE,), (NOTE,)]
    for record in found[3:]:
        assert record.response is not None
        assert type(record.response.body) is bytes
        assert gzip.decompress(record.response.body or b"") == PAGE
