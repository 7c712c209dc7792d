"""`capture mitm` through a real mitmproxy: its modes, TLS, HTTP/2 without TLS, failures, drain, budgets, errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest
from click.testing import CliRunner

from capture.conservation import Conservation
from capture.errors import UsageError
from capture.exchange import Exchange
from capture.log.reader import open_log
from capture.sources.mitm_command import mitm
from tests.support.accounts import assert_conserved

pytestmark = [pytest.mark.net, pytest.mark.slow]

pytest.importorskip("mitmproxy")

_WAIT_S = 40
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_ROOT = Path(__file__).parents[1]


class Service(BaseHTTPRequestHandler):
    """Echoes; `/slow` answers its second half only when `let_go` is set."""

    protocol_version = "HTTP/1.1"
    began = threading.Event()
    let_go = threading.Event()

    def do_GET(self) -> None:
        body = f"host={self.headers['Host']} path={self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "sid=abc-123-def; Path=/")
        self.end_headers()
        self.wfile.write(body[:4])
        if self.path == "/slow":
            self.wfile.flush()
            self.began.set()
            self.let_go.wait(_WAIT_S)
        self.wfile.write(body[4:])

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def service() -> Iterator[int]:
    Service.began.clear()
    Service.let_go.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    Service.let_go.set()
    server.shutdown()
    server.server_close()
    thread.join(_WAIT_S)


class Mitm:
    """The command as a process of its own."""

    def __init__(self, root: Path, mode: str, *words: str) -> None:
        self.log = root / "log"
        command = ["understudy.py", "capture", "mitm", "--mode", mode, "--log", str(self.log)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--confdir", str(root / "conf"), *words],
            cwd=_ROOT,
            env={**os.environ, "UNDERSTUDY_CAPTURE_REDACTION_KEY": "k" * 32},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("listening on 127.0.0.1:"), line
        self.port = int(line.rpartition(":")[2])

    def curl(self, path: str, *words: str) -> str:
        done = subprocess.run(
            ["curl", "-s", "--noproxy", "", *words, path], capture_output=True, text=True, timeout=_WAIT_S
        )
        return done.stdout

    def stop(self) -> Conservation:
        return assert_conserved(self.stopped()[-1])

    def stopped(self) -> list[str]:
        """What it still says, from SIGTERM to its end."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=_WAIT_S)
        assert self.process.returncode == 0
        return out.strip().splitlines()

    def records(self) -> list[Exchange]:
        return list(open_log(self.log).exchanges())


@contextlib.contextmanager
def running(root: Path, mode: str, *words: str) -> Iterator[Mitm]:
    made = Mitm(root, mode, *words)
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
            made.process.wait(_WAIT_S)
        if made.process.stdout is not None:
            made.process.stdout.close()


def test_a_reverse_proxy_passes_host_and_bytes_and_records_without_secrets(service: int, tmp_path: Path) -> None:
    with running(tmp_path, f"reverse:http://127.0.0.1:{service}@127.0.0.1:0") as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        assert proxy.curl(f"{url}/a%2Fb?q=%7E", "-H", "Host: shop.example") == "host=shop.example path=/a%2Fb?q=%7E"
        assert proxy.curl(f"{url}/post", "-d", '{"password":"hunter22"}') == '{"password":"hunter22"}'
        counts = proxy.stop()
        first, second = proxy.records()
    assert counts.kept == 2
    assert first.request.target == "/a%2Fb?q=%7E"
    assert ("Host", "shop.example") in first.request.headers
    assert first.server == f"127.0.0.1:{service}"
    assert first.response is not None
    assert first.response.body == b"host=shop.example path=/a%2Fb?q=%7E"
    assert "response.cookie:sid" in first.redacted
    assert second.response is not None
    assert second.response.status == 201
    assert b"hunter22" not in (second.request.body or b"") + (second.response.body or b"")
    assert second.request.body == second.response.body


def test_a_regular_proxy_records_what_clients_ask_through_it(service: int, tmp_path: Path) -> None:
    with running(tmp_path, "regular@127.0.0.1:0", "--sample", "1") as proxy:
        address = f"http://127.0.0.1:{service}/through"
        got = proxy.curl(address, "-x", f"http://127.0.0.1:{proxy.port}")
        assert got == f"host=127.0.0.1:{service} path=/through"
        counts = proxy.stop()
        (record,) = proxy.records()
    assert counts.kept == 1
    assert record.request.target == "/through"
    assert record.server == f"127.0.0.1:{service}"


