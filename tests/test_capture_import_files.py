"""Importers fed by hand: dialects, broken records, bounds, and the command that joins them to the log."""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import understudy
from capture.errors import BadInput
from capture.exchange import Exchange, Request, Response, Times, header
from capture.log.exporters.har import write as write_har
from capture.log.importers import access, envoy, gor, har
from capture.log.importers.found import Found, Skipped, Torn
from capture.log.importers.gor import SEPARATOR
from capture.log.jsonl import exchange_of, line_of
from capture.log.reader import open_log
from capture.sources.files import FORMATS, recognise
from tests.support.accounts import assert_conserved
from tests.support.log_records import an_exchange, exchanges, without_id, write_log


def parts(records: Any) -> tuple[list[Exchange], list[Skipped]]:
    found = list(records)
    taken = [record.exchange for record in found if isinstance(record, Found)]
    return taken, [record for record in found if isinstance(record, Skipped)]


def entry(url: str = "https://shop.example/a?b=1#part", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "startedDateTime": "2026-01-31T12:00:00.250+01:00",
        "time": 30,
        "request": {"method": "GET", "url": url, "httpVersion": "HTTP/1.1", "headers": [], "bodySize": 0},
        "response": {"status": 200, "statusText": "OK", "httpVersion": "HTTP/1.1", "headers": [], "content": {}},
        "timings": {"blocked": 5, "dns": -1, "connect": 10, "ssl": 8, "send": 1, "wait": 9, "receive": 5},
    }
    for name, value in changes.items():
        target = made
        *path, last = name.split("__")
        for step in path:
            target = target[step]
        target[last] = value
    return made


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


GOR = b"1 aa 100 0\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def read_gor(tmp_path: Path, *payloads: bytes) -> tuple[list[Exchange], list[Skipped]]:
    path = tmp_path / "x.gor"
    path.write_bytes(b"".join(payload + SEPARATOR for payload in payloads))
    return parts(gor.read(path))


def test_goreplay_joins_by_id_in_whatever_order_and_prefers_the_original(tmp_path: Path) -> None:
    other = GOR.replace(b"1 aa", b"1 bb").replace(b"/a", b"/b")
    taken, skipped = read_gor(
        tmp_path, GOR, other, b"3 bb 300 9\n" + ANSWER, b"3 aa 250 9\n" + ANSWER.replace(b"200 OK", b"500 No"),
        b"2 aa 200 9\n" + ANSWER,
    )  # fmt: skip
    assert skipped == []
    by_target = {exchange.request.target: exchange for exchange in taken}
    assert by_target["/a"].response is not None
    assert by_target["/a"].response.status == 200
    assert by_target["/a"].times.response_end == 200
    assert by_target["/b"].notes == ("gor: the response is of the replay",)
    assert by_target["/a"].server == "h:80"


def test_goreplay_without_a_latency_a_response_or_a_last_separator(tmp_path: Path) -> None:
    path = tmp_path / "x.gor"
    path.write_bytes(GOR.replace(b"100 0", b"100") + SEPARATOR + GOR.replace(b"aa", b"bb"))
    taken, skipped = parts(gor.read(path))
    assert [(exchange.incomplete_reason, exchange.response) for exchange in taken] == [("no_response", None)] * 2
    assert skipped == []


def test_broken_payloads_of_goreplay_are_skipped_with_their_offset(tmp_path: Path) -> None:
    orphan = b"2 zz 5 5\n" + ANSWER
    noise = b"1 cc 100 0\n\x00\x01\x02"
    taken, skipped = read_gor(tmp_path, GOR, orphan, noise)
    assert len(taken) == 1
    assert [(item.place, item.code) for item in skipped] == [
        (f"byte {len(GOR + SEPARATOR)}", "no_request"),
        (f"byte {len(GOR + SEPARATOR + orphan + SEPARATOR)}", "bad_record"),
    ]


def test_a_response_that_stands_before_its_request_is_joined_with_it(tmp_path: Path) -> None:
    taken, skipped = read_gor(tmp_path, b"2 aa 200 9\n" + ANSWER, b"2 zz 5 5\n" + ANSWER, GOR)
    assert [item.code for item in skipped] == ["no_request"]
    (exchange,) = taken
    assert exchange.response is not None
    assert exchange.complete


