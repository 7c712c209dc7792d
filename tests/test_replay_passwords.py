"""A build's own passwords take the place of redacted ones, by the name of the user beside them."""

from __future__ import annotations

import base64
import json

import pytest

from capture.exchange import Exchange, Request, Times
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import RedactConfig
from replay.outcome import Binding
from replay.passwords import logins_in, with_passwords

SECRET = "Zq8xW3vK7mP2"
FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
PARTS = ("Content-Type", "multipart/form-data; boundary=XyZ")


def basic(text: str) -> tuple[str, str]:
    return ("Authorization", "Basic " + base64.b64encode(text.encode()).decode())


def captured(*headers: tuple[str, str], body: bytes = b"", mode: str = "default") -> Exchange:
    """A request as the log has it, from one with SECRET as its password."""
    headers = (*headers, ("Content-Length", str(len(body))))
    request = Request("POST", "/login", "HTTP/1.1", headers, body, len(body))
    exchange = Exchange("1", "s", "relay", 1.0, request, None, Times(1))
    return Redactor(RedactConfig(mode=mode), Pseudonyms(b"k")).redact(exchange)  # type: ignore[arg-type]


def sent(exchange: Exchange, passwords: dict[str, str]) -> tuple[Request, tuple[Binding, ...]]:
    return with_passwords(exchange.request, logins_in(exchange), passwords)


def part(name: str, value: str) -> bytes:
    return f'--XyZ\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def test_the_password_of_basic_is_that_of_the_build_for_this_user() -> None:
    exchange = captured(basic(f"alice:{SECRET}"))
    request, bindings = sent(exchange, {"alice": "wonderland", "bob": "other"})
    assert request.headers[0] == basic("alice:wonderland")
    assert bindings == (Binding("header:authorization/basic/1", "injected:alice"),)


@pytest.mark.parametrize(
    ("headers", "body", "expected"),
    [
        ((FORM,), f"username=alice&password={SECRET}&next=%2F", b"username=alice&password=w%261&next=%2F"),
        ((FORM,), f"client_id=alice&client_secret={SECRET}", b"client_id=alice&client_secret=w%261"),
        ((JSON,), f'{{"login": "alice", "password": "{SECRET}"}}', b'{"login": "alice", "password": "w&1"}'),
        (
            (JSON,),
            json.dumps({"variables": {"user": "alice", "password": SECRET}, "query": "mutation"}),
            json.dumps({"variables": {"user": "alice", "password": "w&1"}, "query": "mutation"}).encode(),
        ),
        (
            (PARTS,),
            (part("login", "alice") + part("password", SECRET) + b"--XyZ--\r\n").decode(),
            part("login", "alice") + part("password", "w&1") + b"--XyZ--\r\n",
        ),
    ],
)
def test_a_password_in_a_body_is_that_of_the_build_for_the_user_beside_it(
    headers: tuple[tuple[str, str], ...], body: str, expected: bytes
) -> None:
    exchange = captured(*headers, body=body.encode())
    assert SECRET.encode() not in (exchange.request.body or b"")
    request, bindings = sent(exchange, {"alice": "w&1"})
    assert request.body == expected
    assert dict(request.headers)["Content-Length"] == str(len(expected))
    assert [binding.origin for binding in bindings] == ["injected:alice"]


def test_a_user_who_is_not_named_has_that_of_all_others_or_stays() -> None:
    exchange = captured(FORM, body=f"username=carol&password={SECRET}".encode())
    assert sent(exchange, {"alice": "x", "*": "same-for-all"})[0].body == b"username=carol&password=same-for-all"
    assert sent(exchange, {"alice": "x"}) == (exchange.request, ())


def test_a_user_of_another_object_is_not_taken_for_this_one() -> None:
    body = {"by": {"user": "alice"}, "account": {"password": SECRET}}
    exchange = captured(JSON, body=json.dumps(body).encode())
    assert sent(exchange, {"alice": "x"}) == (exchange.request, ())


def test_what_was_not_redacted_says_itself_what_it_needs() -> None:
    exchange = captured(basic(f"alice:{SECRET}"), FORM, body=b"username=alice&password=kept", mode="off")
    assert logins_in(exchange) == ()
    assert logins_in(captured(FORM, body=b"username=alice&page=2")) == ()


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("__login_name", "__login_password"),  # Roundup
        ("user[login]", "user[password]"),  # Rails
        ("session[username_or_email]", "session[password]"),
        ("j_username", "j_password"),  # Java
        ("form:username", "form:password"),  # JSF
        ("auth-username", "auth-password"),  # Wagtail, Django with a prefix
        ("loginUserName", "loginPassword"),
        ("user_login", "user_pass"),  # WordPress
        ("data[User][username]", "data[User][password]"),  # CakePHP
    ],
)
def test_a_user_is_found_however_a_framework_calls_the_field(user: str, password: str) -> None:
    body = f"first_name=Carol&{user}=alice&{password}={SECRET}&x=1"
    exchange = captured(FORM, body=body.encode())
    request, bindings = sent(exchange, {"alice": "wonderland"})
    assert [binding.origin for binding in bindings] == ["injected:alice"]
    assert request.body == body.replace(SECRET, "wonderland").encode()


def test_of_several_that_may_be_the_user_the_plainest_name_is_it() -> None:
    body = f"contact_email=alice&username=bob&password={SECRET}"
    request, _ = sent(captured(FORM, body=body.encode()), {"alice": "one", "bob": "two"})
    assert request.body == b"contact_email=alice&username=bob&password=two"