def test_an_upstream_that_is_down_is_counted(tmp_path: Path) -> None:
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    with running(tmp_path, f"reverse:http://127.0.0.1:{port}@127.0.0.1:0") as proxy:
        proxy.curl(f"http://127.0.0.1:{proxy.port}/x")
        counts = proxy.stop()
    assert counts.seen >= 1
    assert counts.kept == 0
    assert counts.shed["upstream_failed"] + counts.incomplete["upstream_failed"] == counts.seen


def test_a_request_under_way_is_answered_before_the_end(service: int, tmp_path: Path) -> None:
    with running(tmp_path, f"reverse:http://127.0.0.1:{service}@127.0.0.1:0") as proxy:
        client = subprocess.Popen(
            ["curl", "-s", f"http://127.0.0.1:{proxy.port}/slow"], stdout=subprocess.PIPE, text=True
        )
        assert Service.began.wait(_WAIT_S)
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):  # noqa: PT012  # until the listener is gone
            while True:
                socket.create_connection(("127.0.0.1", proxy.port), 1).close()
        Service.let_go.set()
        answer, _ = client.communicate(timeout=_WAIT_S)
        assert answer == f"host=127.0.0.1:{proxy.port} path=/slow"
        out, _ = proxy.process.communicate(timeout=_WAIT_S)
        assert proxy.process.returncode == 0
        assert assert_conserved(out.strip().splitlines()[-1]).kept == 1


def test_each_mode_says_one_address_and_all_of_them_drain(service: int, tmp_path: Path) -> None:
    modes = (f"reverse:http://127.0.0.1:{service}@127.0.0.1:0", "regular@127.0.0.1:0", "socks5@0")
    with running(tmp_path, modes[0], *(word for mode in modes[1:] for word in ("--mode", mode))) as proxy:
        assert proxy.process.stdout is not None
        said = [proxy.process.stdout.readline() for _ in modes[1:]]
        regular, socks = (int(line.rpartition(":")[2]) for line in said)
        assert [line.rpartition(":")[0] for line in said] == ["listening on 127.0.0.1", "listening on 0.0.0.0"]
        assert proxy.curl(f"http://127.0.0.1:{proxy.port}/1").endswith("path=/1")
        assert proxy.curl(f"http://127.0.0.1:{service}/2", "-x", f"http://127.0.0.1:{regular}").endswith("path=/2")
        assert proxy.curl(f"http://127.0.0.1:{service}/3", "--socks5", f"127.0.0.1:{socks}").endswith("path=/3")
        out = proxy.stopped()
        assert len(out) == 1, "an address was said twice"
        assert assert_conserved(out[0]).kept == 3


def test_a_second_signal_does_not_wait_for_what_is_under_way(service: int, tmp_path: Path) -> None:
    mode = f"reverse:http://127.0.0.1:{service}@127.0.0.1:0"
    with (
        running(tmp_path, mode, "--drain-seconds", "600") as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), _WAIT_S) as client,
    ):
        client.settimeout(_WAIT_S)
        client.sendall(b"GET /slow HTTP/1.1\r\nHost: shop\r\n\r\n")
        assert Service.began.wait(_WAIT_S)
        proxy.process.send_signal(signal.SIGTERM)
        with pytest.raises(OSError):  # noqa: PT012  # until the listener is gone
            while True:
                socket.create_connection(("127.0.0.1", proxy.port), 1).close()
        counts = proxy.stop()
    # Beside it, at most the connections that were being made when it ended.
    assert (counts.kept, set(counts.shed)) == (0, {"drain"})


class H2Service(asyncio.Protocol):
    """HTTP/2 without TLS: every request gets a body and a trailer, as gRPC does."""

    def __init__(self) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.h2.initiate_connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.StreamEnded):
                self.h2.send_headers(event.stream_id, [(":status", "200"), ("content-type", "application/grpc")])
                self.h2.send_data(event.stream_id, b"\0\0\0\0\2hi")
                self.h2.send_headers(event.stream_id, [("grpc-status", "0")], end_stream=True)
        self.transport.write(self.h2.data_to_send())