@given(st.lists(st.sampled_from([GOR, b"2 aa 200 9\n" + ANSWER, SEPARATOR, b"\xff", b"1 ", b"\n"]), max_size=8))
def test_no_bytes_break_the_goreplay_reader(pieces: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x"
        path.write_bytes(GOR + b"".join(pieces))
        parts(gor.read(path))


def test_envoys_buffered_trace_in_both_spellings(tmp_path: Path) -> None:
    trace = {
        "http_buffered_trace": {
            "request": {
                "headers": [
                    {"key": ":authority", "value": "shop:8443"},
                    {"key": ":path", "value": "/a?b"},
                    {"key": ":method", "value": "POST"},
                    {"key": ":scheme", "value": "https"},
                    {"key": "x", "raw_value": base64.b64encode(b"\xe9").decode()},
                ],
                "body": {"truncated": False, "as_bytes": base64.b64encode(b"in").decode()},
                "headers_received_time": "2026-01-31T12:00:00.5Z",
            },
            "response": {
                "headers": [{"key": ":status", "value": "200"}, {"key": "content-length", "value": "50"}],
                "body": {"truncated": True, "as_string": "out"},
            },
            "downstream_connection": {"remote_address": {"socket_address": {"address": "10.0.0.9", "port_value": 1}}},
        }
    }
    camel = json.loads(
        json.dumps(trace)
        .replace("http_buffered_trace", "httpBufferedTrace")
        .replace("as_bytes", "asBytes")
        .replace("as_string", "asString")
        .replace("headers_received_time", "headersReceivedTime")
        .replace("raw_value", "rawValue")
    )
    path = tmp_path / "x.json"
    path.write_text(json.dumps(trace, indent=1) + "\n" + json.dumps(camel))
    assert recognise(path) == "envoy"
    (first, second), skipped = parts(envoy.read(path))
    assert (first, skipped) == (second, [])
    assert (first.request.method, first.request.target, first.request.body) == ("POST", "/a?b", b"in")
    assert first.request.headers == (("Host", "shop:8443"), ("x", "\xe9"))
    assert (first.scheme, first.server) == ("https", "shop:8443")
    assert first.times.request_start == 1_769_860_800_500_000_000
    assert first.response is not None
    assert (first.response.body, first.response.body_bytes, first.response.truncated) == (b"out", 50, True)


def test_a_body_that_envoy_wrote_as_text_and_that_was_none_is_unknown(tmp_path: Path) -> None:
    def message(name: str, value: str, length: int, **body: Any) -> dict[str, Any]:
        pseudo = [{"key": ":method", "value": "POST"}, {"key": ":path", "value": "/"}] if name == "request" else []
        headers = [*pseudo, {"key": ":status", "value": "200"}, {"key": "content-length", "value": str(length)}]
        return {"headers": headers, "body": {"truncated": False, "as_string": value, **body}}

    path = tmp_path / "tap.json"
    for length, truncated in ((256, False), (4, False), (256, True)):
        trace = {
            "request": message("request", "abcd", length, truncated=truncated),
            "response": message("response", "\x00\x01\x7f!", length, truncated=truncated),
        }
        path.write_text(json.dumps({"http_buffered_trace": trace}))
        ((found,), skipped) = parts(envoy.read(path))
        assert skipped == []
        assert found.response is not None
        lost = length == 256 and not truncated
        for made, body in ((found.request, b"abcd"), (found.response, b"\x00\x01\x7f!")):
            assert (made.body, made.body_bytes, made.truncated) == (None if lost else body, length, truncated)
        assert [note for note in found.notes if "written as text" in note] == (
            [
                "envoy: the body of the request was written as text, which lost some of its 256 bytes",
                "envoy: the body of the response was written as text, which lost some of its 256 bytes",
            ]
            if lost
            else []
        )


def test_envoys_streamed_segments_are_put_together(tmp_path: Path) -> None:
    line = [{"key": ":method", "value": "GET"}, {"key": ":path", "value": "/"}]
    segments = [
        {"trace_id": "7", "request_headers": {"headers": line}},
        {"trace_id": "8", "request_body_chunk": {"as_bytes": "AAAA"}},
        {"trace_id": "7", "response_headers": {"headers": [{"key": ":status", "value": "404"}]}},
        {"trace_id": "7", "response_body_chunk": {"as_string": "not "}},
        {"trace_id": "7", "response_body_chunk": {"as_string": "here"}},
    ]  # fmt: skip
    path = tmp_path / "x.json"
    path.write_text("\n".join(json.dumps({"http_streamed_trace_segment": segment}) for segment in segments) + '{"cut')
    (found,), skipped = parts(envoy.read(path))
    assert found.response is not None
    assert (found.response.status, found.response.body) == (404, b"not here")
    assert "the trace has no times" in found.notes[0]
    assert [item.code for item in skipped] == ["bad_record", "bad_record"]


LINES = r"""203.0.113.9 - - [10/Oct/2026:13:55:36 -0700] "GET /a?b=1 HTTP/1.1" 200 2326 "https://shop/" "A \x22x\x22"
203.0.113.9 - bob [10/Oct/2026:13:55:36 -0700] "HEAD /b HTTP/2.0" 304 - "-" "-"
203.0.113.9 - - [10/Oct/2026:13:55:37 -0700] "POST /c HTTP/1.1" 200 1 "-" "-"
203.0.113.9 - - [10/Oct/2026:13:55:37 -0700] "\x16\x03\x01" 400 0 "-" "-"
not a line at all
2001:db8::1 - - [10/Xxx/2026:13:55:37 -0700] "GET / HTTP/1.1" 200 1
"""


def test_an_access_log_gives_its_gets_and_heads_and_says_why_not_the_others(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINES)
    assert recognise(path) == "access"
    (first, second), skipped = parts(access.read(path))
    assert (first.request.method, first.request.target) == ("GET", "/a?b=1")
    assert first.request.headers == (("Referer", "https://shop/"), ("User-Agent", 'A "x"'))
    assert first.response is not None
    assert (first.response.status, first.response.body, first.response.body_bytes) == (200, None, 2326)
    assert first.times.request_start == 1_791_665_736_000_000_000
    assert second.times.request_start == first.times.request_start + 1000
    assert (second.request.method, second.request.headers) == ("HEAD", ())
    assert [(item.place, item.code) for item in skipped] == [
        ("line 3", "no_body"),
        ("line 4", "bad_record"),
        ("line 5", "bad_record"),
        ("line 6", "bad_record"),
    ]


@pytest.mark.parametrize(
    ("front", "client", "host"),
    [
        ("203.0.113.9 - -", "203.0.113.9", ()),
        ("2001:db8::1 - frank", "2001:db8::1", ()),
        ("203.0.113.9 - John van Doe", "203.0.113.9", ()),
        ('203.0.113.9 - ""', "203.0.113.9", ()),
        ("shop.example:8080 203.0.113.9 - -", "203.0.113.9", (("Host", "shop.example"),)),
        ("shop.example 203.0.113.9 - John Doe", "203.0.113.9", (("Host", "shop.example"),)),
        ("203.0.113.9, 10.0.0.1,10.0.0.2 - -", "203.0.113.9", ()),
        ("- - -", "-", ()),
    ],
)
def test_the_client_of_an_access_log_is_found_beside_names_with_spaces_hosts_and_proxies(
    tmp_path: Path, front: str, client: str, host: tuple[tuple[str, str], ...]
) -> None:
    path = tmp_path / "access.log"
    path.write_text(f'{front} [10/Oct/2026:13:55:36 -0700] "GET /a HTTP/2.0" 200 5 "-" "-"\n')
    assert recognise(path) == "access"
    (found,) = access.read(path)
    assert isinstance(found, Found)
    assert (found.client, found.exchange.request.headers) == (client, host)
    assert found.exchange.request.version == "HTTP/2"


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"{}", b"[1]", b"\x00" * 100, b'{"a": {"log": 1}}', b"<html>", b"1:x"]
)
def test_what_is_none_of_these_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not a file that can be imported") as error:
        recognise(path)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=200))
