"""Content codings are undone within a bound, and what cannot be undone is said."""

from __future__ import annotations

import gzip
import sys
import zlib

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.content import Decoded, decode_content, parse_codings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"the same words again and again " * 40


def raw_deflate(body: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(body) + deflater.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}


@pytest.mark.parametrize("coding", ENCODERS)
def test_each_coding_is_undone(coding: str) -> None:
    assert decode_content(ENCODERS[coding](TEXT), (coding,), 1 << 20) == Decoded(TEXT)


def test_deflate_without_its_zlib_header_is_undone_as_browsers_do() -> None:
    assert decode_content(raw_deflate(TEXT), ("deflate",), 1 << 20) == Decoded(TEXT)


def test_gzip_members_and_zstd_frames_one_after_the_other_are_one_body() -> None:
    assert decode_content(gzip.compress(b"one ") + gzip.compress(b"two"), ("gzip",), 99) == Decoded(b"one two")
    assert decode_content(zstd.compress(b"one ") + zstd.compress(b"two"), ("zstd",), 99) == Decoded(b"one two")


def test_codings_are_undone_last_applied_first() -> None:
    assert parse_codings("GZIP, identity , br,") == ("gzip", "br")
    assert decode_content(brotli.compress(gzip.compress(TEXT)), ("gzip", "br"), 1 << 20) == Decoded(TEXT)


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_body_of_exactly_the_bound_is_whole_and_one_byte_more_is_cut(coding: str) -> None:
    coded = ENCODERS[coding](TEXT)
    assert decode_content(coded, (coding,), len(TEXT)) == Decoded(TEXT)
    decoded = decode_content(coded, (coding,), len(TEXT) - 1)
    assert decoded == Decoded(TEXT[:-1], f"{coding}: the content is longer than {len(TEXT) - 1} bytes", cut=True)


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_bomb_yields_no_more_than_the_bound(coding: str) -> None:
    bomb = ENCODERS[coding](bytes(8 << 20))
    decoded = decode_content(bomb, (coding,), 1 << 16)
    assert decoded.cut
    assert decoded.body == bytes(1 << 16)


@pytest.mark.parametrize("coding", ENCODERS)
def test_a_stream_that_is_cut_off_or_broken_says_so(coding: str) -> None:
    coded = ENCODERS[coding](TEXT)
    cut = decode_content(coded[:-6], (coding,), 1 << 20)
    assert cut.problem is not None
    assert f"{coding}: the stream is cut off" in cut.problem
    broken = decode_content(b"no such thing", (coding,), 1 << 20)
    assert broken.problem is not None
    assert broken.body == b"no such thing"
    assert "compared as sent" in broken.problem


def test_padding_after_a_gzip_member_is_ignored() -> None:
    assert decode_content(gzip.compress(TEXT) + b"\0\0\0", ("gzip",), 1 << 20) == Decoded(TEXT)


def test_an_unknown_coding_leaves_the_body_as_it_was_sent() -> None:
    assert decode_content(b"x", ("rot13",), 9) == Decoded(b"x", "content coding 'rot13' is not known")


def test_a_tower_of_codings_is_refused() -> None:
    assert decode_content(b"x", ("gzip",) * 6, 9).problem == "6 content codings on top of each other, more than 5"


def test_an_empty_body_with_a_coding_is_empty() -> None:
    assert decode_content(b"", ("gzip",), 9) == Decoded(b"")


@given(st.sampled_from([*ENCODERS, "deflate"]), st.binary(max_size=200), st.integers(0, 300))
def test_garbage_never_raises_and_never_exceeds_the_bound(coding: str, garbage: bytes, bytes_max: int) -> None:
    decoded = decode_content(garbage, (coding,), bytes_max)
    assert len(decoded.body) <= max(bytes_max, len(garbage))