def test_http2_without_tls_passes_with_its_trailers(tmp_path: Path) -> None:
    async def play() -> tuple[str, list[Exchange]]:
        server = await asyncio.get_running_loop().create_server(H2Service, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with running(tmp_path, f"reverse:http://127.0.0.1:{port}@127.0.0.1:0") as proxy:
            url = f"http://127.0.0.1:{proxy.port}/pkg.Svc/Call"
            words = ("--http2-prior-knowledge", "-D", "-", "-o", "/dev/null")
            answer = await asyncio.to_thread(proxy.curl, url, *words)
            await asyncio.to_thread(proxy.stop)
            records = proxy.records()
        server.close()
        await server.wait_closed()
        return answer, records

    answer, (record,) = asyncio.run(play())
    assert answer.startswith("HTTP/2 200")
    assert "grpc-status: 0" in answer
    assert record.request.version == "HTTP/2"
    assert record.request.target == "/pkg.Svc/Call"
    assert record.response is not None
    assert record.response.body == b"\0\0\0\0\2hi"
    assert record.response.trailers == (("grpc-status", "0"),)


@contextlib.contextmanager
def secure_service(
    context: ssl.SSLContext, protocols: list[str], make: Callable[[], asyncio.Protocol]
) -> Iterator[int]:
    """A service behind TLS that offers these protocols, in a loop and a thread of its own; yields its port."""
    context.set_alpn_protocols(protocols)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(make, "127.0.0.1", 0, ssl=context))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_WAIT_S)
        loop.close()


class PlainService(asyncio.Protocol):
    """HTTP/1.1 that answers the same to every request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n")


@pytest.mark.parametrize(
    ("protocols", "make", "version"),
    [(["h2", "http/1.1"], H2Service, "HTTP/2"), (["http/1.1"], PlainService, "HTTP/1.1")],
)
def test_http2_without_tls_reaches_a_service_behind_tls(
    protocols: list[str],
    make: Callable[[], asyncio.Protocol],
    version: str,
    certificate: Path,
    tmp_path: Path,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    trusting = ("--set", f"ssl_verify_upstream_trusted_ca={certificate}")
    with (
        secure_service(context, protocols, make) as port,
        running(tmp_path, f"reverse:https://localhost:{port}@127.0.0.1:0", *trusting) as proxy,
    ):
        url = f"http://127.0.0.1:{proxy.port}/pkg.Svc/Call"
        assert proxy.curl(url, "--http2-prior-knowledge", "-D", "-", "-o", "/dev/null").startswith("HTTP/2 200")
        record = only_record(proxy)
    assert record.response is not None
    assert (record.request.version, record.response.version) == ("HTTP/2", version)
    assert record.response.body in (b"hi\n", b"\0\0\0\0\2hi")


def test_a_raw_tunnel_of_bytes_is_not_read_even_where_it_begins_like_http2(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.settimeout(_WAIT_S)
        mode = f"reverse:tcp://127.0.0.1:{service.getsockname()[1]}@127.0.0.1:0"
        with running(tmp_path, mode) as proxy, socket.create_connection(("127.0.0.1", proxy.port), _WAIT_S) as client:
            client.sendall(_PREFACE)
            upstream, _ = service.accept()
            with upstream:
                upstream.settimeout(_WAIT_S)
                got = b""
                while len(got) < len(_PREFACE):
                    got += upstream.recv(100) or pytest.fail(f"ended after {got!r}")
            client.close()
            assert proxy.stop().opaque == 1
    assert got == _PREFACE


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        ([], 2, "--mode is missing"),
        (["--mode", "sideways"], 2, "--mode or --set: mitmproxy says:"),
        (["--mode", "regular@127.0.0.1:0", "--set", "no_such_option=1"], 2, "--mode or --set: mitmproxy says:"),
        (["--mode", "regular@127.0.0.1:{taken}"], 4, "mitmproxy cannot listen"),
    ],
)
def test_what_cannot_be_started_is_one_clear_line(words: list[str], code: int, message: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                *("understudy.py", "capture", "mitm", "--log", str(tmp_path / "log"), "--confdir", str(tmp_path / "c")),
                *(word.format(taken=port) for word in words),
            ],
            cwd=_ROOT,
            env={**os.environ, "UNDERSTUDY_CAPTURE_REDACTION_KEY": "k" * 32},
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
        )
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith(f"understudy: {message}")
    assert "Traceback" not in done.stderr


def test_without_mitmproxy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mitmproxy", None)
    monkeypatch.delitem(sys.modules, "capture.sources.mitm", raising=False)
    words = ["--mode", "regular", "--log", str(tmp_path / "log")]
    with pytest.raises(UsageError, match=r"mitmproxy is not installed .*understudy\[mitm\]"):
        CliRunner().invoke(mitm, words, catch_exceptions=False)
    assert not (tmp_path / "log").exists()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key and its certificate for localhost, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = tmp_path / "service.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


@pytest.fixture
def secure(service: int, certificate: Path) -> Iterator[tuple[int, Path]]:
    """The same service behind TLS of its own: its port, and the certificate that verifies it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1], certificate
    server.shutdown()
    server.server_close()
    thread.join(_WAIT_S)


