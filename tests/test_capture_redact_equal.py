"""What redaction leaves alone: equal secrets stay equal, and all that is no secret stays as it was."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from html import unescape
from urllib.parse import quote, unquote

import pytest

from capture.exchange import Exchange, Response, Times
from capture.pipeline import pipeline_from_config
from capture.settings import CaptureConfig, RedactConfig
from tests.support.redaction import FORM, JSON, KEY, TEXT, S, answered, asked, through


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
