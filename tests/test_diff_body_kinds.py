"""What kind of content a body is."""

from __future__ import annotations

import pytest

from diff.body.kinds import kind_of, magic, parse_content_type


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", "json"),
        ("Application/JSON; charset=utf-8", "json"),
        ("application/problem+json", "json"),
        ("application/vnd.api+json; version=2", "json"),
        ("application/x-ndjson", "ndjson"),
        ("text/event-stream", "events"),
        ("text/html", "html"),
        ("application/xhtml+xml", "xml"),
        ("application/atom+xml", "xml"),
        ("image/svg+xml", "xml"),
        ("application/x-www-form-urlencoded", "form"),
        ("multipart/form-data; boundary=x", "multipart"),
        ("multipart/byteranges; boundary=x", "multipart"),
        ("text/css", "text"),
        ("text/csv", "text"),
        ("application/javascript", "text"),
        ("application/x-protobuf", "protobuf"),
        ("application/grpc", "grpc"),
        ("application/grpc+proto", "grpc"),
        ("application/grpc-web", "grpc"),
        ("application/msgpack", "msgpack"),
        ("image/png", "binary"),
        ("application/pdf", "binary"),
    ],
)
def test_a_content_type_that_says_something_decides(content_type: str, kind: str) -> None:
    assert kind_of(content_type, b"\x00anything") == kind


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/octet-stream", "application/x-amz-json-1.1", "model/odd", "nonsense;;"],
)
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b' {"a":1}', "json"),
        (b"\xef\xbb\xbf[1]", "json"),
        (b"<?xml version='1.0'?><a/>", "xml"),
        (b"\n<!DOCTYPE HTML><p>", "html"),
        (b"<html>", "html"),
        (b"\x89PNG\r\n\x1a\nxx", "binary"),
        (b"\x00\x01", "binary"),
        ("h\0".encode("utf-16"), "text"),
        (b"plain words\n", "text"),
        (b"", "text"),
    ],
)
def test_else_the_content_decides(content_type: str | None, body: bytes, kind: str) -> None:
    if content_type == "nonsense;;":
        content_type = "application/octet-stream;;"
    assert kind_of(content_type, body) == kind


def test_a_content_type_is_taken_apart() -> None:
    parsed = parse_content_type('Multipart/Form-Data; Boundary="a;B"; charset=UTF-8')
    assert (parsed.media_type, parsed.parameters["boundary"], parsed.charset) == ("multipart/form-data", "a;B", "utf-8")
    assert parse_content_type(None).media_type == ""
    assert parse_content_type("x" * 2000).media_type == ""


def test_first_bytes_tell_common_types() -> None:
    assert magic(b"RIFF\0\0\0\0WEBPVP8") == "image/webp"
    assert magic(b"\0\0\0\x18ftypmp42") == "video/mp4"
    assert magic(b"%PDF-1.7") == "application/pdf"
    assert magic(b"hello") is None
