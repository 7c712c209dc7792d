"""HAR in the dialects of browsers and tools: bodies, headers, times, what no network saw, and broken entries."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.log.exporters.har import write as write_har
from capture.log.importers import har
from capture.log.importers.found import Skipped
from capture.log.jsonl import exchange_of, line_of
from tests.support.importing import entry, parts


def read_har(tmp_path: Path, *entries: Any) -> tuple[list[Exchange], list[Skipped]]:
    path = tmp_path / "x.har"
    path.write_text(json.dumps({"log": {"version": "1.2", "entries": entries}}))
    return parts(har.read(path))


def test_a_har_entry_keeps_target_times_and_address(tmp_path: Path) -> None:
    ((found,), skipped) = read_har(tmp_path, entry())
    assert skipped == []
    assert found.request.target == "/a?b=1"
    assert found.request.headers == (("Host", "shop.example"),)
    assert (found.scheme, found.server, found.source) == ("https", "shop.example:443", "har")
    start = 1_769_857_200_250_000_000
    assert found.times.request_start == start
    assert found.times.request_end == start + 16_000_000
    assert found.times.response_start == start + 25_000_000
    assert found.times.response_end == start + 30_000_000


def test_what_no_network_saw_is_skipped_with_its_reason(tmp_path: Path) -> None:
    taken, skipped = read_har(
        tmp_path,
        entry("data:image/png;base64,AAAA"),
        entry("blob:https://shop.example/1"),
        entry("chrome-extension://abc/x.js"),
        entry(_fromCache="memory"),
        entry(response___transferSize=0, response__bodySize=-166),
        entry(_wasFulfilled=True),
        entry(_wasAborted=True, response__status=-1),
        entry(response___transferSize=0, response__status=101),
        entry(response___transferSize=0, response__status=0),
        entry(),
    )
    assert len(taken) == 3
    assert [(item.place, item.code) for item in skipped] == [
        ("entry 0", "data_url"),
        ("entry 1", "blob_url"),
        ("entry 2", "chrome_extension_url"),
        ("entry 3", "cache_hit"),
        ("entry 4", "cache_hit"),
        ("entry 5", "mocked"),
        ("entry 6", "aborted"),
    ]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_har_is_read_in_every_coding_that_a_shell_writes(tmp_path: Path, coding: str) -> None:
    path = tmp_path / "x.har"
    path.write_bytes(
        json.dumps({"log": {"entries": [entry("http://a/é"), entry()]}}, ensure_ascii=False).encode(coding)
    )
    assert har.recognise(path.read_bytes()[:101])
    taken, skipped = parts(har.read(path))
    assert (taken[0].request.target, len(taken), skipped) == ("/%C3%A9", 2, [])


def test_bytes_that_are_no_utf_8_do_not_stop_a_har_and_nesting_without_end_costs_its_entry_alone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x.har"
    text = json.dumps({"log": {"entries": [entry(request__method="G\u00c9T"), entry()]}}, ensure_ascii=False)
    path.write_bytes(text.encode("latin-1"))
    taken, skipped = parts(har.read(path))
    assert (len(taken), [item.place for item in skipped]) == (1, ["entry 0"])
    path.write_text('{"log":{"entries":[' + "[" * 100_000 + "]" * 100_000 + f",{json.dumps(entry())}]}}}}")
    taken, skipped = parts(har.read(path))
    assert (len(taken), [item.place for item in skipped]) == (1, ["entry 0"])
    assert "nested too deeply" in skipped[0].why


def test_broken_entries_are_skipped_with_their_place_and_the_others_are_taken(tmp_path: Path) -> None:
    broken: list[Any] = [
        5,
        None,
        {},
        entry("ftp://x/"),
        entry(request__method="G T"),
        entry(startedDateTime="soon"),
        entry(request__headers=[{"value": "x"}]),
        entry(response__content={"text": "%%%", "encoding": "base64"}),
    ]
    taken, skipped = read_har(tmp_path, *broken, entry())
    assert len(taken) == 1
    assert [item.place for item in skipped] == [f"entry {n}" for n in range(len(broken))]
    assert {item.code for item in skipped} == {"bad_record"}


def test_http2_and_chromes_joined_headers_become_what_was_sent(tmp_path: Path) -> None:
    ((found,), _) = read_har(
        tmp_path,
        entry(
            request__httpVersion="h3",
            request__headers=[
                {"name": ":authority", "value": "other.example"},
                {"name": ":method", "value": "GET"},
                {"name": "accept", "value": "*/*"},
            ],
            response__httpVersion="http/2.0",
            response__headers=[{"name": "set-cookie", "value": "a=1\nb=2"}, {"name": "x", "value": "caf\xe9 \u20ac"}],
        ),
    )
    assert found.request.version == "HTTP/3"
    assert found.request.headers == (("Host", "other.example"), ("accept", "*/*"))
    assert found.response is not None
    assert found.response.version == "HTTP/2"
    assert found.response.headers == (
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x", "café €".encode().decode("latin-1")),
    )


def test_bodies_of_a_har_go_back_to_bytes_by_their_charset_and_lose_their_coding(tmp_path: Path) -> None:
    kinds = [{"name": "Content-Type", "value": "text/html; charset=iso-8859-1"}]
    coded = [*kinds, {"name": "Content-Encoding", "value": "gzip"}, {"name": "Content-Length", "value": "9"}]
    ((latin, packed, unseen, declared), _) = read_har(
        tmp_path,
        entry(response__headers=kinds, response__content={"text": "caf\xe9"}),
        entry(response__headers=coded, response__content={"text": "caf\xe9"}),
        entry(response__bodySize=77),
        entry(response__status=0),
    )
    assert latin.response is not None
    assert latin.response.body == b"caf\xe9"
    assert packed.response is not None
    assert packed.response.headers == (("Content-Type", "text/html; charset=iso-8859-1"),)
    assert "Content-Encoding: gzip was taken out" in packed.notes[0]
    assert unseen.response is not None
    assert (unseen.response.body, unseen.response.body_bytes) == (None, 77)
    assert (declared.response, declared.incomplete_reason) == (None, "no_response")


@pytest.mark.parametrize(
    ("data", "headers", "body"),
    [
        ({"text": "a=\u20ac"}, [], "a=\u20ac".encode()),
        ({"text": "\xff\xfe"}, [{"name": "Content-Length", "value": "2"}], b"\xff\xfe"),
        ({"text": "AP8=", "encoding": "base64"}, [], b"\x00\xff"),
        ({"params": [{"name": "a b", "value": "1&2"}, {"name": "c"}], "text": ""}, [], b"a+b=1%262&c="),
        ({"mimeType": "", "params": [], "text": ""}, [], b""),
        ({"mimeType": "multipart/form-data", "params": [{"name": "a"}]}, [], None),
    ],
)
def test_request_bodies_of_a_har(tmp_path: Path, data: Any, headers: Any, body: bytes | None) -> None:
    made = entry(request__postData=data, request__headers=headers, request__method="POST")
    ((found,), _) = read_har(tmp_path, made)
    assert found.request.body == body


@pytest.mark.parametrize(
    ("changes", "size"),
    [
        ({"request__headers": [{"name": "Content-Length", "value": "288"}]}, 288),
        ({"request__bodySize": 6, "request__postData": {"mimeType": "application/octet-stream", "text": ""}}, 6),
        ({"request__bodySize": -1, "request__headers": [{"name": "Content-Type", "value": "multipart/form-data"}]}, 0),
        ({"request__headers": [{"name": "Transfer-Encoding", "value": "chunked"}]}, 0),
    ],
)
def test_a_request_body_that_was_sent_and_not_exported_is_unknown_not_empty(
    tmp_path: Path, changes: dict[str, Any], size: int
) -> None:
    ((found,), _) = read_har(tmp_path, entry(request__method="POST", **changes))
    assert (found.request.body, found.request.body_bytes) == (None, size)
    assert found.notes == ("har: the request body was not exported",)


def test_a_body_of_no_text_that_was_exported_as_latin_1_gets_its_bytes_back(tmp_path: Path) -> None:
    """As browsers and mitmproxy write bytes that are no UTF-8."""
    raw = bytes(range(256))
    text = raw.decode("latin-1")
    for kind, size, exported in (
        ("application/octet-stream", 256, raw),
        ("application/octet-stream", -1, raw),
        ("application/octet-stream", 384, text.encode()),
        ("application/json", 256, text.encode()),
    ):
        ((found,), _) = read_har(
            tmp_path,
            entry(
                request__method="POST",
                request__postData={"mimeType": kind, "text": text},
                request__bodySize=size,
                response__content={"mimeType": kind, "text": text, "size": size},
            ),
        )
        assert found.response is not None
        assert (found.request.body, found.response.body) == (exported, exported), (kind, size)
    ((found,), _) = read_har(
        tmp_path,
        entry(
            response__headers=[{"name": "Content-Length", "value": "4"}],
            response__content={"mimeType": "text/plain", "text": "caf\u00e9"},
        ),
    )
    assert found.response is not None
    assert found.response.body == b"caf\xe9"


def test_an_answer_that_a_browser_says_broke_off_is_incomplete(tmp_path: Path) -> None:
    for name in ("response___failureText", "response___error"):
        ((found,), _) = read_har(tmp_path, entry(**{name: "net::ERR_CONTENT_LENGTH_MISMATCH"}))
        assert found.response is not None
        assert (found.response.status, found.incomplete_reason) == (200, "response_cut")
        assert found.notes == ("har: net::ERR_CONTENT_LENGTH_MISMATCH",)


def test_a_har_with_lone_surrogates_and_bytes_that_are_no_utf_8_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.har"
    good, bad = json.dumps(entry()), json.dumps(entry(response__content={"text": "TEXT"}))
    path.write_bytes(f'{{"log":{{"entries":[{good},{bad}]}}}}'.encode().replace(b"TEXT", b"\\ud83d \xff"))
    taken, skipped = parts(har.read(path))
    assert (len(taken), skipped) == (2, [])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "request",
                        "response",
                        "url",
                        "method",
                        "headers",
                        "name",
                        "value",
                        "content",
                        "text",
                        "timings",
                        "status",
                        "startedDateTime",
                        "postData",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_no_entry_whatever_it_is_breaks_the_har_reader(value: Any) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        taken, skipped = read_har(Path(name), value, entry(request=value), entry(response=value), entry())
    assert len(taken) + len(skipped) == 4


def test_when_a_browser_stopped_an_answer_is_known_and_a_stream_of_events_has_no_end(tmp_path: Path) -> None:
    timings = {"send": 1, "wait": 2, "receive": 3000}
    stream = {"response__headers": [{"name": "Content-Type", "value": "text/event-stream"}], "response__content": {}}
    for changes, cut, left in (
        ({"response___error": "net::ERR_ABORTED"}, True, True),
        ({"response___failureText": "NS_BINDING_ABORTED"}, True, True),
        ({"response___error": "net::ERR_INCOMPLETE_CHUNKED_ENCODING"}, True, False),
        (stream, True, True),
        ({**stream, "response__content": {"text": "data: 1\n\n"}}, False, False),
        ({**stream, "response__content": {"text": "data: 1\n\n"}, "_resourceType": "eventsource"}, True, True),
        ({}, False, False),
    ):
        ((found,), _) = read_har(tmp_path, entry(timings=timings, **changes))
        times = found.times
        assert found.incomplete_reason == ("response_cut" if cut else None)
        assert (times.response_end is None) is cut
        assert times.response_start is not None
        assert times.left == (times.response_start + 3_000_000_000 if left else None)


def test_an_exported_stream_that_was_left_comes_back_as_one(tmp_path: Path) -> None:
    answer = Response(200, "OK", "HTTP/1.1", (("Content-Type", "text/event-stream"),), b"data: 1\n\n", 9)
    times = Times(1_000_000_000, 1_001_000_000, 1_002_000_000, None, 4_002_000_000)
    request = Request("GET", "/events", "HTTP/1.1", (("Host", "shop.example"),))
    left = Exchange("", "s", "relay", 1.0, request, answer, times, "response_cut")
    (tmp_path / "x.har").write_bytes(b"".join(write_har([left], Counter())))
    ((found,), _) = parts(har.read(tmp_path / "x.har"))
    assert (found.times, found.incomplete_reason) == (times, "response_cut")
    assert exchange_of(line_of(left)).times == times
    assert b'"left":4002000000' in line_of(left)
