"""Every kind of secret through the real relay, in small pieces: no spelling of one is in any byte on disk."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from capture.exchange import Exchange, Request, Response
from capture.log.reader import open_log
from tests.support.accounts import assert_conserved
from tests.support.redaction import JSON, TEXT, S, answered, asked, spellings, written
from tests.support.relay import relay_process
from tests.test_capture_admin import KEY
from tests.test_capture_redact import CASES

pytestmark = pytest.mark.net

Serve = Callable[[socket.socket], None]
PIECE = 9
ORDINARY = answered(TEXT, body="fine")


@contextlib.contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """The address of a server on loopback that gives each connection to `serve` on a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                served, _ = listener.accept()
                served.settimeout(20)
                threading.Thread(target=one, args=(served,), daemon=True).start()

    def one(served: socket.socket) -> None:
        with served, contextlib.suppress(OSError):
            served.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            serve(served)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield "{}:{}".format(*listener.getsockname())
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(20)


def wire(first: str, message: Request | Response, chunked: bool) -> bytes:
    """An HTTP/1.1 message; chunks of five bytes cut every secret."""
    body, fields = message.body or b"", list(message.headers)
    if chunked:
        fields.append(("Transfer-Encoding", "chunked"))
    elif body or isinstance(message, Response):
        fields.append(("Content-Length", str(len(body))))
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    out = f"{first}\r\n{head}\r\n".encode("latin-1")
    if not chunked:
        return out + body
    for start in range(0, len(body), 5):
        piece = body[start : start + 5]
        out += b"%x\r\n%b\r\n" % (len(piece), piece)
    trailers = "".join(f"{name}: {value}\r\n" for name, value in message.trailers)
    return out + f"0\r\n{trailers}\r\n".encode("latin-1")


def in_pieces(sock: socket.socket, data: bytes) -> None:
    for start in range(0, len(data), PIECE):
        sock.sendall(data[start : start + PIECE])


