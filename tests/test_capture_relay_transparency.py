"""The same client script against the upstream directly and through the relay: bytes, ends and resets must be the same.

The relay observes every connection while it plays, and its counts must add up after each scene.
"""

from __future__ import annotations

import base64
import contextlib
import json
import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from capture.pipeline import Pipeline, pipeline_from_config
from capture.settings import CaptureConfig, RedactConfig
from capture.sources.relay.address import Address
from capture.sources.relay.tap import Capture
from tests.support.relay import LOOPS, RelayThread, relay_thread
from tests.support.stage import Heard, Part, Script, listening, perform, read_all, read_exactly, reset

pytestmark = pytest.mark.net

GET = b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@contextlib.contextmanager
def observed_relay(upstream: Address, loop_name: str, **options: object) -> Iterator[tuple[RelayThread, Pipeline]]:
    """A relay whose every connection is observed, sampled, redacted and dropped at the end."""
    pipeline = pipeline_from_config(CaptureConfig(redaction_key="k" * 32), RedactConfig(), lambda exchange: None)
    capture = Capture(pipeline, lambda: 1, server=str(upstream))
    with relay_thread(upstream, loop_name=loop_name, make_tap=capture.tap, **options) as relay:  # type: ignore[arg-type]
        yield relay, pipeline
        relay.wait_until(lambda: relay.relay.connections == 0)
    assert capture.errors == {}
    assert pipeline.counts.balanced(), pipeline.counts.line()


def directly_and_through(script: Script, loop_name: str) -> tuple[dict[str, Heard], dict[str, Heard], Pipeline]:
    with listening() as listener:
        directly = perform(script, listener, lambda: socket.create_connection(listener.getsockname(), timeout=10))
        with observed_relay(Address(*listener.getsockname()), loop_name) as (relay, pipeline):
            through = perform(script, listener, lambda: socket.create_connection(("127.0.0.1", relay.port), timeout=10))
    return directly, through, pipeline


def say(*steps: bytes | int | str) -> Part:
    """A part made of steps: bytes are sent, a number is that many bytes read, "fin" ends this direction, "end" reads to
    the end, "rst" resets, "bytes" sends what follows one byte at a time."""

    def part(sock: socket.socket) -> Heard:
        heard: Heard = []
        slowly = False
        for step in steps:
            if isinstance(step, bytes):
                for piece in [step[i : i + 1] for i in range(len(step))] if slowly else [step]:
                    sock.sendall(piece)
            elif isinstance(step, int):
                heard.append(read_exactly(sock, step))
            elif step == "fin":
                sock.shutdown(socket.SHUT_WR)
            elif step == "bytes":
                slowly = True
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            elif step == "rst":
                reset(sock)
            else:
                heard += read_all(sock)
        return heard

    return part


def asked_in_vain(sock: socket.socket) -> str:
    """Send a request behind the server's end: "rst" once that was answered with a reset, without reading."""
    sock.sendall(GET)
    poll = select.poll()
    poll.register(sock, 0)
    events = poll.poll(10_000)
    return "rst" if events and events[0][1] & select.POLLERR else "nothing"


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECT = b"POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
TRAILERS = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    b"4;note=x\r\nwiki\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n"
)
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
FRAME = bytes.fromhex("818537fa213d7f9f4d5158")
CONNECT = b"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n"
GARBAGE = bytes(range(256)) * 8
UNTIL_CLOSE = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end"