def test_recognising_never_fails_otherwise(content: bytes) -> None:
    import importlib

    for module, _ in FORMATS.values():
        assert importlib.import_module(module).recognise(content) in (True, False)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        understudy.main(["log", "import", *map(str, args)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(ended.value.code or 0), out, err


def test_the_command_counts_every_record_and_says_what_it_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry(), entry("data:,x"), 5]}}))
    (tmp_path / "access.log.gz").write_bytes(gzip.compress(LINES.encode()))
    code, out, err = run(capsys, tmp_path / "a.har", tmp_path / "access.log.gz", "--log", tmp_path / "log")
    assert code == 0
    assert f"{tmp_path}/a.har: 1 exchanges (HAR)\n" in out
    counts = assert_conserved(out.splitlines()[-1])
    assert (counts.seen, counts.kept) == (9, 3)
    assert counts.shed == {"data_url": 1, "bad_record": 4, "no_body": 1}
    assert f"skipped: {tmp_path}/a.har: entry 1: 'data:,x' was not fetched over the network" in err
    with open_log(tmp_path / "log") as log:
        assert log.conservation().as_dict() == counts.as_dict()
        assert len({exchange.session for exchange in log.exchanges()}) == 2


def test_imports_are_redacted_and_sampled_as_live_traffic_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = [{"name": "Authorization", "value": "Bearer abcdefghijklmnop"}]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry(request__headers=secret)]}}))
    run(capsys, tmp_path / "a.har", "--log", tmp_path / "log")
    with open_log(tmp_path / "log") as log:
        (found,) = log.exchanges()
    assert "abcdefghijklmnop" not in (header(found.request.headers, "authorization") or "")
    assert found.redacted
    _, out, _ = run(capsys, tmp_path / "a.har", "--log", tmp_path / "none", "--sample", "0")
    assert assert_conserved(out.splitlines()[-1]).sampled_out == 1