def only_record(proxy: Mitm) -> Exchange:
    counts = proxy.stop()
    assert (counts.seen, counts.kept) == (1, 1)
    (record,) = proxy.records()
    return record


def test_a_reverse_proxy_verifies_a_service_behind_tls(secure: tuple[int, Path], tmp_path: Path) -> None:
    port, authority = secure
    trusting = ("--set", f"ssl_verify_upstream_trusted_ca={authority}")
    with running(tmp_path, f"reverse:https://localhost:{port}@127.0.0.1:0", *trusting) as proxy:
        got = proxy.curl(f"https://localhost:{proxy.port}/in?token=abcdef123456", "--insecure")
        assert got.endswith("path=/in?token=abcdef123456")
        record = only_record(proxy)
    assert record.scheme == "https"
    assert "abcdef123456" not in record.request.target


def test_a_tunnel_through_a_regular_proxy_is_opened_and_read(secure: tuple[int, Path], tmp_path: Path) -> None:
    port, authority = secure
    trusting = ("--set", f"ssl_verify_upstream_trusted_ca={authority}")
    with running(tmp_path, "regular@127.0.0.1:0", *trusting) as proxy:
        url = f"https://localhost:{port}/inside"
        own = str(tmp_path / "conf" / "mitmproxy-ca-cert.pem")
        got = proxy.curl(url, "-x", f"http://127.0.0.1:{proxy.port}", "--cacert", own)
        assert got == f"host=localhost:{port} path=/inside"
        record = only_record(proxy)
    assert (record.request.method, record.request.target, record.scheme) == ("GET", "/inside", "https")


def test_a_socks_proxy_records_what_clients_ask_through_it(service: int, tmp_path: Path) -> None:
    with running(tmp_path, "socks5@127.0.0.1:0") as proxy:
        url = f"http://127.0.0.1:{service}/socks"
        assert proxy.curl(url, "--socks5", f"127.0.0.1:{proxy.port}").endswith("path=/socks")
        assert only_record(proxy).request.target == "/socks"


def test_a_proxy_before_another_proxy_records_too(service: int, tmp_path: Path) -> None:
    for name in ("behind", "before"):
        (tmp_path / name).mkdir()
    with (
        running(tmp_path / "behind", "regular@127.0.0.1:0") as behind,
        running(tmp_path / "before", f"upstream:http://127.0.0.1:{behind.port}@127.0.0.1:0") as before,
    ):
        got = before.curl(f"http://127.0.0.1:{service}/twice", "-x", f"http://127.0.0.1:{before.port}")
        assert got.endswith("path=/twice")
        assert only_record(before).request.target == only_record(behind).request.target == "/twice"


def test_sampling_and_the_rate_budget_hold_here_too(service: int, tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("[guard]\nexchanges_per_s = 1\n")
    mode = f"reverse:http://127.0.0.1:{service}@127.0.0.1:0"
    with running(tmp_path, mode, "--config", str(config)) as proxy:
        for _ in range(3):
            urls = [f"http://127.0.0.1:{proxy.port}/{n}" for n in range(10)]
            assert proxy.curl(urls[0], *urls[1:]).count("path=/") == 10
        counts = proxy.stop()
    assert counts.seen == 30
    assert counts.shed["rate"] == 30 - counts.kept > 10
    with running(tmp_path, mode, "--sample", "0") as proxy:
        assert proxy.curl(f"http://127.0.0.1:{proxy.port}/x")
        assert proxy.stop().sampled_out == 1


def test_sighup_changes_what_is_redacted(service: int, tmp_path: Path) -> None:
    config = tmp_path / "understudy.toml"
    config.write_text("")
    mode = f"reverse:http://127.0.0.1:{service}@127.0.0.1:0"
    with running(tmp_path, mode, "--config", str(config)) as proxy:
        url = f"http://127.0.0.1:{proxy.port}/x?nickname=redfox77"
        proxy.curl(url)
        config.write_text('[redact]\nfields = ["nickname"]\n')
        proxy.process.send_signal(signal.SIGHUP)
        log = proxy.log
        end = time.monotonic() + _WAIT_S
        while len(list(log.iterdir())) < 2:  # the change begins a segment
            assert time.monotonic() < end
            time.sleep(0.02)
        proxy.curl(url)
        proxy.stop()
        before, after = proxy.records()
    assert "redfox77" in before.request.target
    assert "redfox77" not in after.request.target