SCRIPTS = [
    Script("one exchange", say(GET, len(OK), "fin", "end"), say(len(GET), OK, "end")),
    Script("keep-alive", say(GET, len(OK), GET, len(OK), "fin", "end"), say(len(GET), OK, len(GET), OK, "end")),
    Script("pipelining", say(GET * 5, len(OK) * 5, "fin", "end"), say(len(GET) * 5, OK * 5, "end")),
    Script("one byte at a time", say("bytes", GET, len(OK), "fin", "end"), say("bytes", len(GET), OK, "end")),
    Script(
        "100-continue",
        say(EXPECT, len(CONTINUE), b"hello", len(OK), "fin", "end"),
        say(len(EXPECT), CONTINUE, 5, OK, "end"),
    ),
    Script("early hints", say(GET, len(EARLY + OK), "fin", "end"), say(len(GET), EARLY, OK, "end")),
    Script("chunks, extension and trailers", say(GET, len(TRAILERS), "fin", "end"), say(len(GET), TRAILERS, "end")),
    Script(
        "upgrade to a WebSocket",
        say(UPGRADE, len(SWITCHED), FRAME, 11, FRAME, 11, "fin", "end"),
        say(len(UPGRADE), SWITCHED, 11, FRAME, 11, FRAME, "end"),
    ),
    Script(
        "CONNECT and a tunnel",
        say(CONNECT, len(OK) - 2, GARBAGE, len(GARBAGE), "fin", "end"),
        say(len(CONNECT), OK[:-2], len(GARBAGE), GARBAGE[::-1], "end"),
    ),
    Script("raw garbage", say(GARBAGE, len(GARBAGE), "fin", "end"), say(len(GARBAGE), GARBAGE, "end")),
    Script("a server that speaks first", say(12, b"QUIT\r\n", "end"), say(b"220 welcome\n", 6, "fin")),
    Script("a connection without a byte", say("fin", "end"), say("end")),
    Script("the client half-closes first", say(GET, "fin", "end"), say("end", OK)),
    Script("the server half-closes first", say("end", GET, "fin"), say(OK, "fin", "end")),
    Script("an answer until the end", say(GET, "end"), say(len(GET), UNTIL_CLOSE)),
    Script("an answer cut by a clean end", say(GET, "end"), say(len(GET), OK[:-1])),
    Script("an answer cut by a reset", say(GET, "end"), say(len(GET), OK[:-1], "rst")),
    Script("a reset without a byte", say(GET, "end"), say(len(GET), "rst")),
    Script("a request cut by a reset", say(GET[:-4], b"", 1, "rst"), say(len(GET) - 4, b"x", "end")),
    Script("a reset while the server waits", say(GET, 1, "rst"), say(len(GET), OK[:1], "end")),
    Script(
        "a reset by the server behind its half-close",
        lambda sock: [*say("end")(sock), asked_in_vain(sock)],
        say(OK, "fin", len(GET), "rst"),
    ),
    Script("an idle connection that the server ends", say(GET, len(OK), "end"), say(len(GET), OK, "fin", "end")),
    Script(
        "a request into a connection that the server has closed",
        lambda sock: [*say(GET, len(OK), "end")(sock), asked_in_vain(sock)],
        say(len(GET), OK),
    ),
]


@pytest.mark.parametrize("loop_name", sorted(LOOPS))
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_scene_is_the_same_directly_and_through_the_relay(script: Script, loop_name: str) -> None:
    directly, through, _ = directly_and_through(script, loop_name)
    assert through == directly


def test_every_http_vector_passes_byte_by_byte_as_it_is(corpora: Path) -> None:
    vectors = [json.loads(line) for line in (corpora / "http-vectors" / "llhttp.jsonl").read_text().splitlines()]
    pieces = {vector["id"]: base64.b64decode(vector["input_base64"]) for vector in vectors}
    assert len(pieces) > 50
    with listening() as listener, observed_relay(Address(*listener.getsockname()), "uvloop") as (relay, pipeline):
        for name, data in pieces.items():
            # One vector is what the client says and, on another connection, what the server says.
            asked = Script("", say(data, "fin", "end"), say("end", OK))
            answered = Script("", say(GET, "fin", "end"), say("end", data))
            connect = lambda: socket.create_connection(("127.0.0.1", relay.port), timeout=10)  # noqa: E731
            assert perform(asked, listener, connect) == {"server": [data, "fin"], "client": [OK, "fin"]}, name
            assert perform(answered, listener, connect) == {"server": [GET, "fin"], "client": [data, "fin"]}, name
    assert pipeline.counts.seen >= 2 * len(pieces) * 0.9


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and localhost, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return cert, key


def test_tls_passes_through_untouched_and_counts_as_opaque(certificate: tuple[Path, Path]) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(*certificate)
    client_side = ssl.create_default_context(cafile=str(certificate[0]))

    def server(sock: socket.socket) -> Heard:
        with server_side.wrap_socket(sock, server_side=True) as wrapped:
            heard: Heard = [read_exactly(wrapped, 5)]
            wrapped.sendall(b"world")
        return heard

    def client(sock: socket.socket) -> Heard:
        with client_side.wrap_socket(sock, server_hostname="localhost") as wrapped:
            wrapped.sendall(b"hello")
            return [read_exactly(wrapped, 5)]

    _, through, pipeline = directly_and_through(Script("tls", client, server), "uvloop")
    assert through == {"server": [b"hello"], "client": [b"world"]}
    assert (pipeline.counts.seen, pipeline.counts.opaque) == (1, 1)


