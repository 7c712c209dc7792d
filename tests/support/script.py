"""A script of 500 exchanges as bytes and as the records they are, with a server and clients that play it."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
from collections.abc import Callable, Sequence

from capture.exchange import Exchange, Headers, Request, Response, Times, header

__all__ = ["CONNECTIONS", "PER_CONNECTION", "Played", "play", "script", "serve"]

CONNECTIONS = 25
PER_CONNECTION = 20
_WAIT_S = 30
_BODILESS = (204, 304)


@dataclasses.dataclass(frozen=True, slots=True)
class Played:
    """One exchange of the script. asked, answered: the bytes; record: what a source that knows all would write."""

    number: int
    kind: str
    asked: bytes
    answered: bytes
    record: Exchange


def script(host: str) -> list[Played]:
    """The whole script, in order; `host` is what every request has for Host, and the server's address."""
    return [_played(number, host) for number in range(CONNECTIONS * PER_CONNECTION)]


def _played(number: int, host: str) -> Played:
    kind, make = _KINDS[number % PER_CONNECTION]
    request, response = make(number)
    fields = (("Host", host), ("X-Number", str(number)), *request.headers)
    request = Request(
        request.method, request.target, request.version, fields, request.body, len(request.body or b""), False,
        request.trailers,
    )  # fmt: skip
    response = Response(
        response.status, response.reason, response.version, response.headers, response.body, len(response.body or b""),
        False, response.trailers,
    )  # fmt: skip
    return Played(
        number,
        kind,
        _wire(f"{request.method} {request.target} {request.version}", request),
        _wire(f"{response.version} {response.status} {response.reason}", response),
        Exchange(
            "",
            "the client's",
            "script",
            1.0,
            request,
            response,
            Times(1, 2, 3, 4),
            connection=number // PER_CONNECTION,
            server=host,
        ),
    )


