"""Verifier and challenge of PKCE (RFC 7636) are replaced by a pair that fits, wherever they stand."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.pseudonym import Pseudonyms, s256
from capture.redact import Redactor
from capture.settings import RedactConfig

# The example of RFC 7636 appendix B.
VERIFIER, CHALLENGE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
HTML = ("Content-Type", "text/html")
PARTS = ("Content-Type", "multipart/form-data; boundary=B")
FOUND = re.compile(r"[A-Za-z0-9_-]{43}")


def redacted(request: Request, response: Response | None = None, **rules: object) -> Exchange:
    config = RedactConfig(**rules)  # type: ignore[arg-type]
    return Redactor(config, Pseudonyms(b"k" * 32)).redact(Exchange("1", "s", "relay", 1.0, request, response, Times(1)))


def asked(target: str, *headers: tuple[str, str], body: str = "") -> Request:
    return Request("POST" if body else "GET", target, "HTTP/1.1", headers, body.encode(), len(body))


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def verifier() -> str:
    """What the verifier becomes in a form."""
    body = redacted(asked("/token", FORM, body=f"code_verifier={VERIFIER}&x=1")).request.body
    found = FOUND.search((body or b"").decode())
    assert found is not None
    return found[0]


def test_the_challenge_is_that_of_the_rfc() -> None:
    assert s256(VERIFIER) == CHALLENGE


@given(st.text("ABCxyz019-._~", min_size=43, max_size=128), st.binary(min_size=1, max_size=40))
def test_the_pseudonyms_of_a_pair_are_a_pair(secret: str, key: bytes) -> None:
    made = Pseudonyms(key)
    challenge = challenge_of(secret)
    new = made.pkce_verifier(challenge)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", new)
    assert made.pkce_challenge(challenge) == challenge_of(new)
    assert new != secret


QUERY = f"response_type=code&client_id=app&code_challenge={CHALLENGE}&code_challenge_method=S256"


@pytest.mark.parametrize(
    "request_",
    [
        asked(f"/authorize?{QUERY}"),
        asked("/par", FORM, body=QUERY),
        asked("/par", JSON, body=f'{{"code_challenge": "{CHALLENGE}", "code_challenge_method": "S256"}}'),
        asked(
            "/par",
            PARTS,
            body=f'--B\r\nContent-Disposition: form-data; name="code_challenge"\r\n\r\n{CHALLENGE}\r\n--B--',
        ),
        asked("/login?next=" + "%2Fauthorize%3F" + QUERY.replace("=", "%3D").replace("&", "%26")),
        asked("/x", ("Referer", f"https://idp.example/authorize?{QUERY}")),
    ],
)
def test_a_challenge_becomes_that_of_the_new_verifier_wherever_it_stands(request_: Request) -> None:
    made = redacted(request_).request
    text = "\n".join((made.target, *(value for _, value in made.headers), (made.body or b"").decode()))
    assert CHALLENGE not in text
    assert challenge_of(verifier()) in text


@pytest.mark.parametrize(
    "response",
    [
        Response(302, "", "HTTP/1.1", (("Location", f"https://idp.example/authorize?{QUERY}"),)),
        Response(
            200,
            "",
            "HTTP/1.1",
            (HTML,),
            f'<form><input type="hidden" name="code_challenge" value="{CHALLENGE}">'.encode(),
        ),
        Response(200, "", "HTTP/1.1", (HTML,), f'<a href="/authorize?{QUERY.replace("&", "&amp;")}">go</a>'.encode()),
    ],
)
def test_a_challenge_in_an_answer_becomes_the_same(response: Response) -> None:
    made = redacted(asked("/"), response).response
    assert made is not None
    text = "\n".join((*(value for _, value in made.headers), (made.body or b"").decode()))
    assert CHALLENGE not in text
    assert challenge_of(verifier()) in text


@pytest.mark.parametrize(
    "request_",
    [
        asked("/token", JSON, body=f'{{"grant_type": "authorization_code", "code_verifier": "{VERIFIER}"}}'),
        asked("/token", JSON, body=f'{{"codeVerifier": "{VERIFIER}"}}'),
        asked(f"/token?code_verifier={VERIFIER}"),
    ],
)
def test_a_verifier_becomes_the_same_wherever_it_stands(request_: Request) -> None:
    made = redacted(request_).request
    assert verifier() in f"{made.target}{(made.body or b'').decode()}"


def test_a_long_verifier_becomes_one_that_fits_its_challenge() -> None:
    secret = "Az09-._~" * 16
    body = redacted(asked("/token", FORM, body=f"code_verifier={secret}")).request.body or b""
    target = redacted(asked(f"/authorize?code_challenge={challenge_of(secret)}")).request.target
    assert target == f"/authorize?code_challenge={challenge_of(body.decode().partition('=')[2])}"


def test_where_a_rule_keeps_verifiers_challenges_stay_too() -> None:
    for keep in ("form:code_verifier", "query:code_verifier", "json:$.code_verifier", "json:code_verifier"):
        assert redacted(asked(f"/authorize?{QUERY}"), keep=(keep,)).request.target == f"/authorize?{QUERY}"


def test_what_is_neither_is_replaced_as_any_secret() -> None:
    made = redacted(asked("/authorize?code_challenge=short1234&code_challenge_method=plain")).request.target
    assert "short1234" not in made
    assert made.endswith("&code_challenge_method=plain")
    assert re.fullmatch(r"/authorize\?code_challenge=[a-z]{5}\d{4}&code_challenge_method=plain", made)
