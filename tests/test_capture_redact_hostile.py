"""Redaction of content that is broken, endless or made to be slow: always within bounds, never an error."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Times
from capture.redact import Redactor
from capture.settings import RedactConfig
from tests.support.redaction import JSON, TEXT, S, answered, asked, through, written

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


def test_a_body_that_cannot_be_decoded_is_dropped_with_a_note() -> None:
    record = through(asked(), answered(JSON, ("Content-Encoding", "gzip"), body=b"\x1f\x8bnot gzip at all"))
    assert record.response is not None
    assert record.response.body is None
    assert record.response.body_bytes == 17
    assert "response body dropped: gzip broken" in record.notes


@pytest.mark.parametrize("compress", [gzip.compress, brotli.compress, zstd.compress, zlib.compress])
def test_a_bomb_is_not_inflated_beyond_the_bound(compress: Callable[[bytes], bytes]) -> None:
    coding = {gzip.compress: "gzip", brotli.compress: "br", zstd.compress: "zstd"}.get(compress, "deflate")
    bomb = compress(b"0" * 20_000_000)
    record = through(asked(), answered(("Content-Encoding", coding), body=bomb), decoded_bytes_max=1_000_000)
    assert record.response is not None
    assert record.response.body is None
    assert "response body dropped: too long to redact" in record.notes


def test_a_compressed_body_that_was_cut_is_redacted_as_far_as_it_goes() -> None:
    whole = gzip.compress(b'{"token":"abc-123-def","rest":"' + bytes(range(97, 123)) * 50 + b'"}')
    record = through(asked(), answered(JSON, ("Content-Encoding", "gzip"), body=whole[:50]))
    assert record.response is not None
    assert record.response.body is not None
    assert b"abc-123-def" not in record.response.body
    assert record.response.body.startswith(b'{"token":"')


@given(
    st.binary(max_size=300),
    st.sampled_from(
        [
            "application/json",
            "text/html",
            "text/csv",
            "multipart/form-data; boundary=a",
            "text/xml",
            "application/x-www-form-urlencoded",
            "text/event-stream",
            "application/json; charset=iso-8859-1",
            "text/plain; charset=utf-16",
            "",
        ]
    ),
)
def test_any_bytes_pass_without_an_error(body: bytes, content_type: str) -> None:
    record = through(asked("/", ("Content-Type", content_type), body=body))
    assert record.request.body_bytes == len(body)


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_in_target_and_headers_passes_without_an_error(target: str, value: str) -> None:
    through(
        asked(f"/{target}", ("Cookie", value), ("X-Any", value), ("Authorization", value)),
        answered(("Set-Cookie", value)),
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=12),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["id", "token", "a b", "päss", "password", "x"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_redacted_json_stays_json_of_the_same_shape(value: object) -> None:
    def shape(one: object) -> object:
        if isinstance(one, dict):
            return {key: shape(inner) for key, inner in one.items()}
        if isinstance(one, list):
            return [shape(inner) for inner in one]
        return one if one is None or isinstance(one, bool) else type(one)

    for ascii_only in (True, False):
        text = json.dumps({"v": value}, ensure_ascii=ascii_only)
        record = through(asked("/", JSON, body=text))
        assert shape(json.loads(record.request.body or b"")) == shape({"v": value})


def test_deep_nesting_is_no_recursion() -> None:
    body = b"[" * 100_000 + b'{"token":"abc-123-def"}'
    record = through(asked("/", JSON, body=body))
    assert b"abc-123-def" not in (record.request.body or b"")


def test_a_body_full_of_detections_takes_linear_time() -> None:
    body = " ".join(f"user{n}@example.com" for n in range(20_000))
    record = through(asked("/", TEXT, body=body), work_max=100_000_000)
    assert b"@example.com" not in (record.request.body or b"")


def test_the_caches_are_bounded() -> None:
    from capture.pseudonym import Pseudonyms

    redactor = Redactor(RedactConfig(), Pseudonyms(b"k"))
    for n in range(3000):
        request = asked(f"/{n}", (f"X-Header-{n}", f"value {n}"), ("X-Id", str(n)), JSON, body=f'{{"k{n}": {n}}}')
        redactor.redact(Exchange("", "", "relay", 1.0, request, None, Times(n)))
    assert len(redactor._headers) <= 8192
    assert len(redactor._headers._rows) <= 512
    assert len(redactor._clean_bodies) <= 512


@pytest.mark.parametrize(
    ("content_type", "piece"),
    [
        ("text/html", "<"),
        ("text/html", "<a x=y "),
        ("text/plain", "-----BEGIN PRIVATE KEY-----"),
        ("text/plain", "password=a@b.co "),
        ("application/json", '"\\'),
        ("application/json", '[{"token":'),
        ("text/csv", 'a"'),
        ("application/x-www-form-urlencoded", "token=a&"),
    ],
)
def test_a_body_that_would_take_too_long_is_dropped_and_the_rest_is_kept(content_type: str, piece: str) -> None:
    body = piece * (400_000 // len(piece)) + " password=hunter22 a@b.example"
    record = through(
        asked("/", ("Content-Type", content_type), ("X-Api-Key", S), body=body),
        answered(JSON, body={"token": S}),
        work_max=5_000,
    )
    assert record.request.body is None
    assert "request body dropped: too much to redact" in record.notes
    assert record.response is not None
    assert S.encode() not in written(record)
    assert record.response.body is not None
