"""Answers to challenges of Digest are made again with a build's own nonce and password, as RFC 7616 has it."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from capture.exchange import Request
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import RedactConfig
from replay.digest import Answer, answer_in, answered, user_in
from tests.support.digest_service import DigestService
from tests.support.replaying import perform_on
from tests.support.rude import rude_server

MUFASA = (
    'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", algorithm={}, '
    'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", nc=00000001, '
    'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="{}", '
    'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
)


def asked(credentials: str, target: str = "/dir/index.html", method: str = "GET", body: bytes = b"") -> Request:
    return Request(method, target, "HTTP/1.1", (("Host", "x"), ("authorization", credentials)), body, len(body))


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_the_rfc_are_answered_as_it_says(algorithm: str, response: str) -> None:
    request = asked(MUFASA.format(algorithm, "pseudonym"))
    assert answer_in(request) == Answer(b"Mufasa", "pseudonym", True)
    assert answered(request, b"Mufasa", "Circle of Life", True) == asked(MUFASA.format(algorithm, response))


def test_the_example_of_rfc_2617_is_answered_without_and_with_an_algorithm() -> None:
    shown = (
        'Digest username="Mufasa",realm="testrealm@host.com",nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",'
        'uri="/dir/index.html",qop=auth,nc=00000001,cnonce="0a4f113b",response="{}"'
    )
    expected = asked(shown.format("6629fae49393a05397450978507c4ef1"))
    assert answered(asked(shown.format("x")), b"Mufasa", "Circle Of Life", False) == expected


def test_without_qop_the_answer_is_that_of_rfc_2069() -> None:
    shown = (
        'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'uri="/dir/index.html", response="{}"'
    )
    expected = asked(shown.format("670fd8c2df070c60b045671b8b24ff02"))
    assert answered(asked(shown.format("x")), b"Mufasa", "Circle Of Life", False) == expected


def test_the_uri_follows_the_target_where_it_was_the_target() -> None:
    changed = answered(asked(MUFASA.format("MD5", "x"), "/dir/7"), b"Mufasa", "Circle of Life", True)
    assert 'uri="/dir/7"' in changed.headers[1][1]
    kept = answered(asked(MUFASA.format("MD5", "x"), "/dir/7"), b"Mufasa", "Circle of Life", False)
    assert kept.headers[1][1] == MUFASA.format("MD5", "8ca523f5e9506fed4657c9700eebdbec")
    assert answer_in(asked(MUFASA.format("MD5", "x"), "/other")) == Answer(b"Mufasa", "x", False)


def test_a_hashed_user_is_found_among_those_with_a_password() -> None:
    # The example of RFC 7616 section 3.9.2, with the hash of its erratum 4897.
    shown = (
        'Digest username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b", realm="api@example.org", '
        'uri="/doe.json", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", nc=00000001, '
        'cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm", qop=auth, response="x", userhash=true'
    )
    assert user_in(asked(shown), ["alice", "Jäsøn Doe"]) == "Jäsøn Doe".encode()
    assert user_in(asked(shown), ["alice"]) is None


def test_a_user_is_read_as_bytes_also_in_its_extended_form() -> None:
    extended = MUFASA.format("MD5", "x").replace('username="Mufasa"', "username*=UTF-8''J%C3%A4s%C3%B8n%20Doe")
    assert user_in(asked(extended), []) == "Jäsøn Doe".encode()
    assert answer_in(asked(extended.replace("UTF-8", "KOI8-R"))) is None
    quoted = MUFASA.format("MD5", "x").replace('"Mufasa"', r'"a\"b\\c"')
    assert user_in(asked(quoted), []) == rb'a"b\c'


@pytest.mark.parametrize(
    "credentials",
    [
        "Basic YWxpY2U6eA==",
        "Digest",
        'Digest username="alice"',
        MUFASA.format("SHA-3", "x"),
        MUFASA.format("MD5", "x").replace("qop=auth", "qop=new"),
    ],
)
def test_what_cannot_be_made_again_is_no_answer(credentials: str) -> None:
    assert answer_in(asked(credentials)) is None


@pytest.mark.net
@pytest.mark.parametrize("redact", [False, True], ids=["as-it-was", "redacted"])
@pytest.mark.parametrize(
    ("algorithm", "qop", "renews"),
    [
        ("MD5", "auth", False),
        ("SHA-256", "auth", False),
        ("MD5-sess", "auth", False),
        ("SHA-256-sess", "auth-int", False),
        ("SHA-256", "auth-int", False),
        ("MD5", "", False),
        ("SHA-256", "auth", True),
    ],
)
def test_a_session_behind_digest_is_performed_with_each_builds_own_nonces_and_password(
    algorithm: str, qop: str, renews: bool, redact: bool
) -> None:
    production = DigestService(0, "production's own", algorithm, qop, renews)
    services = {
        name: DigestService(salt, f"secret of {name}", algorithm, qop, renews)
        for salt, name in enumerate(("current", "reference", "candidate"), 1)
    }

    async def main() -> list[object]:
        async with rude_server(production.answer) as server:
            login = aiohttp.DigestAuthMiddleware("alice", production.password, preemptive=not renews)
            async with aiohttp.ClientSession(middlewares=(login,)) as client:
                for n in range(3):
                    async with client.post(f"{server.url}/things", json={"quantity": n, "page": 200}) as made:
                        number = (await made.json())["id"]
                    async with client.get(f"{server.url}/things/{number}?full=1") as shown:
                        assert shown.status == 200
        recorded = production.exchanges
        if redact:
            redactor = Redactor(RedactConfig(), Pseudonyms(b"k" * 32))
            recorded = [redactor.redact(item) for item in recorded]
        async with (
            rude_server(services["current"].answer) as current,
            rude_server(services["reference"].answer) as reference,
            rude_server(services["candidate"].answer) as candidate,
        ):
            servers = {"current": current, "reference": reference, "candidate": candidate}
            passwords = {name: {"alice": service.password} for name, service in services.items()}
            done = await perform_on(servers, recorded, passwords=passwords)
        return [(p.skipped, [o.response.status if o.response else o.failure for o in p.outcomes]) for p in done]

    done = asyncio.run(main())
    assert production.wrong == []
    assert [service.wrong for service in services.values()] == [[], [], []]
    assert done == [(None, [item.response.status] * 3) for item in production.exchanges if item.response is not None]
    assert sum(status == (None, [401] * 3) for status in done) >= 1
    assert any(status == (None, [200] * 3) for status in done)