def _wire(first: str, message: Request | Response) -> bytes:
    head = first + "\r\n" + "".join(f"{name}: {value}\r\n" for name, value in message.headers) + "\r\n"
    body = message.body or b""
    if header(message.headers, "transfer-encoding") == "chunked":
        size = max(1, len(body) // 3)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        trailers = "".join(f"{name}: {value}\r\n" for name, value in message.trailers).encode("latin-1")
        body = (
            b"".join(b"%x;of=script\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
            + b"0\r\n"
            + trailers
            + b"\r\n"
        )
    return head.encode("latin-1") + body


# --- the kinds of exchanges

Pair = tuple[Request, Response]
_CHUNKED = ("Transfer-Encoding", "chunked")
_TEXT = ("Content-Type", "text/plain; charset=utf-8")
_JSON = ("Content-Type", "application/json")


def _ask(method: str, target: str, fields: Headers = (), body: bytes = b"", trailers: Headers = ()) -> Request:
    return Request(method, target, "HTTP/1.1", fields, body, len(body), False, trailers)


def _answer(status: int, reason: str, fields: Headers = (), body: bytes = b"", trailers: Headers = ()) -> Response:
    return Response(status, reason, "HTTP/1.1", fields, body, len(body), False, trailers)


def _ok(body: bytes, *fields: tuple[str, str]) -> Response:
    return _answer(200, "OK", (*fields, ("Content-Length", str(len(body)))), body)


def _post(target: str, body: bytes, *fields: tuple[str, str], method: str = "POST") -> Request:
    return _ask(method, target, (*fields, ("Content-Length", str(len(body)))), body)


def _packed(number: int) -> bytes:
    return gzip.compress(b"line %d of many\n" % number * 60, mtime=0)


def _old(number: int) -> Pair:
    request = _ask("GET", f"/old/{number}", (("Connection", "keep-alive"),))
    return Request(
        request.method, request.target, "HTTP/1.0", request.headers
    ), _ok(b"still here", _TEXT)  # fmt: skip


_KINDS: tuple[tuple[str, Callable[[int], Pair]], ...] = (
    ("plain", lambda n: (_ask("GET", f"/plain/{n}", (("Accept", "*/*"),)), _ok(b"plain %d" % n, _TEXT))),
    ("odd target", lambda n: (_ask("GET", f"/a%2Fb/../x?q=%7E&n={n}&&=&n"), _ok(b"odd", _TEXT))),
    ("head", lambda n: (_ask("HEAD", f"/head/{n}"), _answer(200, "OK", (_TEXT, ("Content-Length", "1234"))))),
    (
        "json",
        lambda n: (
            _post("/things", b'{"n": %d}' % n, _JSON),
            _answer(201, "Created", (_JSON, ("Location", f"/things/{n}"), ("Content-Length", "2")), b"{}"),
        ),
    ),
    (
        "chunked",
        lambda n: (
            _ask("POST", f"/chunked/{n}", (_JSON, _CHUNKED), b"[%d, 2, 3, 4, 5]" % n),
            _answer(200, "OK", (_TEXT, _CHUNKED), b"chunks of %d" % n),
        ),
    ),
    (
        "gzip",
        lambda n: (
            _ask("GET", f"/gzip/{n}", (("Accept-Encoding", "gzip"),)),
            _ok(_packed(n), _TEXT, ("Content-Encoding", "gzip")),
        ),
    ),
    (
        "gzip",
        lambda n: (
            _ask("GET", f"/gzip/chunked/{n}", (("Accept-Encoding", "gzip, br"),)),
            _answer(200, "OK", (_TEXT, ("Content-Encoding", "gzip"), _CHUNKED), _packed(n)),
        ),
    ),
    ("no content", lambda n: (_ask("DELETE", f"/things/{n}"), _answer(204, "No Content"))),
    (
        "not modified",
        lambda n: (
            _ask("GET", f"/etag/{n}", (("If-None-Match", f'"{n}"'),)),
            _answer(304, "Not Modified", (("ETag", f'"{n}"'),)),
        ),
    ),
    (
        "not found",
        lambda n: (_ask("GET", f"/missing/{n}"), _answer(404, "Not Found", (("Content-Length", "4"),), b"none")),
    ),
    (
        "cookies",
        lambda n: (
            _ask("GET", f"/cookies/{n}", (("Cookie", f"sid=s{n}; theme=dark"),)),
            _ok(b"", ("Set-Cookie", f"sid=t{n}; Path=/; HttpOnly"), ("set-cookie", "theme=light")),
        ),
    ),
    (
        "repeated",
        lambda n: (
            _ask("GET", f"/repeated/{n}", (("X-Two", "1"), ("Accept", "a/b"), ("x-two", "2"), ("ACCEPT", "c/d"))),
            _ok(b"repeated", ("Vary", "Accept"), _TEXT, ("vary", "Cookie"), ("X-EMPTY", "")),
        ),
    ),
    ("large", lambda n: (_post(f"/large/{n}", b"%05d " % n * 17_000), _ok(b"%06d\n" % n * 15_000, _TEXT))),
    (
        "trailers",
        lambda n: (
            _ask("PUT", f"/trailers/{n}", (("Trailer", "X-Sum"), _CHUNKED), b"body %d" % n, (("X-Sum", str(n)),)),
            _answer(200, "OK", (("Trailer", "X-Sum"), _CHUNKED), b"answer %d" % n, (("X-Sum", str(-n)),)),
        ),
    ),
    ("asterisk", lambda n: (_ask("OPTIONS", "*"), _ok(b"", ("Allow", "GET, HEAD")))),
    ("old", _old),
    ("form", lambda n: (_post("/form", b"a=%d&b=%%26&a=" % n, method="PATCH"), _ok(b"<p>form</p>"))),
    (
        "latin-1",
        lambda n: (
            _ask("GET", f"/latin/{n}", (("X-Name", "caf\xe9"), ("X-Empty", ""))),
            _answer(200, "D'accord", (("X-Name", "\xe0"), ("Content-Length", "0"))),
        ),
    ),
    ("no reason", lambda n: (_ask("GET", f"/no-reason/{n}"), _answer(299, "", (("Content-Length", "1"),), b"\x00"))),
    (
        "empty body",
        lambda n: (_post(f"/empty/{n}?a=1&a=2", b""), _ok(b"\xff\xfe binary \x00", ("Content-Type", "a/b"))),
    ),
)


# --- the players


async def _message(reader: asyncio.StreamReader, bodiless: bool = False) -> bytes:
    """Read one message to its end; returns its head."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:-2])
    }
    if bodiless or head[9:12] in (b"204", b"304"):
        return head
    if fields.get(b"transfer-encoding") == b"chunked":
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            await reader.readexactly(size + 2)
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
    else:
        await reader.readexactly(int(fields.get(b"content-length", b"0")))
    return head


async def serve(answers: dict[int, bytes]) -> asyncio.Server:
    """A service that answers a request by the number in its X-Number; every answer comes after the whole request.

    A request to upgrade is answered with 101, and then every byte comes back.
    """

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await _message(reader)
                if b"\r\nUpgrade: " in head:
                    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
                    while data := await reader.read(4096):
                        writer.write(data)
                    break
                lower = head.lower()
                at = lower.index(b"\r\nx-number: ") + 12
                writer.write(answers[int(lower[at : lower.index(b"\r\n", at)])])
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 20)


async def play(parts: Sequence[Played], port: int) -> None:
    """Perform the script: all connections at once, the last six exchanges of each two by two in one segment."""
    by_connection: dict[int, list[Played]] = {}
    for part in parts:
        by_connection.setdefault(part.record.connection, []).append(part)
    async with asyncio.timeout(_WAIT_S):
        # In turn and not at once, so that no bound on connections and no order of acceptance matters.
        for start in range(0, CONNECTIONS, 5):
            several = [by_connection[number] for number in range(start, start + 5)]
            await asyncio.gather(*(_connection(one, port) for one in several))


async def _connection(parts: list[Played], port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    singles = len(parts) - 6
    batches = [[part] for part in parts[:singles]] + [parts[at : at + 2] for at in range(singles, len(parts), 2)]
    for batch in batches:
        data = b"".join(part.asked for part in batch)
        if batch[0].number % 7 == 0:  # a head cut in two
            writer.write(data[:9])
            await writer.drain()
            await asyncio.sleep(0)
            data = data[9:]
        writer.write(data)
        for part in batch:
            await _message(reader, part.record.request.method == "HEAD")
    writer.close()
    await writer.wait_closed()