def converse(port: int, request: bytes) -> bytes:
    """All that comes back; an end or a reset ends it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        in_pieces(client, request)
        with contextlib.suppress(ConnectionResetError):
            while piece := client.recv(1 << 16):
                answer += piece
    return answer


def read_request(served: socket.socket) -> int:
    """Reads until the mark at the end of each request; the number of the case."""
    got = b""
    while b"X-Case" not in got or b"\r\n\r\n" not in got:
        got += served.recv(1 << 16)
    number = int(got.partition(b"X-Case: ")[2].split(b"\r\n")[0])
    length = int(got.partition(b"X-Length: ")[2].split(b"\r\n")[0])
    while len(got) < length:
        got += served.recv(1 << 16)
    return number


def request_of(number: int, request: Request, chunked: bool) -> bytes:
    first = f"{request.method} {request.target} HTTP/1.1\r\nHost: shop\r\nX-Case: {number}"
    plain = wire(first, request, chunked)
    length = len(plain) + len("X-Length: 000000\r\n")
    return wire(f"{first}\r\nX-Length: {length:06d}", request, chunked)


def on_disk(log: Path) -> tuple[list[Exchange], bytes]:
    """The records, and everything of the log as bytes: the files as they are and all that is packed in them."""
    with open_log(log) as opened:
        exchanges = list(opened.exchanges())
        assert opened.damage == []
    files = b"\n".join(path.read_bytes() for path in log.rglob("*") if path.is_file())
    return exchanges, files + b"\n".join(map(written, exchanges))


def assert_absent(log: Path, secrets: dict[str, str], seen: int) -> list[Exchange]:
    exchanges, everything = on_disk(log)
    assert len(exchanges) == seen
    found = {name for name, secret in secrets.items() if any(form in everything for form in spellings(secret))}
    assert found == set()
    return exchanges


@pytest.mark.parametrize(("chunked", "scribe"), [(False, "off"), (True, "off"), (True, "on")])
def test_no_kind_of_secret_reaches_the_disk_over_http1(tmp_path: Path, chunked: bool, scribe: str) -> None:
    cases = list(CASES.items())
    answers = [wire("HTTP/1.1 200 OK", response or ORDINARY, chunked) for _, (_, _, response) in cases]

    def serve(served: socket.socket) -> None:
        in_pieces(served, answers[read_request(served)])

    with (
        serving(serve) as upstream,
        relay_process(upstream, tmp_path / "log", "--scribe", scribe, environ=KEY) as relay,
    ):
        for number, (name, (_, request, _)) in enumerate(cases):
            chunks = chunked and bool(request.body)
            assert converse(relay.port, request_of(number, request, chunks)) == answers[number], name
        counts = relay.stop()
    assert counts.kept == len(cases) > 80
    assert_absent(tmp_path / "log", {name: secret for name, (secret, _, _) in cases}, len(cases))


def test_no_kind_of_secret_reaches_the_disk_over_http2(tmp_path: Path) -> None:
    cases = [case for case in CASES.values() if " " not in case[1].target]

    def serve(served: socket.socket) -> None:
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        server.initiate_connection()
        in_pieces(served, server.data_to_send())
        numbers: dict[int, int] = {}
        while data := served.recv(1 << 16):
            for event in server.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    numbers[event.stream_id] = int(dict(event.headers)["x-case"])
                elif isinstance(event, h2.events.StreamEnded):
                    response = cases[numbers[event.stream_id]][2] or ORDINARY
                    fields = [(":status", "200"), *((name.lower(), value) for name, value in response.headers)]
                    server.send_headers(event.stream_id, fields)
                    server.send_data(event.stream_id, response.body or b"", end_stream=not response.trailers)
                    if response.trailers:
                        trailers = [(name.lower(), value) for name, value in response.trailers]
                        server.send_headers(event.stream_id, trailers, end_stream=True)
            in_pieces(served, server.data_to_send())

    with serving(serve) as upstream, relay_process(upstream, tmp_path / "log", environ=KEY) as relay:
        with socket.create_connection(("127.0.0.1", relay.port), timeout=20) as sock:
            client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
            client.initiate_connection()
            for number, (_, request, _) in enumerate(cases):
                stream = client.get_next_available_stream_id()
                fields = [(name.lower(), value) for name, value in request.headers if name.lower() != "connection"]
                head = [(":method", request.method), (":scheme", "http"), (":authority", "shop")]
                head += [(":path", request.target), ("x-case", str(number)), *fields]
                client.send_headers(stream, head, end_stream=not request.body)
                if request.body:
                    client.send_data(stream, request.body, end_stream=True)
                in_pieces(sock, client.data_to_send())
                ended = False
                while not ended:
                    events = client.receive_data(sock.recv(1 << 16))
                    ended = any(isinstance(event, h2.events.StreamEnded) for event in events)
                    in_pieces(sock, client.data_to_send())
        counts = relay.stop()
    assert counts.kept == len(cases) > 80
    assert_absent(tmp_path / "log", {str(n): case[0] for n, case in enumerate(cases)}, len(cases))


def reset_of(served: socket.socket) -> None:
    served.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


WIRE: dict[str, tuple[Request, bytes]] = {
    "early hints": (
        asked(),
        f"HTTP/1.1 103 Early Hints\r\nLink: </a.css?token={S}>; rel=preload\r\n\r\n".encode()
        + wire("HTTP/1.1 200 OK", ORDINARY, False),
    ),
    "reason phrase": (asked(), f"HTTP/1.1 400 bad token={S}\r\nContent-Length: 0\r\n\r\n".encode()),
    "trailer": (asked(), wire("HTTP/1.1 200 OK", answered(TEXT, body="x", trailers=(("X-Auth-Token", S),)), True)),
    "answer until the end": (asked(), f'HTTP/1.0 200 OK\r\nContent-Type: text/json\r\n\r\n{{"token":"{S}"}}'.encode()),
    "cut answer": (
        asked(),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"
        + f'{{"token":"{S}'.encode(),
    ),
    "cut chunk": (
        asked(),
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n"
        + f'{{"password":"{S}'.encode(),
    ),
    "error page": (asked("/", JSON, body={"password": S}), f"HTTP/1.1 500 Oops\r\n\r\npassword={S} refused".encode()),
    "websocket": (
        asked(f"/ws?access_token={S}", ("Connection", "Upgrade"), ("Upgrade", "websocket")),
        f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x0c{S}".encode(),
    ),
    "obsolete fold": (asked(), f"HTTP/1.1 200 OK\r\nX-Api-Key: a\r\n {S}\r\nContent-Length: 0\r\n\r\n".encode()),
}


def test_what_only_the_wire_has_reaches_the_disk_neither(tmp_path: Path) -> None:
    cases = list(WIRE.items())

    def serve(served: socket.socket) -> None:
        number = read_request(served)
        in_pieces(served, cases[number][1][1])
        if cases[number][0] == "cut chunk":
            reset_of(served)

    with serving(serve) as upstream, relay_process(upstream, tmp_path / "log", environ=KEY) as relay:
        for number, (name, (request, answer)) in enumerate(cases):
            got = converse(relay.port, request_of(number, request, False))
            assert got == answer or (name == "cut chunk" and answer.startswith(got)), name
        counts = relay.stop()
    assert_conserved(counts.line())
    assert sum(counts.incomplete.values()) >= 2
    exchanges, everything = on_disk(tmp_path / "log")
    assert len(exchanges) == len(cases)
    assert [form for form in spellings(S) if form in everything] == []


def test_equal_secrets_stay_equal_and_sessions_still_join_in_the_log(tmp_path: Path) -> None:
    answers = [
        wire("HTTP/1.1 200 OK", answered(("Set-Cookie", f"sid={S}; Path=/"), JSON, body={"token": S}), False),
        wire("HTTP/1.1 200 OK", ORDINARY, False),
    ]
    requests = [
        request_of(0, asked("/login", JSON, body={"password": "other-Secret-1"}), False),
        request_of(1, asked(f"/me?token={S}", ("Cookie", f"sid={S}"), ("Authorization", f"Bearer {S}")), False),
    ]

    def serve(served: socket.socket) -> None:
        in_pieces(served, answers[read_request(served)])

    with (
        serving(serve) as upstream,
        relay_process(upstream, tmp_path / "log", "--session-key", "cookie:sid", environ=KEY) as relay,
    ):
        for number, request in enumerate(requests):
            assert converse(relay.port, request) == answers[number]
        relay.stop()
    login, me = assert_absent(tmp_path / "log", {"S": S, "password": "other-Secret-1"}, 2)
    assert login.session == me.session
    headers = dict(me.request.headers)
    pseudonym = headers["Authorization"].removeprefix("Bearer ")
    assert len(pseudonym) == len(S)
    assert headers["Cookie"] == f"sid={pseudonym}"
    assert me.request.target == f"/me?token={pseudonym}"
    assert login.response is not None
    assert login.response.body == f'{{"token": "{pseudonym}"}}'.encode()
