"""No secret passes the pipeline, whatever it is and wherever it stands."""

from __future__ import annotations

import base64
import gzip
import json
import sys
import zlib
from urllib.parse import quote

import brotli
import pytest

from capture.exchange import Request, Response
from tests.support.redaction import FORM, JSON, JWT, MAIL, TEXT, S, answered, asked, spellings, through, written

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PEM_LINE = "MIIEpAIBAAKCAQEAzW7Qk1yv0d3Fh5sJ0q3k2n9Zb8xY7wV6uT5rS4qP3oN2mL1k"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_LINE}\n-----END RSA PRIVATE KEY-----"


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