def h2_part(client_side: bool, on_event: Callable[[h2.connection.H2Connection, object, Heard], bool]) -> Part:
    """A side of an HTTP/2 connection with prior knowledge; on_event returns True when it is done."""

    def part(sock: socket.socket) -> Heard:
        heard: Heard = []
        conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=client_side))
        conn.initiate_connection()
        if client_side:
            for number, path in ((1, b"/unary"), (3, b"/stream")):
                conn.send_headers(number, [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"shop"),
                                           (b":path", path), (b"content-type", b"application/grpc"),
                                           (b"te", b"trailers")])  # fmt: skip
                conn.send_data(number, b"\0\0\0\0\2hi", end_stream=True)
        sock.sendall(conn.data_to_send())
        while data := sock.recv(65536):
            done = False
            for event in conn.receive_data(data):
                done = on_event(conn, event, heard) or done
            sock.sendall(conn.data_to_send())
            if done:
                return heard
        return heard

    return part


def test_h2c_with_trailers_and_two_streams_passes_and_is_read() -> None:
    ended: list[int] = []

    def serve(conn: h2.connection.H2Connection, event: object, heard: Heard) -> bool:
        if isinstance(event, h2.events.StreamEnded):
            number = event.stream_id
            conn.send_headers(number, [(b":status", b"200"), (b"content-type", b"application/grpc")])
            conn.send_data(number, b"\0\0\0\0\3abc" * number)
            conn.send_headers(number, [(b"grpc-status", b"0")], end_stream=True)
            heard.append(number)
        return isinstance(event, h2.events.ConnectionTerminated)

    def ask(conn: h2.connection.H2Connection, event: object, heard: Heard) -> bool:
        if isinstance(event, h2.events.DataReceived):
            heard.append((event.stream_id, event.data))
        if isinstance(event, h2.events.TrailersReceived):
            heard.append((event.stream_id, dict(event.headers)))
        if isinstance(event, h2.events.StreamEnded):
            ended.append(event.stream_id)
            if len(ended) == 2:
                ended.clear()
                conn.close_connection()
                return True
        return False

    script = Script("h2c", h2_part(True, ask), h2_part(False, serve))
    directly, through, pipeline = directly_and_through(script, "uvloop")
    assert through == directly
    assert through["server"] == [1, 3]
    assert (pipeline.counts.seen, pipeline.counts.kept) == (2, 2)


def test_a_slow_upstream_is_waited_for_while_others_are_served() -> None:
    with (
        listening() as listener,
        observed_relay(Address(*listener.getsockname()), "uvloop") as (relay, _),
        socket.create_connection(("127.0.0.1", relay.port), timeout=10) as slow,
    ):
        slow.sendall(GET)
        held, _ = listener.accept()
        with held:
            fast = Script("", say(GET, len(OK), "fin", "end"), say(len(GET), OK, "end"))
            for _ in range(3):
                perform(fast, listener, lambda: socket.create_connection(("127.0.0.1", relay.port), timeout=10))
            held.sendall(OK)
            assert read_exactly(slow, len(OK)) == OK


def test_many_connections_at_once_do_not_mix() -> None:
    def echo(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = listener.accept()
                threading.Thread(target=echo_one, args=(sock,), daemon=True).start()

    def echo_one(sock: socket.socket) -> None:
        with sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    with (
        listening() as listener,
        observed_relay(Address(*listener.getsockname()), "uvloop") as (relay, _),
        contextlib.ExitStack() as stack,
    ):
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", relay.port), timeout=10)) for _ in range(100)
        ]
        for turn in range(5):
            for number, client in enumerate(clients):
                client.sendall(f"{turn} {number:04}\n".encode() * 50)
            for number, client in enumerate(clients):
                expected = f"{turn} {number:04}\n".encode() * 50
                assert read_exactly(client, len(expected)) == expected
        for client in clients:
            client.shutdown(socket.SHUT_WR)
            assert read_all(client) == (b"", "fin")
