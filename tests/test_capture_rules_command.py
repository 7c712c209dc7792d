"""`capture rules` shows what would be kept and never the secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capture.config import Settings
from capture.errors import BadInput, UsageError
from capture.exchange import Exchange, Request, Response, Times
from capture.log.jsonl import line_of
from capture.rules_command import rules

REQUEST = "POST /login?token=tok-en-77 HTTP/1.1\nHost: shop\nX-Api-Key: key-key-99\n\n{'password': 'hunter22'}\n"


def run(*words: str, settings: Settings | None = None) -> Result:
    return CliRunner().invoke(rules, list(words), obj=settings or Settings(), catch_exceptions=False)


def test_a_plain_request_is_shown_with_pseudonyms_and_places(tmp_path: Path) -> None:
    path = tmp_path / "one.http"
    path.write_text(REQUEST)
    result = run("--try", str(path))
    assert result.exit_code == 0
    for secret in ("tok-en-77", "key-key-99", "hunter22"):
        assert secret not in result.output
    for place in ("request.query:token", "request.header:x-api-key", "request.json:$['password']"):
        assert f"replaced {place}" in result.output
    assert "Host: shop" in result.output
    assert "1 exchanges, 1 with something replaced" in result.stderr


def test_a_plain_response_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "one.http"
    path.write_bytes(b"HTTP/1.1 200 OK\r\nSet-Cookie: sid=abc-123-xyz; Path=/\r\n\r\nhello")
    result = run("--try", str(path))
    assert "abc-123-xyz" not in result.output
    assert "replaced response.cookie:sid" in result.output


def test_our_jsonl_is_read_and_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    request = Request("GET", "/", "HTTP/1.1", (("Authorization", "Bearer tok-en-77"),))
    response = Response(200, "OK", "HTTP/1.1", (), b"fine", 4)
    path.write_bytes(line_of(Exchange("1", "s", "relay", 1.0, request, response, Times(1, 2, 3, 4))))
    result = run("--try", str(path), "--format", "jsonl")
    record = json.loads(result.stdout)
    assert record["redacted"] == ["request.header:authorization"]
    assert record["request"]["headers"][0][1] != "Bearer tok-en-77"


def test_rules_of_the_configuration_are_used(tmp_path: Path) -> None:
    path = tmp_path / "one.http"
    path.write_text(REQUEST)
    settings = Settings(tables={"redact": {"keep": ["query:token", "header:x-api-key", "json:$.password"]}})
    result = run("--try", str(path), settings=settings)
    assert "tok-en-77" in result.output
    assert "nothing replaced" in result.output


def test_without_a_file_the_rules_are_printed() -> None:
    result = run(settings=Settings(tables={"redact": {"keep": ["detector:email"], "fields": ["nickname"]}}))
    assert "mode      default" in result.output
    assert "fields    nickname" in result.output
    assert "email" not in result.output.partition("detectors")[2]


def test_terminal_control_characters_are_not_printed(tmp_path: Path) -> None:
    path = tmp_path / "one.http"
    path.write_bytes(b"GET /\x1b[2J HTTP/1.1\r\nX: \x1b]0;title\x07\r\n\r\n")
    assert "\x1b" not in run("--try", str(path)).output


def test_a_rule_that_is_not_understood_is_one_line() -> None:
    with pytest.raises(UsageError, match="did you mean 'header'"):
        run(settings=Settings(tables={"redact": {"keep": ["haeder:x"]}}))


def test_files_that_hold_no_exchange_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such file"):
        run("--try", str(tmp_path / "none"))
    path = tmp_path / "some.txt"
    path.write_text("just text")
    with pytest.raises(BadInput, match="not a file that can be imported"):
        run("--try", str(path))
    path.write_text("GET / HTTP/1.1\nnot a field\n\n")
    with pytest.raises(BadInput, match="no header field"):
        run("--try", str(path))
