"""The reader of responses: the same for any split of the bytes, as another parser reads them, bounded, never more."""

from __future__ import annotations

from itertools import pairwise

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Response
from replay.clients.answer import AnswerReader, MalformedAnswer, TooLarge, whole_answer

MAX = 10_000


def read(data: bytes, method: str = "GET", splits: list[int] | None = None, eof: bool = False) -> Response | None:
    """Feed the bytes in pieces; the response, None where it is not complete."""
    reader = AnswerReader(method, MAX)
    marks = [0, *sorted({min(split, len(data)) for split in splits or []}), len(data)]
    for start, end in pairwise(marks):
        response = reader.feed(data[start:end])
        if response is not None:
            return response
    return reader.eof() if eof else None


CASES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello",
    b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    b"HTTP/1.1 200 OK\nContent-Length: 8\n\nok\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 404 Nicht da\r\nX: caf\xe9\r\nContent-Length: 1, 1\r\n\r\nx",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
]


@given(case=st.sampled_from(CASES), splits=st.lists(st.integers(0, 120), max_size=8))
def test_any_split_of_the_bytes_gives_the_same_response(case: bytes, splits: list[int]) -> None:
    whole = read(case)
    assert whole is not None
    assert read(case, splits=splits) == whole
    assert read(case, splits=list(range(len(case)))) == whole


class _Oracle:
    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.complete = True


_VALUE = st.text(st.sampled_from("abcXYZ019 ;=,\"'/"), max_size=20).map(str.strip)
_NAME = st.text(st.sampled_from("abcdefXYZ-"), min_size=1, max_size=12).map(lambda name: f"X{name}")


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    headers=st.lists(st.tuples(_NAME, _VALUE), max_size=6),
    body=st.binary(max_size=60),
    sizes=st.none() | st.lists(st.integers(1, 7), max_size=6),
    splits=st.lists(st.integers(0, 400), max_size=5),
)
def test_another_parser_reads_the_same(
    status: int, headers: list[tuple[str, str]], body: bytes, sizes: list[int] | None, splits: list[int]
) -> None:
    head = f"HTTP/1.1 {status} Fine\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
    if sizes is None:
        data = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    else:
        data, at = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode(), 0
        for size in sizes:
            piece = body[at : at + size]
            at += size
            if piece:
                data += b"%x\r\n%b\r\n" % (len(piece), piece)
        body = body[: sum(sizes)]
        data += b"0\r\n\r\n"
    oracle = _Oracle()
    parser = httptools.HttpResponseParser(oracle)
    parser.feed_data(data)
    response = read(data, splits=splits)
    assert response is not None
    assert oracle.complete
    assert (response.status, response.body) == (parser.get_status_code(), oracle.body)
    assert list(response.headers) == oracle.headers
    assert response.body == body


@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", *CASES]))
def test_garbage_raises_only_the_two_errors(data: bytes, prefix: bytes) -> None:
    try:
        read(prefix[: len(prefix) // 2] + data, eof=True)
    except (MalformedAnswer, TooLarge):
        pass


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/2 200\r\n\r\n",
        b"HTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nBad Name: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_not_http_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2711\r\n" + b"x" * 10_001,
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 10_001,
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (300 << 10),
    ],
)
def test_what_is_longer_than_the_caps_is_too_large(data: bytes) -> None:
    with pytest.raises(TooLarge):
        read(data)


def test_transfer_encoding_wins_over_content_length() -> None:
    response = read(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
    assert response is not None
    assert response.body == b"x"


def test_a_folded_header_line_is_one_value() -> None:
    response = read(b"HTTP/1.1 200 OK\r\nX: a\r\n  b\r\nContent-Length: 0\r\n\r\n")
    assert response is not None
    assert response.headers[0] == ("X", "a b")


@pytest.mark.parametrize(
    ("data", "keep"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
def test_the_connection_is_kept_as_the_answer_says(data: bytes, keep: bool) -> None:
    reader = AnswerReader("GET", MAX)
    assert reader.feed(data) is not None
    assert reader.keep_alive is keep


PLAIN = b"HTTP/1.1 200 OK\r\nX-Id: 7\r\nContent-Length: 2\r\n\r\nok"


def test_an_answer_that_is_there_whole_is_read_at_once_and_as_the_reader_reads_it() -> None:
    for data in (PLAIN, PLAIN.replace(b"2\r\n\r\nok", b"0\r\n\r\n"), PLAIN.replace(b"X-Id: 7", b"X-Id: 7\r\n  8")):
        found = whole_answer(data, "GET", 100, 1000)
        assert found is not None
        assert found == AnswerReader("GET", 100, 1000).feed(data)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN[:-1],
        PLAIN + b"H",
        PLAIN.replace(b"200 OK", b"100 Continue"),
        PLAIN.replace(b"X-Id: 7", b"Connection: close"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"X-Id: 7", b"X Id: 7"),
        PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 3"),
        PLAIN.replace(b"Content-Length: 2", b"A: b"),
        b"HTTP/1.1 200 OK\n\nContent-Length: 2\r\n\r\nok",
    ],
)
def test_anything_else_is_left_to_the_reader(data: bytes) -> None:
    assert whole_answer(data, "GET", 100, 1000) is None


def test_the_answer_to_head_and_what_is_over_a_cap_are_left_to_the_reader() -> None:
    assert whole_answer(PLAIN, "HEAD", 100, 1000) is None
    assert whole_answer(PLAIN, "GET", 1, 1000) is None
    assert whole_answer(PLAIN, "GET", 100, 10) is None
