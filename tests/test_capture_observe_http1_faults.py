"""HTTP/1 that is ambiguous or broken: nothing is guessed, and nothing behind it is read."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from capture.observe.events import Opaque
from capture.observe.head import HEAD_BYTES_MAX
from tests.support.dialogue import Step, exchanges, observe, only, opaque
from tests.support.http1_bytes import CHUNKED_OK, CHUNKED_POST, GET, OK


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "content_length_and_transfer_encoding"),
        (b"Content-Length: 3\r\nContent-Length: 4\r\n", "differing_content_lengths"),
        (b"Content-Length: 3, 4\r\n", "differing_content_lengths"),
        (b"Content-Length: +3\r\n", "bad_content_length"),
        (b"Content-Length: 03\r\n", "bad_content_length"),
        (b"Content-Length: -3\r\n", "bad_content_length"),
        (b"Content-Length: 0x3\r\n", "bad_content_length"),
        (b"Content-Length: 3 3\r\n", "bad_content_length"),
        (b"Content-Length:\r\n", "bad_content_length"),
        (b"Content-Length: \xb2\r\n", "bad_content_length"),
        (b"Content-Length: 99999999999999999999\r\n", "bad_content_length"),
        (b"Transfer-Encoding: chunked, gzip\r\n", "bad_transfer_encoding"),
        (b"Transfer-Encoding: chunked, chunked\r\n", "bad_transfer_encoding"),
        (b"Transfer-Encoding:\r\n", "bad_transfer_encoding"),
        (b"Transfer-Encoding: xchunked\r\n", "bad_transfer_encoding"),
        (b"Transfer-Encoding: identity\r\n", "bad_transfer_encoding"),
        (b"X: 1\nContent-Length: 3\r\n", "bare_lf"),
        (b"X: 1\rContent-Length: 3\r\n", "bare_cr"),
        (b"X: 1\r\n Content-Length: 3\r\n", "obs_fold"),
        (b"X: 1\r\n\tmore\r\n", "obs_fold"),
        (b"Content-Length : 3\r\n", "space_before_colon"),
        (b"X Y: 3\r\n", "bad_header_name"),
        (b": 3\r\n", "bad_header_name"),
        (b"\xff: 3\r\n", "bad_header_name"),
        (b"nothing\r\n", "no_colon"),
        (b"Host\r\n", "no_colon"),
        (b"X: a\0b\r\n", "control_character"),
        (b"X: a\x7fb\r\n", "control_character"),
    ],
)
def test_an_ambiguous_request_is_recorded_as_such_and_nothing_behind_it_is_read(head: bytes, reason: str) -> None:
    data = b"POST /x HTTP/1.1\r\nHost: a\r\n" + head + b"\r\nabc" + GET
    events = observe([("c", data), ("s", OK + OK)])
    exchange = only(events)
    assert exchange.incomplete_reason == f"request_{reason}"
    assert opaque(events) == [f"request_{reason}"]
    assert (exchange.request.method, exchange.request.target) == ("POST", "/x")
    assert ("Host", "a") in exchange.request.headers
    assert exchange.response is not None, "its own answer is certain"


def test_a_transfer_encoding_in_http_1_0_is_faulty() -> None:
    events = observe([("c", b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")])
    assert only(events).incomplete_reason == "request_transfer_encoding_in_http_1_0"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET /\r\n\r\n", "bad_request_line"),
        (b"GET  / HTTP/1.1\r\n\r\n", "bad_request_line"),
        (b"GET / HTTP/1.1 \r\n\r\n", "bad_request_line"),
        (b"GET /a b HTTP/1.1\r\n\r\n", "bad_request_line"),
        (b"G(T / HTTP/1.1\r\n\r\n", "bad_request_line"),
        (b"OPTIONS / RTSP/1.0\r\n\r\n", "bad_version"),
        (b"GET / HTTP/2.0\r\n\r\n", "bad_version"),
        (b"GET / HTTP/11.1\r\n\r\n", "bad_version"),
        (b"hello\r\n", "bad_request_line"),
        (b"GET /" + b"a" * HEAD_BYTES_MAX, "head_too_large"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n", "head_too_large"),
        (b"GET / HTT", "head_cut"),
    ],
)
def test_a_request_that_cannot_be_read_makes_the_connection_opaque(data: bytes, reason: str) -> None:
    events = observe([("c", data)])
    assert (exchanges(events), opaque(events)) == ([], [f"request_{reason}"])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"g\r\n", "bad_chunk_size"),
        (b"\r\n", "bad_chunk_size"),
        (b"+3\r\nabc\r\n", "bad_chunk_size"),
        (b"0x3\r\nabc\r\n", "bad_chunk_size"),
        (b" 3\r\nabc\r\n", "bad_chunk_size"),
        (b"3 3\r\nabc\r\n", "bad_chunk_size"),
        (b"fffffffffffffffff\r\n", "bad_chunk_size"),
        (b"3\nabc\r\n", "bare_lf"),
        (b"3;a\rb\r\nabc\r\n", "bare_cr"),
        (b"3;\x00\r\nabc\r\n", "bad_chunk_size"),
        (b"3\r\nabcd\r\n", "bad_chunk_end"),
        (b"3\r\nabc\n0\r\n\r\n", "bad_chunk_end"),
        (b"3\r\nabc\rX", "bad_chunk_end"),
        (b"3;" + b"a" * 5000, "chunk_line_too_long"),
        (b"0\r\n\n", "bare_lf"),
        (b"0\r\nX: 1\n\r\n", "bare_lf"),
        (b"0\r\n folded: 1\r\n\r\n", "obs_fold"),
        (b"0\r\nno colon\r\n\r\n", "no_colon"),
        (b"0\r\nX: " + b"a" * HEAD_BYTES_MAX, "trailers_too_large"),
    ],
)
def test_a_malformed_chunked_body_is_not_guessed_at(body: bytes, reason: str) -> None:
    asked = observe([("c", CHUNKED_POST + b"1\r\nz\r\n" + body + GET), ("s", OK + OK)])
    assert only(asked).incomplete_reason == f"request_{reason}"
    assert only(asked).request.body in (b"z", b"zabc")
    assert opaque(asked) == [f"request_{reason}"]
    answered = observe([("c", GET + GET), ("s", CHUNKED_OK + b"1\r\nz\r\n" + body + OK)])
    first, second = exchanges(answered)
    assert first.incomplete_reason == f"response_{reason}"
    assert second.incomplete_reason == "response_unreadable"
    assert opaque(answered) == [f"response_{reason}"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "content_length_and_transfer_encoding"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "differing_content_lengths"),
        (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "obs_fold"),
        (b"HTTP/1.1 200 OK\nA: b\n\n", "bare_lf"),
        (b"HTTP/1.1 20 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/2 200 OK\r\n\r\n", "bad_status_line"),
        (b"ICY 200 OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1 200OK\r\n\r\n", "bad_status_line"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * HEAD_BYTES_MAX, "head_too_large"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n", "head_too_large"),
    ],
)  # fmt: skip
def test_a_response_that_cannot_be_read_ends_the_reading(data: bytes, reason: str) -> None:
    events = observe([("c", GET + GET), ("s", data)])
    assert [exchange.incomplete_reason for exchange in exchanges(events)] == [
        f"response_{reason}",
        "response_unreadable",
    ]
    assert opaque(events) == [f"response_{reason}"]


def test_a_response_nobody_asked_for_ends_the_reading() -> None:
    assert observe([("c", GET), ("s", OK + OK)])[1:] == [Opaque("response_without_request")]
    assert opaque(observe([("c", GET), ("s", OK + b"H")])) == ["response_without_request"]


_EXPECTED_OTHERWISE = {
    "content-length.md:44": "a Content-Length with leading zeros is refused: readers differ on it",
    "method.md:405": "RTSP is not HTTP",
    "sample.md:317": "HTTP/0.9 is not read",
}


def test_the_vectors_of_llhttp_are_accepted_and_refused_as_stated(corpora: Path) -> None:
    seen = 0
    for line in (corpora / "http-vectors" / "llhttp.jsonl").read_text().splitlines():
        vector = json.loads(line)
        data = base64.b64decode(vector["input_base64"])
        name = vector["id"].split("/")[-1].split(" ")[0]
        if vector["kind"] == "request":
            steps = [("c", data)]
        else:
            steps = [("c", GET * 4), ("s", data)]
        events = observe(steps)
        faults = [reason for reason in opaque(events) if reason not in ("upgrade", "connect", "request_head_cut")]
        faults = [reason for reason in faults if reason != "response_head_cut"]
        if vector["either_ok"] or name in _EXPECTED_OTHERWISE:
            continue
        seen += 1
        accepted = not faults
        if accepted and not vector["accept"]:  # the fault lies in a head whose end is missing in the vector
            more = observe([*steps[:-1], (steps[-1][0], data + b"\r\n\r\n")])
            accepted = not [reason for reason in opaque(more) if reason not in ("upgrade", "connect")]
        assert accepted == vector["accept"], (vector["id"], data, events)
        if vector["accept"]:
            _compare_messages(vector, data, steps)
    assert seen == 36


def _compare_messages(vector: dict, data: bytes, steps: list[Step]) -> None:
    ended = data if data.endswith(b"\r\n\r\n") else data + b"\r\n\r\n"
    done = exchanges(observe([*steps[:-1], (steps[-1][0], ended)]))
    for message, exchange in zip([m for m in vector["messages"] if m["complete"]], done, strict=False):
        if vector["kind"] == "request":
            assert (exchange.request.method, exchange.request.target) == (message["method"], message["url"])
            assert exchange.request.body_bytes == message["body_bytes"], vector["id"]