def test_our_own_segments_and_lines_keep_ids_sessions_and_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = write_log(tmp_path / "log", exchanges(20))
    with open_log(tmp_path / "log") as log:
        original = list(log.exchanges())
    (tmp_path / "x.jsonl").write_bytes(b"".join(map(line_of, original)))
    for source in (tmp_path / "log", segment, tmp_path / "x.jsonl"):
        target = tmp_path / f"copy of {source.name}"
        assert run(capsys, source, "--log", target, "--redact", "off")[0] == 0
        with open_log(target) as log:
            assert list(log.exchanges()) == original
            assert log.get(original[7].id) == original[7]
        out = run(capsys, source, "--log", target, "--redact", "off")[1]
        assert assert_conserved(out.splitlines()[-1]).shed == {"already_there": 20}


def test_an_address_of_a_store_is_not_taken_for_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "s3://bucket/log", "--log", tmp_path / "log")
    assert code == 2
    assert "s3://bucket/log: import reads local files" in err
    assert not (tmp_path / "log").exists()


def test_a_refused_file_leaves_no_log_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"what is this")
    (tmp_path / "cut.har").write_text('{"log": {"entries": [')
    for name, message in (("x", "not a file that can be imported"), ("cut.har", "the HAR is cut or broken")):
        code, out, err = run(capsys, tmp_path / name, "--log", tmp_path / "log")
        assert (code, out) == (2, "")
        assert message in err.splitlines()[-1]
        assert not (tmp_path / "log").exists()


def test_of_a_gzip_that_breaks_off_what_comes_before_is_taken_and_the_rest_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = LINES.strip().splitlines()
    (tmp_path / "x.gz").write_bytes(gzip.compress(LINES.encode() * 5000)[:-20])
    code, out, err = run(capsys, tmp_path / "x.gz", "--log", tmp_path / "log")
    assert code == 0
    counts = assert_conserved(out.splitlines()[-1])
    assert counts.seen > 4000 * len(lines)
    assert 0 < counts.kept < counts.seen
    assert counts.shed["bad_record"] > 0
    assert "Traceback" not in err


def test_a_short_file_whose_gzip_breaks_off_is_still_recognised(tmp_path: Path) -> None:
    path = tmp_path / "short.gor.gz"
    path.write_bytes(gzip.compress(GOR + SEPARATOR)[:-6])
    assert recognise(path) == "gor"
    found = []
    with pytest.raises(Torn, match="damaged or cut"):
        found.extend(gor.read(path))


def test_of_a_har_in_a_gzip_that_breaks_off_the_whole_entries_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({"log": {"entries": [entry(f"http://a/{number}") for number in range(50)]}})
    (tmp_path / "x.har.gz").write_bytes(gzip.compress(text.encode())[:-20])
    code, out, err = run(capsys, tmp_path / "x.har.gz", "--log", tmp_path / "log")
    counts = assert_conserved(out.splitlines()[-1])
    assert (code, counts.kept + 1, dict(counts.shed)) == (0, counts.seen, {"bad_record": 1})
    assert 40 < counts.kept < 50
    assert f"behind record {counts.kept}: its gzip is damaged or cut" in err.splitlines()[-1]


def test_a_line_beyond_all_bounds_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from capture.log.importers import found, jsonl_lines

    monkeypatch.setattr(found, "LINE_BYTES_MAX", 1000)
    lines = [line_of(an_exchange(0)), b"{" + b"x" * 5000 + b"}\n", line_of(an_exchange(1))]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(lines))
    taken, skipped = parts(jsonl_lines.read(path))
    assert without_id(taken) == exchanges(2)
    assert [(item.place, item.code) for item in skipped] == [("line 2", "too_large")]


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
