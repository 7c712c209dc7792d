"""Logins with PKCE (RFC 7636) are performed from a redacted log, on an authorization server that checks the pair."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import random
from urllib.parse import parse_qs, quote, urlencode

import pytest

from capture.exchange import Exchange, Request, Response, header
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.settings import RedactConfig
from replay.pace import Closed
from tests.support.replaying import perform_on
from tests.support.rude import exchange, get, rude_server

pytestmark = pytest.mark.net

FORM = ("Content-Type", "application/x-www-form-urlencoded")


class Issuer:
    """One build of an authorization server: cookies, codes and tokens are its own. What does not fit is wrong."""

    def __init__(self, salt: int) -> None:
        self.random = random.Random(salt)
        self.cookies: set[str] = set()
        self.codes: dict[str, str] = {}
        self.tokens: set[str] = set()
        self.wrong: list[str] = []

    def new(self) -> str:
        return f"{self.random.getrandbits(120):030x}"

    def respond(self, request: Request) -> Response:
        path, _, query = request.target.partition("?")
        fields = {name: values[0] for name, values in parse_qs(query or (request.body or b"").decode()).items()}
        if path == "/authorize":
            cookie = (header(request.headers, "cookie") or "").removeprefix("sso=")
            if cookie not in self.cookies:
                return self.go(f"/login?next={quote(request.target, safe='')}")
            code = self.new()
            self.codes[code] = fields["code_challenge"]
            return self.go(f"https://app.example/cb?{urlencode({'code': code, 'state': fields['state']})}")
        if path == "/login":
            if request.method == "GET":
                return self.say({"form": "login"})
            cookie = self.new()
            self.cookies.add(cookie)
            return self.go(fields["next"], ("Set-Cookie", f"sso={cookie}; Path=/; HttpOnly"))
        if path == "/token":
            digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            if self.codes.pop(fields["code"], "") != challenge:
                self.wrong.append(f"{request.target}: {fields}")
                return self.say({"error": "invalid_grant"}, 400)
            token = self.new()
            self.tokens.add(token)
            return self.say({"access_token": token, "token_type": "Bearer", "expires_in": 3600})
        if (header(request.headers, "authorization") or "").removeprefix("Bearer ") not in self.tokens:
            self.wrong.append(f"{request.target}: not logged in")
            return self.say({"error": "login"}, 401)
        return self.say({"name": "alice"})

    @staticmethod
    def go(target: str, *headers: tuple[str, str]) -> Response:
        return Response(302, "Found", "HTTP/1.1", (("Location", target), *headers, ("Content-Length", "0")))

    @staticmethod
    def say(value: object, status: int = 200) -> Response:
        body = json.dumps(value).encode()
        fields = (("Content-Type", "application/json"), ("Content-Length", str(len(body))))
        return Response(status, "OK", "HTTP/1.1", fields, body, len(body))

    async def answer(self, raw: bytes) -> list[bytes | float | str]:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = tuple((line.partition(":")[0], line.partition(":")[2].strip()) for line in lines)
        method, target, _ = first.split(" ")
        response = self.respond(Request(method, target, "HTTP/1.1", headers, body, len(body)))
        fields = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        return [f"HTTP/1.1 {response.status} OK\r\n{fields}\r\n".encode() + (response.body or b"")]


def visit(issuer: Issuer, user: int, number: int) -> list[Exchange]:
    """A client with a verifier of its own, and what production answers."""
    chance = random.Random(f"client {user}")
    made: list[Exchange] = []

    def do(request: Request) -> Response:
        response = issuer.respond(request)
        at = number + len(made)
        made.append(exchange(at, request, response, f"user-{user}", at * 10, 5))
        return response

    verifier = base64.urlsafe_b64encode(chance.randbytes(32 + 16 * (user % 3))).decode().rstrip("=")
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {"response_type": "code", "client_id": "app", "state": f"{chance.getrandbits(80):020x}"}
    asked |= {"code_challenge": challenge, "code_challenge_method": "S256"}
    login = header(do(get(f"/authorize?{urlencode(asked)}")).headers, "location") or ""
    do(get(login))
    after = parse_qs(login.partition("?")[2])["next"][0]
    form = urlencode({"username": "alice", "password": "wonderland", "next": after}).encode()
    back = do(get("/login", FORM, ("Content-Length", str(len(form))), method="POST", body=form))
    cookie = (header(back.headers, "set-cookie") or "").partition(";")[0]
    reached = header(do(get(header(back.headers, "location") or "", ("Cookie", cookie))).headers, "location") or ""
    code = parse_qs(reached.partition("?")[2])["code"][0]
    form = urlencode({"grant_type": "authorization_code", "code": code, "code_verifier": verifier}).encode()
    given = do(get("/token", FORM, ("Content-Length", str(len(form))), method="POST", body=form))
    token = json.loads(given.body or b"")["access_token"]
    do(get("/me", ("Authorization", f"Bearer {token}")))
    return made


@pytest.mark.parametrize("redact", [False, True], ids=["as-it-was", "redacted"])
def test_every_login_is_performed_with_each_builds_own_codes_and_a_pair_that_fits(redact: bool) -> None:
    production = Issuer(0)
    recorded: list[Exchange] = []
    for user in range(9):
        recorded += visit(production, user, len(recorded))
    assert production.wrong == []
    if redact:
        redactor = Redactor(RedactConfig(), Pseudonyms(b"k" * 32))
        recorded = [redactor.redact(item) for item in recorded]
    issuers = [Issuer(salt) for salt in (1, 2, 3)]

    async def main() -> list[object]:
        async with (
            rude_server(issuers[0].answer) as current,
            rude_server(issuers[1].answer) as reference,
            rude_server(issuers[2].answer) as candidate,
        ):
            servers = {"current": current, "reference": reference, "candidate": candidate}
            done = await perform_on(servers, recorded, Closed(6))
        return [(p.skipped, [o.response.status if o.response else o.failure for o in p.outcomes]) for p in done]

    done = asyncio.run(main())
    assert [issuer.wrong for issuer in issuers] == [[], [], []]
    assert done == [(None, [item.response.status] * 3) for item in recorded if item.response is not None]
