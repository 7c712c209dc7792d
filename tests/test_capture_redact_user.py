"""What credentials call a user stays readable where it is a name, and only there."""

from __future__ import annotations

import base64

import pytest

from capture.exchange import Exchange, Request, Times
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.redact.user import is_user_name
from capture.settings import RedactConfig

SECRET = "Zq8xW3vK7mP2"


def redacted(target: str, authorization: str, rules: RedactConfig | None = None) -> Request:
    request = Request("GET", target, "HTTP/1.1", (("Authorization", authorization),))
    exchange = Exchange("1", "s", "relay", 1.0, request, None, Times(1))
    return Redactor(rules or RedactConfig(), Pseudonyms(b"k")).redact(exchange).request


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def decoded(request: Request) -> tuple[str, str]:
    user, _, password = base64.b64decode(request.headers[0][1].partition(" ")[2]).decode().partition(":")
    return user, password


@pytest.mark.parametrize(
    "user",
    [
        "alice",
        "a",
        "root",
        "j.smith2",
        "Anna_Schmidt",
        "DOMAIN\\anna",
        "user42",
        "svc-backup-3",
        "100234",
        "jürgen",
        "mary jane",
        "DevOps",
        "3com",
        "christopher.featherstonehaugh",
        "team+billing",
    ],
)
def test_a_name_is_a_name(user: str) -> None:
    assert is_user_name(user, SECRET)
    assert is_user_name(user, None)


@pytest.mark.parametrize(
    "user",
    [
        "",
        "...",
        SECRET,
        "AKIAIOSFODNN7EXAMPLE",
        "a3f5c1",
        "550e8400-e29b-41d4-a716-446655440000",
        "jbswy3dpehpk3pxp",
        "kxqzwtrpvd",
        "hQmKsLpT",
        "1234567890",
        "x" * 65,
        "eyJhbGciOiJIUzI1NiJ9",
        "AC0123456789abcdef0123456789abcdef",
    ],
)
def test_what_may_be_a_key_is_no_name(user: str) -> None:
    assert not is_user_name(user, SECRET)
    assert not is_user_name(user, None)


@pytest.mark.parametrize("password", ["", "x", "X", "x-oauth-basic", "api_token", "alice", "ALICE", "lic"])
def test_beside_no_password_or_one_that_it_tells_nothing_is_a_name(password: str) -> None:
    assert not is_user_name("alice", password)


def test_the_user_of_basic_is_the_same_name_as_in_the_path_and_the_password_is_gone() -> None:
    request = redacted("/calendars/alice/work", basic(f"alice:{SECRET}"))
    user, password = decoded(request)
    assert request.target == "/calendars/alice/work"
    assert user == "alice"
    assert password != SECRET
    assert len(password) == len(SECRET)


def test_a_user_that_is_an_address_has_the_pseudonym_of_the_address_in_the_path() -> None:
    request = redacted("/mailboxes/anna@example.com/", basic(f"anna@example.com:{SECRET}"))
    user, _ = decoded(request)
    assert user != "anna@example.com"
    assert request.target == f"/mailboxes/{user}/"


@pytest.mark.parametrize("text", [f"{SECRET}:x-oauth-basic", f"{SECRET}:", "hunter:hunter", f"{SECRET}:abcdef"])
def test_a_key_in_the_place_of_the_user_is_a_secret(text: str) -> None:
    user, _ = decoded(redacted("/", basic(text)))
    assert user != text.partition(":")[0]


@pytest.mark.parametrize("rules", [RedactConfig(mode="strict"), RedactConfig(fields=("username",))])
def test_a_user_is_hidden_where_the_rules_hide_users(rules: RedactConfig) -> None:
    user, _ = decoded(redacted("/", basic(f"alice:{SECRET}"), rules))
    assert user != "alice"


def test_the_user_of_digest_stays_and_what_proves_the_password_does_not() -> None:
    value = f'Digest username="alice", realm="shop", nonce="{SECRET}", uri="/", response="{SECRET}"'
    made = redacted("/", value).headers[0][1]
    assert made.startswith('Digest username="alice", realm="shop", nonce="')
    assert SECRET not in made


def test_the_key_of_a_user_is_the_same_secret_as_where_it_stands_alone() -> None:
    alone = redacted("/", f"Bearer {SECRET}").headers[0][1].partition(" ")[2]
    assert redacted("/", f"ApiKey alice:{SECRET}").headers[0][1] == f"ApiKey alice:{alone}"


def test_a_name_and_a_key_in_base64_are_the_same_wherever_they_stand() -> None:
    coded = base64.b64encode(f"alice:{SECRET}".encode()).decode()
    alone = redacted("/", f"Bearer {SECRET}").headers[0][1].partition(" ")[2]
    expected = base64.b64encode(f"alice:{alone}".encode()).decode()
    body = f'{{"token": "{coded}", "password": "{SECRET}"}}'.encode()
    headers = (("X-Devpi-Auth", coded), ("Authorization", f"Bearer {coded}"), ("Content-Type", "application/json"))
    request = Request("POST", f"/{coded}", "HTTP/1.1", headers, body, len(body))
    made = Redactor(RedactConfig(), Pseudonyms(b"k")).redact(Exchange("1", "s", "relay", 1.0, request, None, Times(1)))
    assert made.request.target == f"/{expected}"
    assert [value for _, value in made.request.headers[:2]] == [expected, f"Bearer {expected}"]
    assert made.request.body == f'{{"token": "{expected}", "password": "{alone}"}}'.encode()


@pytest.mark.parametrize("text", [f"{SECRET}:x", "no colon in it", "alice:\x00\x01\x02\x03", "alice:alice"])
def test_other_base64_is_a_secret_as_a_whole(text: str) -> None:
    coded = base64.b64encode(text.encode()).decode()
    made = redacted("/", f"Bearer {coded}").headers[0][1].partition(" ")[2]
    assert made == Pseudonyms(b"k").of(coded)
