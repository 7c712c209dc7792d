"""What the redactor remembers from one exchange to the next makes it faster and changes nothing that it finds."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange, Request, Response, Times
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.redact.clean import json_names
from capture.redact.detect import may_hold
from capture.redact.found import Found, _spellings
from capture.redact.rules import Rules
from capture.settings import RedactConfig

KEY = "AKIAQ7Z2M4K9X1B8T5W3"


def redactor() -> Redactor:
    return Redactor(RedactConfig(), Pseudonyms(b"key"))


def exchange(target: str, *headers: tuple[str, str], body: bytes = b"") -> Exchange:
    request = Request("GET", target, "HTTP/1.1", headers)
    response = Response(200, "OK", "HTTP/1.1", (("Content-Type", "text/plain"),), body, len(body))
    return Exchange("", "", "relay", 1.0, request, response, Times(1))


def test_a_target_that_was_clean_is_redacted_once_a_part_of_it_is_known_as_a_secret() -> None:
    redact = redactor().redact
    token = "Zm9vYmFy12345678"
    plain = exchange(f"/orders/{token}")
    assert redact(plain) is plain
    assert redact(plain) is plain
    redact(exchange("/", ("Authorization", f"Bearer {token}")))
    made = redact(plain).request.target
    assert token not in made
    assert made.startswith("/orders/")
    assert len(made) == len(plain.request.target)


def test_what_one_exchange_met_says_nothing_about_the_next() -> None:
    redact = redactor().redact
    clean, secret = exchange("/items?page=2"), exchange("/items?token=Tr0ub4dor")
    for _ in range(2):
        assert redact(clean) is clean
        assert redact(secret).redacted == ("request.query:token",)
    assert redact(clean) is clean


@pytest.mark.parametrize("name", ["x-plain", "X-Request-Id", "accept"])
def test_a_header_that_was_ordinary_a_hundred_times_is_still_searched(name: str) -> None:
    redact = redactor().redact
    for n in range(100):
        plain = exchange("/", (name, f"v{n}"))
        assert redact(plain) is plain
    assert redact(exchange("/", (name, KEY))).redacted == (f"request.header:{name.lower()}(api_key)",)
    assert redact(exchange("/", (name, "a@b.example"))).redacted == (f"request.header:{name.lower()}(email)",)


def test_a_secret_header_stays_one_however_often_it_was_harmless() -> None:
    redact = redactor().redact
    for n in range(100):
        assert redact(exchange("/", ("X-Api-Key", f"{n}"))).request.headers != (("X-Api-Key", f"{n}"),)


@pytest.mark.parametrize("before", range(8))
@pytest.mark.parametrize("key", [KEY, "eyJhbGciOi123456", "SG" + ".abcdefghij_klmno" * 2])
def test_a_long_word_is_seen_behind_any_number_of_bytes(before: int, key: str) -> None:
    assert may_hold(b"." * before + key.encode() + b" and more")
    body = exchange("/", body=("." * before + " " + KEY).encode())
    made = redactor().redact(body).response
    assert made is not None
    assert KEY.encode() not in (made.body or b"")


@pytest.mark.parametrize(
    "target", ["/a/eyJhbGciOi123456", "/?q=4111111111111111", "/?pin=1", "/a?b=c&sid=d", "/?m=a%40b.example"]
)
def test_only_short_parts_make_a_target_plain(target: str) -> None:
    sought = ("/a/eyJhbGciOi123456",)  # a word of this form alone is no token
    assert (redactor().redact(exchange(target)).request.target == target) == (target in sought)


@given(
    st.recursive(
        st.one_of(st.integers(), st.text(max_size=8), st.none()),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text('abc_"\\:, é', max_size=4), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_no_name_of_a_json_text_is_missed(value: object) -> None:
    body = json.dumps(value, ensure_ascii=False).encode()
    if b"\\" in body or b" :" in body:
        return
    names = json_names(body)
    # Colons at the start of a name are no part of any word in it.
    assert names is None or all_names(value) <= {name.lstrip(b":") for name in names} | {b""}


def all_names(value: object) -> set[bytes]:
    if isinstance(value, dict):
        return {name.encode().lstrip(b":") for name in value}.union(*map(all_names, value.values()))
    return set().union(*map(all_names, value)) if isinstance(value, list) else set()


def test_the_record_without_secrets_is_the_same_object() -> None:
    plain = exchange("/items", ("Accept", "*/*"), body=b"a lamp")
    assert redactor().redact(plain) is plain
    assert msgspec.structs.asdict(plain)["redacted"] == ()


def test_an_identifier_among_the_claims_of_a_token_has_the_same_pseudonym_in_a_path() -> None:
    account = "550e8400-e29b-41d4-a716-446655440000"
    claims = base64.urlsafe_b64encode(json.dumps({"sub": account, "scope": "read write"}).encode()).decode().rstrip("=")
    token = f"eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJl"
    redact = redactor().redact
    beside = redact(exchange(f"/accounts/{account}", ("Authorization", f"Bearer {token}")))
    made = beside.request.headers[0][1].removeprefix("Bearer ").split(".")[1]
    pseudonym = json.loads(base64.urlsafe_b64decode(made + "==="))["sub"]
    assert pseudonym != account
    assert beside.request.target == f"/accounts/{pseudonym}"
    assert redact(exchange(f"/accounts/{account}/cards")).request.target == f"/accounts/{pseudonym}/cards"


def test_the_id_of_an_application_among_the_claims_of_a_token_stays_as_its_other_requests_have_it() -> None:
    client = "0oa1b2c3d4e5f6g7h8i9"
    claims = base64.urlsafe_b64encode(json.dumps({"aud": ["api", client], "azp": client}).encode()).decode().rstrip("=")
    token = ("Authorization", f"Bearer eyJhbGciOiJIUzI1NiJ9.{claims}.c2lnbmF0dXJl")
    assert redactor().redact(exchange(f"/apps/{client}", token)).request.target == f"/apps/{client}"


@given(
    st.lists(
        st.sampled_from(["Tr0ub4dor+9f8e", "a1b2c3d4e5f6", "p%41ss w0rd/9", 'say "x1y2z3"', "geheim-1é"]), min_size=1
    ),
    st.sampled_from(["{}", "x{}", "-{}-", "{}="]),
    st.sampled_from(
        [
            str,
            lambda text: quote(text, safe=""),
            lambda text: base64.b64encode(text.encode()).decode(),
            lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
            lambda text: json.dumps(text)[1:-1],
        ]
    ),
    st.booleans(),
)
def test_the_spellings_that_are_sought_are_all_that_stand_somewhere(
    secrets: list[str], around: str, spelt: Callable[[str], str], in_body: bool
) -> None:
    found = Found(Rules(RedactConfig()), Pseudonyms(b"key"))
    for secret in secrets:
        found.replace(secret, "header:x")
    text = " ".join(around.format(spelt(secret)) for secret in secrets)
    sought = found.spellings("", text.encode()) if in_body else found.spellings(text, b"")
    every = [pair for secret in found.sought for pair in _spellings(secret, found.sought[secret])]
    assert found.seek(text, "body", sought) == found.seek(text, "body", every)


def test_secrets_that_stand_nowhere_else_are_not_sought() -> None:
    found = Found(Rules(RedactConfig()), Pseudonyms(b"key"))
    made = found.replace("a1b2c3d4e5f6", "header:x")
    assert found.spellings(f"now {made}", made.encode()) == []
    assert ("a1b2c3d4e5f6", made) in found.spellings("", b"again a1b2c3d4e5f6")
