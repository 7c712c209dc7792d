"""Request bytes made once for all builds: the same bytes as the rewriting makes, or none."""

from __future__ import annotations

import random

from hypothesis import example, given
from hypothesis import strategies as st

from capture.exchange import Headers
from replay.clients.wire import encode_request
from replay.payload import Traces, payload_of, trace_flags
from replay.rewrite import template
from tests.support.rude import exchange, get

TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-00"
NEW = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"

FRAMING = ["Connection", "Keep-Alive", "TE", "Upgrade", "Content-Length", "Transfer-Encoding"]
OTHERS = ["Host", "host", "Cookie", "cookie", "traceparent", "Traceparent", "X-100%-Sure", "x-a", "X-A"]
NAMES = st.sampled_from(FRAMING + OTHERS)
VALUES = st.one_of(
    st.sampled_from(["", "close", "keep-alive", "x-a", "chunked", "0", "3", "%s", "100%", TRACE, "caf\xe9"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=8),
)


def slowly(headers: Headers, method: str, target: str, body: bytes, authority: str | None) -> bytes:
    recorded = exchange(0, get(target, *headers, method=method, body=body))
    return encode_request(template(recorded).for_build(authority, "run/log-0", NEW, {}, None))


@given(
    headers=st.lists(st.tuples(NAMES, VALUES), max_size=6).map(tuple),
    target=st.sampled_from(["/", "/a%2Fb/../x?q=%7E", "/%s", "http://shop/x"]),
    body=st.sampled_from([b"", b"abc", b"\x00\r\n"]),
    authority=st.sampled_from(["build:1", None]),
)
@example(headers=(), target="/", body=b"", authority="build:1")
@example(headers=(("Content-Length", "3"), ("traceparent", TRACE)), target="/%s", body=b"abc", authority=None)
def test_the_bytes_are_those_that_the_rewriting_makes(
    headers: Headers, target: str, body: bytes, authority: str | None
) -> None:
    payload = payload_of(exchange(0, get(target, *headers, method="POST", body=body)))
    if payload is not None:
        assert payload.for_build(authority, NEW, "run/log-0") == slowly(headers, "POST", target, body, authority)


def test_a_usual_request_is_made_as_bytes() -> None:
    headers = (("Connection", "keep-alive"), ("Cookie", "a=1"), ("Content-Length", "3"))
    payload = payload_of(exchange(0, get("/x", *headers, method="POST", body=b"abc")))
    assert payload is not None
    assert payload.for_build("b:1", NEW, "run/log-0") == (
        b"POST /x HTTP/1.1\r\nHost: b:1\r\nCookie: a=1\r\nContent-Length: 3\r\n"
        b"traceparent: " + NEW.encode() + b"\r\nX-Understudy-Replay: run/log-0\r\n\r\nabc"
    )


def test_a_request_that_needs_more_changes_is_left_to_the_rewriting() -> None:
    for headers in (
        (("Connection", "X-Secret"), ("X-Secret", "1")),
        (("Transfer-Encoding", "chunked"),),
        (("Content-Length", "4"),),
        (("traceparent", TRACE), ("Traceparent", TRACE)),
    ):
        assert payload_of(exchange(0, get("/", *headers, method="POST", body=b"abc"))) is None


def test_a_new_trace_keeps_the_recorded_flags() -> None:
    assert trace_flags(None) == "01"
    assert trace_flags(TRACE) == "00"
    assert trace_flags("nonsense-00") == "01"


def test_traces_are_all_different_and_well_formed() -> None:
    traces = Traces(random.Random(7))
    made = [traces.new("01") for _ in range(1000)]
    assert len({trace[3:35] for trace in made}) == len({trace[36:52] for trace in made}) == 1000
    assert all(len(trace) == 55 and trace.startswith("00-") and trace.endswith("-01") for trace in made)


def test_an_id_of_nothing_but_zeros_is_never_made() -> None:
    class Unlucky(random.Random):
        calls = 0

        def randbytes(self, n: int) -> bytes:
            self.calls += 1
            return bytes(n) if self.calls == 1 else b"\x01" * n

    assert Traces(Unlucky()).new("01") == "00-" + "01" * 16 + "-" + "01" * 8 + "-01"
