"""No secret passes the pipeline, whatever it is and wherever it stands; equal ones stay equal; the rest stays."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from html import unescape
from urllib.parse import quote, quote_plus, unquote

import brotli
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.errors import UsageError
from capture.exchange import Exchange, Headers, Request, Response, Times
from capture.pipeline import pipeline_from_config
from capture.redact import Redactor
from capture.settings import CaptureConfig, RedactConfig

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KEY = CaptureConfig(redaction_key="0123456789abcdef0123456789abcdef", session_key=("cookie:sid",))
S = "Zq8xW3vK7mP2"
JWT = (
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI5OTg4Nzc2NiIsIm4iOiJKb2huIERvZSJ9.SflKxwRJSMeKKF2QT4fwpMeJf36POk6y"
)
PEM_LINE = "MIIEpAIBAAKCAQEAzW7Qk1yv0d3Fh5sJ0q3k2n9Zb8xY7wV6uT5rS4qP3oN2mL1k"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_LINE}\n-----END RSA PRIVATE KEY-----"
MAIL = "anna.secret@example.com"
JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


def asked(target: str = "/", *headers: tuple[str, str], body: bytes | str | dict[str, object] = b"") -> Request:
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return Request("POST" if data else "GET", target, "HTTP/1.1", headers, data, len(data))


def answered(
    *headers: tuple[str, str], body: bytes | str | dict[str, object] = b"", trailers: Headers = ()
) -> Response:
    data = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
    return Response(200, "OK", "HTTP/1.1", headers, data, len(data), trailers=trailers)


def through(request: Request, response: Response | None = None, **rules: object) -> Exchange:
    """The record that the pipeline hands to the log."""
    taken: list[Exchange] = []
    pipeline = pipeline_from_config(KEY, RedactConfig(**rules), taken.append)  # type: ignore[arg-type]
    decision = pipeline.begin(request, "10.0.0.1", 1)
    assert decision is not None
    pipeline.finish(Exchange("", "", "relay", 1.0, request, response, Times(1)), decision)
    assert pipeline.counts.kept == 1, pipeline.counts.line()
    return taken[0]


def spellings(secret: str) -> set[bytes]:
    """The ways in which a secret could be written on disk."""
    coded = base64.b64encode(secret.encode()).decode()
    forms = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), json.dumps(secret)[1:-1]}
    forms |= {coded, coded.rstrip("="), coded.replace("+", "-").replace("/", "_")}
    return {form.encode() for form in forms} | {secret.encode("utf-16-le")}


def written(exchange: Exchange) -> bytes:
    """Everything that reaches the disk, bodies also decoded."""
    parts = [msgspec.msgpack.encode(exchange)]
    for message in (exchange.request, exchange.response):
        if message is not None and message.body:
            for decode in (gzip.decompress, zlib.decompress, brotli.decompress, zstd.decompress):
                try:
                    parts.append(decode(message.body))
                except (OSError, zlib.error, brotli.error, zstd.ZstdError, EOFError):
                    continue
    return b"\n".join(parts)


def multipart(*parts: tuple[str, str, str]) -> bytes:
    made = ""
    for name, content_type, text in parts:
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        made += f'--XyZ\r\nContent-Disposition: form-data; name="{name}"\r\n{kind}\r\n{text}\r\n'
    return f"{made}--XyZ--\r\n".encode()


Case = tuple[str, Request, Response | None]
CASES: dict[str, Case] = {
    "bearer token": (S, asked("/", ("Authorization", f"Bearer {S}")), None),
    "basic password": (
        S,
        asked("/", ("authorization", f"Basic {base64.b64encode(f'anna:{S}'.encode()).decode()}")),
        None,
    ),
    "basic user": (S, asked("/", ("Authorization", f"Basic {base64.b64encode(f'{S}:x'.encode()).decode()}")), None),
    "digest response": (
        "dcd98b7102dd2f0e8b11d0f600bfb0c0",
        asked("/", ("Authorization", 'Digest username="m", uri="/", response="dcd98b7102dd2f0e8b11d0f600bfb0c0"')),
        None,
    ),
    "request signature": (
        "fe5f80f77d5fa3beca038a248ff027d0",
        asked(
            "/", ("Authorization", "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=fe5f80f77d5fa3beca038a248ff027d0")
        ),
        None,
    ),
    "proxy password": (S, asked("/", ("Proxy-Authorization", f"Bearer {S}")), None),
    "api key header": (S, asked("/", ("X-API-Key", S)), None),
    "header that ends in auth": (S, asked("/", ("X-Devpi-Auth", S)), None),
    "csrf header": (S, asked("/", ("X-CSRF-Token", S)), None),
    "header with a telling name": (S, asked("/", ("X-Internal-Secret", S)), None),
    "trailer": (S, asked(), answered(body="x", trailers=(("X-Auth-Token", S),))),
    "any cookie": (S, asked("/", ("Cookie", f"theme=dark; odd={S}")), None),
    "set-cookie": (S, asked(), answered(("Set-Cookie", f"id={S}; Path=/; HttpOnly"))),
    "websocket protocol": (S, asked("/", ("Sec-WebSocket-Protocol", f"chat, {S}")), None),
    "address in referer": (S, asked("/", ("Referer", f"https://bob:{S}@host/x")), None),
    "code in location": (S, asked(), answered(("Location", f"https://app/cb?code={S}&state=1"))),
    "token in fragment": (S, asked(), answered(("Location", f"https://app/cb#access_token={S}"))),
    "query token": (S, asked(f"/a?x=1&access_token={S}"), None),
    "query with an encoded name": (S, asked(f"/a?pass%77ord={S}"), None),
    "query in a query": (S, asked("/go?next=" + quote(f"/cb?token={S}", safe="")), None),
    "signed url": (S + "+/=", asked(f"/blob?sv=1&sig={quote(S + '+/=', safe='')}"), None),
    "path parameter": (S, asked(f"/a;jsessionid={S}?x=1"), None),
    "token as a path segment": (JWT, asked(f"/verify/{JWT}"), None),
    "card in the path": ("4111111111111111", asked("/cards/4111111111111111/x"), None),
    "e-mail in the query": (MAIL, asked(f"/find?q={quote(MAIL, safe='')}"), None),
    "e-mail in a header": (MAIL, asked("/", ("User-Agent", f"bot ({MAIL})")), None),
    "token as a header name": (JWT, asked("/", (JWT, "x")), None),
    "json password": (S, asked("/", JSON, body={"user": "a", "password": S}), None),
    "json under credentials": (S, asked("/", JSON, body={"a": [{"credentials": {"x": S}}]}), None),
    "json with an escaped name": (S, asked("/", JSON, body='{"pass\\u0077ord":"' + S + '"}'), None),
    "json with escapes in the value": ('Zq8"xW\\vK\né7', asked("/", JSON, body={"secret": 'Zq8"xW\\vK\né7'}), None),
    "json with space before colons": (S, asked("/", JSON, body=f'{{"token"\n:\n"{S}"}}'), None),
    "json pin as a number": ("48213", asked("/", JSON, body='{"pin": 48213}'), None),
    "json cut in a secret": (S, asked("/", JSON, body=f'{{"a":1,"password":"{S}'), None),
    "json without content type": (S, asked(body={"client_secret": S}), None),
    "json said to be text": (S, asked("/", TEXT, body={"client_secret": S}), None),
    "json in utf-16": (
        S,
        asked(
            "/", ("Content-Type", "application/json; charset=utf-16le"), body=f'{{"token":"{S}"}}'.encode("utf-16le")
        ),
        None,
    ),
    "json in a json string": (S, asked("/", JSON, body={"payload": json.dumps({"token": S})}), None),
    "json name and value": (S, asked("/", JSON, body={"headers": [{"name": "Authorization", "value": S}]}), None),
    "graphql argument": (S, asked("/", JSON, body={"query": f'mutation {{ login(password: "{S}") {{ id }} }}'}), None),
    "address in json": (S, asked("/", JSON, body={"db": f"postgres://bob:{S}@db/x"}), None),
    "card as a json number": ("5555555555554444", asked("/", JSON, body='{"n": 5555555555554444}'), None),
    "card with spaces": ("5555 5555 5555 4444", asked("/", JSON, body={"n": "pay 5555 5555 5555 4444 now"}), None),
    "card with dashes": ("3782-822463-10005", asked("/", JSON, body={"n": "3782-822463-10005"}), None),
    "card as a json name": ("4111111111111111", asked("/", JSON, body={"4111111111111111": 1}), None),
    "iban": ("DE89370400440532013000", asked("/", JSON, body={"to": "DE89370400440532013000"}), None),
    "iban with spaces": ("NL91 ABNA 0417 1643 00", asked("/", JSON, body={"to": "NL91 ABNA 0417 1643 00"}), None),
    "social security number": ("123-45-6789", asked("/", JSON, body={"ssn": "123-45-6789"}), None),
    "private key in text": (PEM_LINE, asked(), answered(TEXT, body=PEM)),
    "private key in json": (PEM_LINE, asked(), answered(JSON, body={"file": PEM})),
    "cloud access key": ("AKIAIOSFODNN7EXAMPLE", asked(), answered(JSON, body={"id": "AKIAIOSFODNN7EXAMPLE"})),
    "forge token": (
        "ghp_16C7e42F292c6912E7710c838347",
        asked(),
        answered(TEXT, body="ghp_16C7e42F292c6912E7710c838347"),
    ),
    "javascript object": (S, asked("/", JSON, body=f"{{password: '{S}', x: 1}}"), None),
    "json lines": (
        S,
        asked("/", ("Content-Type", "application/x-ndjson"), body=f'{{"a":1}}\n{{"token":"{S}"}}\n'),
        None,
    ),
    "server-sent event": (
        S,
        asked(),
        answered(("Content-Type", "text/event-stream"), body=f'event: x\ndata: {{"token":"{S}"}}\n\n'),
    ),
    "form password": (S, asked("/", FORM, body=f"user=a&password={S}"), None),
    "form with brackets": (S, asked("/", FORM, body=f"user%5Bpassword%5D={S}"), None),
    "form with spaces": ("Zq8x W3vK 7mP2", asked("/", FORM, body="password=Zq8x+W3vK+7mP2"), None),
    "multipart field": (
        S,
        asked("/", ("Content-Type", "multipart/form-data; boundary=XyZ"), body=multipart(("password", "", S))),
        None,
    ),
    "json in multipart": (
        S,
        asked(
            "/",
            ("Content-Type", 'multipart/form-data; boundary="XyZ"'),
            body=multipart(("doc", "application/json", f'{{"token":"{S}"}}')),
        ),
        None,
    ),
    "xml element": (S, asked("/", ("Content-Type", "text/xml"), body=f"<a><w:Password>{S}</w:Password></a>"), None),
    "xml attribute": (S, asked("/", ("Content-Type", "text/xml"), body=f"<a apiKey='{S}'/>"), None),
    "xml cdata": (S, asked("/", ("Content-Type", "text/xml"), body=f"<a><token><![CDATA[{S}]]></token></a>"), None),
    "html form field": (
        S,
        asked(),
        answered(("Content-Type", "text/html"), body=f"<form><input name=csrf_token value={S}></form>"),
    ),
    "html meta": (S, asked(), answered(("Content-Type", "text/html"), body=f'<meta name="csrf-token" content="{S}">')),
    "html script": (
        S,
        asked(),
        answered(("Content-Type", "text/html"), body=f'<script>if (a<b) {{c = {{"apiKey": "{S}"}}}}</script>'),
    ),
    "environment file": (S, asked(), answered(TEXT, body=f"DB_PASSWORD={S}\nX=1\n")),
    "yaml": (S, asked("/", ("Content-Type", "application/yaml"), body=f"user: a\npassword: {S}\n"), None),
    "table column": (S, asked(), answered(("Content-Type", "text/csv"), body=f'user,password\na,"{S}"\n')),
    "token in text": (JWT, asked(), answered(TEXT, body=f"use {JWT} now")),
    "e-mail in binary": (
        MAIL,
        asked("/", ("Content-Type", "application/grpc"), body=b"\0\0\0\0\x1c\n\x17" + MAIL.encode()),
        None,
    ),
    "gzip": (
        S,
        asked(),
        answered(JSON, ("Content-Encoding", "gzip"), body=gzip.compress(f'{{"token":"{S}"}}'.encode())),
    ),
    "deflate": (
        S,
        asked(),
        answered(JSON, ("Content-Encoding", "deflate"), body=zlib.compress(f'{{"token":"{S}"}}'.encode())),
    ),
    "brotli": (
        S,
        asked(),
        answered(JSON, ("Content-Encoding", "br"), body=brotli.compress(f'{{"token":"{S}"}}'.encode())),
    ),
    "zstd": (
        S,
        asked(),
        answered(JSON, ("Content-Encoding", "zstd"), body=zstd.compress(f'{{"token":"{S}"}}'.encode())),
    ),
    "two codings": (
        S,
        asked(),
        answered(
            JSON,
            ("Content-Encoding", "gzip, br"),
            body=brotli.compress(gzip.compress(f'{{"token":"{S}"}}'.encode())),
        ),
    ),
    "coding that is a lie": (S, asked(), answered(JSON, ("Content-Encoding", "gzip"), body={"token": S})),
    "coding that is not known": (S, asked(), answered(JSON, ("Content-Encoding", "compress"), body={"token": S})),
    "echo in base64": (
        S,
        asked("/", ("Authorization", f"Bearer {S}")),
        answered(JSON, body={"data": base64.b64encode(S.encode()).decode()}),
    ),
    "echo percent-encoded": (
        S + "/ü",
        asked("/", JSON, body={"password": S + "/ü"}),
        answered(("X-Next", "/x?y=" + quote(S + "/ü", safe=""))),
    ),
    "echo in a page": (S, asked(f"/x?token={S}"), answered(("Content-Type", "text/html"), body=f"<p>hello {S}</p>")),
    "echo in a compressed page": (
        S,
        asked(f"/x?token={S}"),
        answered(TEXT, ("Content-Encoding", "gzip"), body=gzip.compress(f"hello {S}".encode())),
    ),
    "cookie with a secret name": ("4111111111111111", asked("/", ("Cookie", "4111111111111111=abc-def-ghi1")), None),
    "xml name and value": (
        S,
        asked(
            "/", ("Content-Type", "text/xml"), body=f"<m><name>password</name><value><string>{S}</string></value></m>"
        ),
        None,
    ),
    "json in a form": (S, asked("/", FORM, body="payload=" + quote(json.dumps({"token": S}))), None),
    "json in the query": (S, asked("/x?q=" + quote(json.dumps({"token": S}))), None),
    "json in base64": (
        S,
        asked("/", JSON, body={"data": base64.b64encode(json.dumps({"password": S}).encode()).decode()}),
        None,
    ),
    "connection string": (S, asked("/", JSON, body={"cs": f"Server=x;User Id=sa;Pwd={S};"}), None),
    "json in latin-1": (
        "Zq8é8W3vK7",
        asked(
            "/", ("Content-Type", "application/json; charset=iso-8859-1"), body='{"pwd":"Zq8é8W3vK7"}'.encode("latin-1")
        ),
        None,
    ),
    "json in escapes": (S, asked("/", JSON, body='{"token":"' + "".join(f"\\u{ord(c):04x}" for c in S) + '"}'), None),
    "command line": (S, asked(), answered(TEXT, body=f"run --password {S} now")),
    "address in the target": (S, asked(f"http://bob:{S}@host/x?y=1"), None),
    "attribute of a cookie": (MAIL, asked(), answered(("Set-Cookie", f"a=b; Comment={MAIL}"))),
    "forwarded authorization": (S, asked("/", ("X-Forwarded-Authorization", f"Bearer {S}")), None),
    "link header": (S, asked(), answered(("Link", f"<https://x.y/p?page_token={S}>; rel=next"))),
    "after a comma": (S, asked("/", ("Baggage", f"user=ann,token={S}")), None),
    "quoted parameter": (S, asked(), answered(("WWW-Authenticate", f'Bearer realm="x", token="{S}"'))),
    "json in a header": (S, asked("/", ("X-Client", json.dumps({"token": S}))), None),
    "cookie without a name": (S, asked("/", ("Cookie", S)), None),
    "set-cookie without a name": (S, asked(), answered(("Set-Cookie", f"{S}; Path=/"))),
    "set-cookie in a text": (S, asked(), answered(TEXT, body=f"< Set-Cookie: x={S}; Path=/")),
    "event over several lines": (
        S,
        asked(),
        answered(("Content-Type", "text/event-stream"), body=f'data: {{"a":1,\ndata: "token":"{S}"}}\n\n'),
    ),
    "section of an ini file": (S, asked(), answered(TEXT, body=f"[db]\npassword = {S}\n")),
    "toml": (S, asked(), answered(("Content-Type", "application/toml"), body=f'[db]\npassword = "{S}"\n')),
    "gzip that nobody declares": (
        S,
        asked(),
        answered(("Content-Type", "application/gzip"), body=gzip.compress(json.dumps({"token": S}).encode())),
    ),
    "reset link": ("Zq8xW3vK7mP2Zq8x", asked("/account/reset/Zq8xW3vK7mP2Zq8x"), None),
    "link to verify in json": (
        "Zq8xW3vK7mP2Zq8x",
        asked(),
        answered(JSON, body={"url": "https://a.example/verify-email/Zq8xW3vK7mP2Zq8x"}),
    ),
    "markup in json": (S, asked(), answered(JSON, body={"html": f"<p><token>{S}</token>"})),
    "name and colon in json": (S, asked(), answered(JSON, body={"log": f"DB_PASSWORD: {S}"})),
    "json in an attribute": (
        S,
        asked(),
        answered(("Content-Type", "text/html"), body=f'<p data-p="{{&quot;token&quot;:&quot;{S}&quot;}}">'),
    ),
    "json in xml": (S, asked("/", ("Content-Type", "text/xml"), body=f'<a>{{"token":"{S}"}}</a>'), None),
    "json patch": (S, asked("/", JSON, body={"op": "replace", "path": "/password", "value": S}), None),
    "pair in a query value": (S, asked(f"/find?page=2&q=password={S}"), None),
    "pair in a path": (S, asked(f"/find/password={S}/2"), None),
    "pair in a form value": (S, asked("/", FORM, body=f"page=2&q=password={S}"), None),
    "reset link in capitals": ("a1b2c3d4e5f6g7h8", asked("/", JSON, body={"go": "/RESET/a1b2c3d4e5f6g7h8"}), None),
    "password is": (S, asked(), answered(TEXT, body=f"Your password is: {S}")),
    "smtp pass": (S, asked("/", JSON, body={"smtp_pass": S}), None),
    "html attribute": (S, asked(), answered(("Content-Type", "text/html"), body=f'<div data-token="{S}">')),
}


@pytest.mark.parametrize("name", CASES)
def test_no_spelling_of_a_secret_is_written(name: str) -> None:
    secret, request, response = CASES[name]
    record = through(request, response)
    on_disk = written(record)
    for form in spellings(secret):
        assert form not in on_disk, (form, record)
    assert record.redacted


@pytest.mark.parametrize("name", CASES)
def test_strict_mode_writes_no_secret_either(name: str) -> None:
    secret, request, response = CASES[name]
    on_disk = written(through(request, response, mode="strict"))
    assert not [form for form in spellings(secret) if form in on_disk]


def test_there_are_more_than_forty_kinds_of_secrets() -> None:
    assert len(CASES) > 40


def test_off_writes_everything() -> None:
    secret, request, response = CASES["json password"]
    record = through(request, response, mode="off")
    assert record.request == request
    assert record.redacted == ()
    assert secret.encode() in written(record)


# ---- what stays equal, and what stays as it was


def test_a_token_is_the_same_secret_in_json_header_cookie_path_query_and_form() -> None:
    token = "tok_ABCDEFGHIJKL123"
    taken: list[Exchange] = []
    pipeline = pipeline_from_config(KEY, RedactConfig(), taken.append)
    for request, response in (
        (asked("/login"), answered(("Set-Cookie", f"sid={token}; Path=/"), JSON, body={"access_token": token})),
        (asked("/me", ("Cookie", f"sid={token}"), ("Authorization", f"Bearer {token}")), answered()),
        (asked(f"/me/{token}?token={token}", FORM, body=f"token={token}"), answered()),
    ):
        decision = pipeline.begin(request, "10.0.0.1", 1)
        assert decision is not None
        pipeline.finish(Exchange("", "", "relay", 1.0, request, response, Times(1)), decision)
    login, me, last = taken
    assert login.response is not None
    made = json.loads(login.response.body or b"")["access_token"]
    assert made != token
    assert login.response.headers[0] == ("Set-Cookie", f"sid={made}; Path=/")
    assert me.request.headers == (("Cookie", f"sid={made}"), ("Authorization", f"Bearer {made}"))
    assert last.request.target == f"/me/{made}?token={made}"
    assert last.request.body == f"token={made}".encode()
    assert login.session == me.session


@pytest.mark.parametrize(
    "target",
    [
        "/b/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261127%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Date=20261127T000000Z",
        "/b/k?X-Amz-Credential=AKIAIOSFODNN7EXAMPLE/20261127/eu-west-1/s3/aws4_request",
    ],
)
def test_the_scope_of_an_aws_signature_stays_and_its_key_does_not(target: str) -> None:
    value = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261127/eu-west-1/s3/aws4_request, "
    value += "SignedHeaders=host, Signature=fe5f80f77d5fa3beca038a248ff027d0"
    request = through(asked(target, ("Authorization", value))).request
    key, *scope = unquote(request.target).partition("Credential=")[2].partition("&")[0].split("/")
    assert scope == ["20261127", "eu-west-1", "s3", "aws4_request"]
    assert key.startswith("AKIA")
    assert key != "AKIAIOSFODNN7EXAMPLE"
    assert request.headers[0][1].startswith(f"AWS4-HMAC-SHA256 Credential={key}/20261127/eu-west-1/s3/aws4_request, ")
    assert "fe5f80f77d5fa3be" not in request.headers[0][1]


def test_percent_encoded_and_plain_forms_stay_one_secret() -> None:
    secret = "Zq8x/W3 vK&7=mP"
    record = through(asked(f"/a?token={quote(secret, safe='')}", JSON, body={"token": secret}))
    made = json.loads(record.request.body or b"")["token"]
    assert unquote(record.request.target.partition("token=")[2]) == made != secret


def test_processes_with_the_same_key_agree_and_with_another_do_not() -> None:
    request = asked("/", ("X-Api-Key", S))
    other = CaptureConfig(redaction_key="another key of enough characters")
    taken: list[Exchange] = []
    pipeline = pipeline_from_config(other, RedactConfig(), taken.append)
    decision = pipeline.begin(request, "c", 1)
    assert decision is not None
    pipeline.finish(Exchange("", "", "relay", 1.0, request, None, Times(1)), decision)
    assert through(request).request == through(request).request
    assert through(request).request != taken[0].request


def test_what_has_no_secret_comes_out_as_the_same_bytes() -> None:
    body = b'{ "id" : 18446744073709551616, "a": 1.0, "a": 1e2,\t"t": [true, null, "\\u00e9"], "at": 1763900000000 }'
    request = asked("/products?page=2&sort=-price", ("Accept", "*/*"), JSON, body=body)
    response = answered(
        ("Set-Cookie", "theme=dark; Path=/"), JSON, ("Content-Encoding", "gzip"), body=gzip.compress(body)
    )
    record = through(request, response)
    assert record.request == request
    assert record.response == response
    assert record.redacted == ()
    assert record.notes == ("session fell back to client",)


def test_only_the_secret_changes_in_a_json_text() -> None:
    body = b'{ "b" : 1.0,\n  "token" : "abcdef-123456" ,"z":[ 1e5 , {"token":null} ] }'
    record = through(asked("/", JSON, body=body))
    made = record.request.body
    assert made is not None
    assert len(made) == len(body)
    assert made[:26] == body[:26]
    assert made[26:39] != body[26:39]
    assert made[39:] == body[39:]
    assert record.redacted == ("request.json:$['token']",)


def test_places_are_listed_with_exact_paths() -> None:
    record = through(
        asked("/x?token=abcdefgh&a=1", ("Cookie", "sid=abc-123-def"), ("Authorization", "Bearer zzz-111-zzz")),
        answered(JSON, body={"users": [{"a": 1}, {"api_key": "kkkkkkk1", "it's": {"password": "p1"}}]}),
    )
    assert record.redacted == (
        "request.query:token",
        "request.cookie:sid",
        "request.header:authorization",
        "response.json:$['users'][1]['api_key']",
        "response.json:$['users'][1]['it\\'s']['password']",
    )


def test_the_list_of_places_is_bounded() -> None:
    record = through(asked("/", JSON, body={"token": [f"secret-number-{n}" for n in range(500)]}))
    assert len(record.redacted) == 201
    assert record.redacted[-1] == "and 300 more"


def test_a_decoded_body_is_noted_and_its_headers_stay_as_sent() -> None:
    compressed = gzip.compress(b'{"token":"abc-123-def"}')
    headers = (JSON, ("Content-Encoding", "gzip"), ("Content-Length", str(len(compressed))))
    record = through(asked(), answered(*headers, body=compressed))
    assert record.response is not None
    assert record.response.headers == headers
    assert record.response.body_bytes == len(compressed)
    assert json.loads(record.response.body or b"")["token"] != "abc-123-def"
    assert "response body decoded: gzip" in record.notes


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


def test_cookies_that_cannot_hold_a_secret_stay_readable() -> None:
    record = through(asked("/", ("Cookie", "theme=dark; lang=en-US; consent=1; cart=0a1b2c; sid=en")))
    name, value = record.request.headers[0]
    assert value.startswith("theme=dark; lang=en-US; consent=1; cart=")
    assert "0a1b2c" not in value
    assert not value.endswith("sid=en")
    assert name == "Cookie"


def test_attributes_of_a_cookie_stay() -> None:
    record = through(asked(), answered(("Set-Cookie", 'id="abc-123-def"; Max-Age=3600; SameSite=Lax; Secure')))
    assert record.response is not None
    value = record.response.headers[0][1]
    assert value.endswith('"; Max-Age=3600; SameSite=Lax; Secure')
    assert len(value) == len('id="abc-123-def"; Max-Age=3600; SameSite=Lax; Secure')


def test_counts_and_times_are_not_taken_for_secrets() -> None:
    body = {"total_tokens": 150, "token_type": "Bearer", "expires_in": 3600, "created_ms": 1763900000000, "author": "x"}
    record = through(asked(), answered(JSON, body=body))
    assert record.redacted == ()


# ---- rules


def test_what_a_rule_keeps_stays_readable_everywhere_in_the_exchange() -> None:
    rules = (
        "header:authorization",
        "cookie:sid",
        "query:token",
        "form:password",
        "json:$.password",
        "json:$..items[*].code_key",
        "xml:secret",
        "detector:email",
    )
    kept = (
        asked("/a?token=abcdef-123", ("Authorization", "Bearer abcdef-123"), ("Cookie", "sid=abcdef-123")),
        asked("/", FORM, body="password=abcdef-123"),
        asked("/", JSON, body={"password": "abcdef-123", "mail": MAIL}),
        asked("/", ("Content-Type", "text/xml"), body="<a><secret>abcdef-123</secret></a>"),
    )
    for request in kept:
        assert through(request, keep=rules).request == request
    deeper = through(asked("/", JSON, body={"x": {"password": "abcdef-123"}}), keep=rules)
    assert deeper.redacted == ("request.json:$['x']['password']",)


def test_further_fields_and_headers_are_secret_by_rule() -> None:
    record = through(
        asked(
            "/?nickname=annabell1",
            ("X-Customer", "customer-77"),
            JSON,
            body={"a": {"nickName": "annabell1"}, "n": "b1"},
        ),
        fields=("nickname", "json:$.n"),
        headers=("X-Customer",),
    )
    assert record.redacted == (
        "request.query:nickname",
        "request.header:x-customer",
        "request.json:$['a']['nickName']",
        "request.json:$['n']",
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"keep": ("heder:x",)}, "did you mean 'header'"),
        ({"keep": ("authorization",)}, "is not KIND:NAME"),
        ({"keep": ("json:$.a[",)}, "is not a path"),
        ({"keep": ("detector:emial",)}, "did you mean 'email'"),
        ({"fields": ("$",)}, "is not a path"),
    ],
)
def test_a_rule_that_is_not_understood_is_refused(rules: dict[str, tuple[str, ...]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        through(asked(), **rules)


def test_strict_mode_keeps_only_what_is_allowed_by_name() -> None:
    record = through(
        asked(
            "/users/4711/orders?page=2&q=shoes",
            ("Host", "shop.example"),
            ("X-Custom", "readable"),
            ("Cookie", "theme=dark"),
            JSON,
            body={"name": "Anna", "age": 44, "ok": True, "city": "Izmir"},
        ),
        answered(("Content-Type", "text/html"), body="<p>Anna</p>"),
        mode="strict",
        keep=("json:$.city", "query:page"),
    )
    request, response = record.request, record.response
    assert response is not None
    assert request.target.startswith("/users/")
    assert "4711" not in request.target
    assert "page=2" in request.target
    assert "shoes" not in request.target
    assert request.headers[0] == ("Host", "shop.example")
    assert request.headers[1][1] != "readable"
    assert request.headers[2][1] != "theme=dark"
    body = json.loads(request.body or b"")
    assert list(body) == ["name", "age", "ok", "city"]
    assert body["city"] == "Izmir"
    assert body["ok"] is True
    assert body["name"] != "Anna"
    assert body["age"] != 44
    assert response.body is None
    assert "response body dropped: cannot be made safe" in record.notes


# ---- hostile input


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


def test_a_secret_is_replaced_once_however_many_rules_find_it() -> None:
    secret = "abc-123-def-456"
    record = through(
        asked("/x?api_key=" + secret, TEXT, body=f"password={secret}\nurl: https://x/?token={secret}&code={secret}"),
        answered(("Location", f"/next?code={secret}#access_token={secret}")),
    )
    assert record.response is not None
    made = record.request.target.partition("=")[2]
    assert made != secret
    assert record.request.body == f"password={made}\nurl: https://x/?token={made}&code={made}".encode()
    assert record.response.headers == (("Location", f"/next?code={made}#access_token={made}"),)


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


def test_gzip_that_nobody_declares_stays_gzip() -> None:
    body = gzip.compress(json.dumps({"token": S}).encode())
    made = through(asked(), answered(("Content-Type", "application/gzip"), body=body)).response
    assert made is not None
    assert list(json.loads(gzip.decompress(made.body or b""))) == ["token"]


def test_what_only_begins_like_gzip_is_kept_as_it_is() -> None:
    body = b"\x1f\x8b\x08 and then something else"
    made = through(asked(), answered(("Content-Type", "application/octet-stream"), body=body)).response
    assert made is not None
    assert made.body == body


def test_words_and_numbers_behind_reset_stay_readable() -> None:
    for target in (
        "/password/reset/confirm",
        "/sessions/42",
        "/verify/email",
        "/login/forgot-password",
        "/invites/all",
    ):
        assert through(asked(target)).request.target == target


def test_a_header_with_json_that_holds_no_secret_stays() -> None:
    value = '{"page": 2, "of": [3, 4]}'
    assert through(asked("/", ("X-Page", value))).request.headers == (("X-Page", value),)


_CURSOR = (
    base64.urlsafe_b64encode(b'{"last":{"n":101},"offset":4,"nonce":"page-a60e556a"}').decode().replace("=", "%3D")
)


@pytest.mark.parametrize("token", [S, _CURSOR], ids=["a word", "base64 of JSON"])
@pytest.mark.parametrize("name", ["token", "_token", "page_token", "signature"])
@pytest.mark.parametrize(
    "page",
    [
        lambda address: answered(("Link", f'<{address}>; rel="next", </a?token=x>; rel="first"')),
        lambda address: answered(("Next-Page", f"http://shop.example{address}")),
        lambda address: answered(("Location", address)),
        lambda address: answered(JSON, body={"next": f"http://shop.example{address}"}),
        lambda address: answered(("Content-Type", "text/html"), body=f'<a href="{address}">on</a>'),
    ],
    ids=["Link", "a header of its own", "Location", "JSON", "HTML"],
)
def test_the_token_of_a_link_has_the_pseudonym_that_it_has_where_the_link_is_followed(
    page: Callable[[str], Response], name: str, token: str
) -> None:
    address = f"/things?limit=3&{name}={token}"
    followed = through(asked(address)).request.target
    assert token not in followed
    response = through(asked("/things"), page(address)).response
    assert response is not None
    texts = [unescape((response.body or b"").decode()), *(value for _, value in response.headers)]
    assert any(followed in text for text in texts)
    assert not any(token in text for text in texts)
    if response.headers[0][0] == "Link":
        assert response.headers[0][1].startswith(f'<{followed}>; rel="next", </a?token=')
        assert response.headers[0][1].endswith('>; rel="first"')
