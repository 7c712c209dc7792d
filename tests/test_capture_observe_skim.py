"""The skim: how many requests began, from the client's bytes alone."""

from __future__ import annotations

import pytest

from capture.observe.head import HEAD_BYTES_MAX
from capture.observe.http2 import PREFACE
from capture.observe.skim import Skim

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nCONTENT-LENGTH: 14\r\n\r\nGET / HTTP/1.1"
CHUNKED = b"POST /p HTTP/1.1\r\ntransfer-Encoding: chunked\r\n\r\n4;x\r\nGET \r\n0\r\nA: b\r\n\r\n"
HEADERS = b"\0\0\1\1\5\0\0\0%c\x82"


@pytest.mark.parametrize(
    ("data", "count", "reason"),
    [
        (b"", 0, None),
        (GET, 1, None),
        (GET * 3, 3, None),
        (b"\r\n" + GET + b"\r\n", 1, None),
        (POST * 2 + GET, 3, None),
        (CHUNKED * 2 + GET, 3, None),
        (GET + POST[:-1], 2, None),
        (GET + GET[:10], 1, None),
        (b"PUT /x HTTP/1.1\r\nX-Content-Length: 5\r\n\r\n" + GET, 2, None),
        (b"CONNECT a:1 HTTP/1.1\r\n\r\n\x16\x03", 1, "connect"),
        (b"GET /w HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x81\x05hello", 1, "upgrade"),
        (b"GET /w HTTP/1.1\r\nUpgrade: h2c\r\n\r\n" + GET, 2, None),
        (b"\x16\x03\x01", 0, "tls"),
        (b"\0", 0, "unknown"),
        (b"EHLO me\r\n", 0, "request_bad_request_line"),
        (GET + b"GET /\r\n\r\n", 1, "request_bad_request_line"),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 1,
         "request_content_length_and_transfer_encoding"),
        (b"POST / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", 1, "request_space_before_colon"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 1, "request_bad_chunk_size"),
        (b"GET / HTTP/1.1\r\nX: 1\n\n", 0, "request_bare_lf"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES_MAX, 0, "request_head_too_large"),
        (PREFACE + b"\0\0\0\4\0\0\0\0\0" + HEADERS % 1 + HEADERS % 3, 2, None),
        (PREFACE + HEADERS % 1 + b"\0\0\2\0\0\0\0\0\1xx" + HEADERS % 1 + HEADERS % 5, 2, None),
    ],
)  # fmt: skip
def test_requests_are_counted_whole_and_byte_by_byte(data: bytes, count: int, reason: str | None) -> None:
    whole = Skim()
    assert (whole.client_bytes(data), whole.opaque) == (count, reason)
    single = Skim()
    assert sum(single.client_bytes(data[n : n + 1]) for n in range(len(data))) == count
    assert single.opaque == reason


def test_a_chunk_that_repeats_itself_is_counted_again_and_only_between_requests() -> None:
    skim = Skim()
    assert [skim.client_bytes(GET), skim.client_bytes(GET), skim.client_bytes(GET)] == [1, 1, 1]
    head, body = POST[:-14], GET[:14]
    assert [skim.client_bytes(head), skim.client_bytes(body), skim.client_bytes(GET)] == [1, 0, 1]
    long = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (len(GET) * 2)
    assert [skim.client_bytes(part) for part in (long, GET, GET, GET)] == [1, 0, 0, 1]
    assert [skim.client_bytes(part) for part in (GET[:5], GET, GET)] == [0, 0, 0]
    assert skim.opaque == "request_bad_request_line"


def test_nothing_is_counted_once_it_is_opaque() -> None:
    skim = Skim()
    assert skim.client_bytes(GET) == 1
    assert skim.client_bytes(b"\xff\xff\r\n\r\n") == 0
    assert [skim.client_bytes(GET), skim.client_bytes(GET)] == [0, 0]
