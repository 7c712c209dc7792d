"""A service behind Digest (RFC 7616): nonces, passwords and numbers are its own, and it notes what is wrong."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Callable
from urllib.parse import unquote

from capture.exchange import Exchange, Request, Response
from tests.support.rude import exchange

HASHES: dict[str, Callable[[bytes], str]] = {
    "MD5": lambda data: hashlib.md5(data).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}


class DigestService:
    """One build. algorithm, qop: what it asks for. renews: gives a new nonce with each answer (nextnonce)."""

    def __init__(
        self, salt: int, password: str, algorithm: str = "MD5", qop: str = "auth", renews: bool = False
    ) -> None:
        self.random = random.Random(salt)
        self.password, self.algorithm, self.qop, self.renews = password, algorithm, qop, renews
        self.things = 10 + 100 * salt
        self.nonces: dict[str, tuple[str, int]] = {}
        self.wrong: list[str] = []
        self.exchanges: list[Exchange] = []
        self.user = "alice"

    async def answer(self, raw: bytes) -> list[bytes | float | str]:
        head, _, body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = tuple((line.partition(":")[0], line.partition(":")[2].strip()) for line in lines)
        request = Request(method, target, "HTTP/1.1", headers, body, len(body))
        response = self.respond(request)
        number = len(self.exchanges)
        self.exchanges.append(exchange(number, request, response, "session", number * 10, 5))
        fields = "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        return [f"HTTP/1.1 {response.status} OK\r\n{fields}\r\n".encode() + (response.body or b"")]

    def respond(self, request: Request) -> Response:
        credentials = next((value for name, value in request.headers if name.lower() == "authorization"), "")
        if not credentials.startswith("Digest "):
            return self.challenge()
        said = {
            name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', credentials)
        }
        if not self.is_right(request, said):
            self.wrong.append(f"{request.method} {request.target}: {credentials}")
            return self.challenge()
        extra = (("Authentication-Info", f'nextnonce="{self.nonce()[0]}", qop={self.qop}'),) if self.renews else ()
        if request.method == "POST":
            self.things += 1
            return self.say({"id": self.things}, 201, *extra)
        match = re.fullmatch(r"/things/(\d+)\?full=1", request.target)
        if match is None or int(match[1]) != self.things:
            self.wrong.append(f"{request.target}: the thing is {self.things}")
        return self.say({"id": self.things}, 200, *extra)

    def is_right(self, request: Request, said: dict[str, str]) -> bool:
        """RFC 7616 section 3.4, with the nonce that was given here, and its count never used twice."""
        hashed = HASHES[self.algorithm.removesuffix("-sess")]
        opaque, count = self.nonces.get(said["nonce"], ("", 0))
        if said.get("opaque") != opaque or said["uri"] != request.target or said["username"] != self.user:
            return False
        key = hashed(f"{self.user}:{self.realm}:{self.password}".encode())
        if self.algorithm.endswith("-sess"):
            key = hashed(f"{key}:{said['nonce']}:{said['cnonce']}".encode())
        asked = f"{request.method}:{said['uri']}"
        if self.qop == "auth-int":
            asked += f":{hashed(request.body or b'')}"
        middle = ""
        if self.qop:
            if said["qop"] != self.qop or int(said["nc"], 16) <= count:
                return False
            self.nonces[said["nonce"]] = (opaque, int(said["nc"], 16))
            middle = f"{said['nc']}:{said['cnonce']}:{said['qop']}:"
        expected = hashed(f"{key}:{said['nonce']}:{middle}{hashed(asked.encode())}".encode())
        return unquote(said["response"]) == expected

    @property
    def realm(self) -> str:
        return "things@example.org"

    def nonce(self) -> tuple[str, str]:
        """A new one, with what is opaque to the client."""
        nonce = f"{self.random.getrandbits(64):016x}+/{self.random.getrandbits(64):016x}=="
        opaque = f"{self.random.getrandbits(128):032x}"
        if self.renews and self.nonces:
            opaque = next(iter(self.nonces.values()))[0]  # it is given with a challenge alone
        self.nonces[nonce] = (opaque, 0)
        return nonce, opaque

    def challenge(self) -> Response:
        nonce, opaque = self.nonce()
        qop = f'qop="{self.qop}", ' if self.qop else ""
        asked = f'Digest realm="{self.realm}", {qop}algorithm={self.algorithm}, nonce="{nonce}", opaque="{opaque}"'
        return self.say({"error": "log in"}, 401, ("WWW-Authenticate", asked))

    @staticmethod
    def say(value: object, status: int, *headers: tuple[str, str]) -> Response:
        body = json.dumps(value).encode()
        fields = (("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers)
        return Response(status, "OK", "HTTP/1.1", fields, body, len(body))
