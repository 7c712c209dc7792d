"""Envoy's tap traces, buffered and streamed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from capture.log.importers import envoy
from capture.sources.files import recognise
from tests.support.importing import parts


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
