"""Listeners and upstreams of every kind: IPv6, unix sockets, names, TLS at either side."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from capture.errors import BadInput, RunFailed, UsageError
from capture.sources.relay.address import Address
from capture.sources.relay.server import bind
from capture.sources.relay.tls import Terminator, TlsOptions
from tests.support.relay import relay_thread
from tests.support.stage import Heard, Script, listening, perform, read_all, read_exactly

pytestmark = pytest.mark.net


def echo_once(sock: socket.socket) -> Heard:
    data, how = read_all(sock)
    sock.sendall(data[::-1])
    return [data, how]


def ask(sock: socket.socket) -> Heard:
    sock.sendall(b"hello")
    sock.shutdown(socket.SHUT_WR)
    return [*read_all(sock)]


ECHO = Script("echo", ask, echo_once)
HEARD = {"server": [b"hello", "fin"], "client": [b"olleh", "fin"]}


def unix_connect(path: Path) -> Callable[[], socket.socket]:
    def connect() -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(str(path))
        return sock

    return connect


def test_ipv6_on_both_sides() -> None:
    with (
        listening(socket.AF_INET6) as listener,
        relay_thread(Address("::1", listener.getsockname()[1]), listen=Address("::1", 0)) as relay,
    ):
        assert perform(ECHO, listener, lambda: socket.create_connection(("::1", relay.port))) == HEARD


def test_a_unix_socket_as_upstream(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "up.sock"))
        listener.listen()
        listener.settimeout(10)
        with relay_thread(Address(path=str(tmp_path / "up.sock"))) as relay:
            assert perform(ECHO, listener, lambda: socket.create_connection(("127.0.0.1", relay.port))) == HEARD


def test_a_unix_socket_as_listener(tmp_path: Path) -> None:
    path = tmp_path / "in.sock"
    with listening() as listener, relay_thread(Address(*listener.getsockname()), listen=Address(path=str(path))):
        assert perform(ECHO, listener, unix_connect(path)) == HEARD


def test_a_unix_socket_left_by_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "in.sock"))
    left.close()
    (sock,) = bind(Address(path=str(tmp_path / "in.sock")), "--listen")
    sock.close()


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_stays_and_is_refused_as_a_listener(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "precious"
    (tmp_path / "notes").write_text("do not lose me")
    {"file": lambda: path.write_text("x"), "directory": path.mkdir, "link": lambda: path.symlink_to("notes")}[kind]()
    with pytest.raises(BadInput, match="is there already and is no socket"):
        bind(Address(path=str(path)), "--listen")
    assert path.exists()
    assert (tmp_path / "notes").read_text() == "do not lose me"


def test_a_unix_socket_that_is_in_use_is_not_taken_over(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as used:
        used.bind(str(tmp_path / "in.sock"))
        used.listen()
        with pytest.raises(RunFailed, match="in use"):
            bind(Address(path=str(tmp_path / "in.sock")), "--listen")


def test_a_name_is_bound_on_one_port_for_each_of_its_addresses() -> None:
    sockets = bind(Address("localhost", 0), "--listen")
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_a_name_that_does_not_resolve_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--listen: 'no\.such\.host\.invalid' cannot be resolved"):
        bind(Address("no.such.host.invalid", 0), "--listen")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two different self-signed certificates for localhost, each with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("one", "other"):
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
        command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
        command += ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.crt")]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        (folder / f"{name}.pem").write_bytes(
            (folder / f"{name}.crt").read_bytes() + (folder / f"{name}.key").read_bytes()
        )
    return folder / "one.pem", folder / "other.pem"


def wrapped(port: int, authority: Path, alpn: list[str] | None = None) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(authority))
    context.set_alpn_protocols(alpn or ["h2", "http/1.1"])
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="localhost")


def test_tls_is_terminated_and_the_upstream_hears_plain_bytes(certificates: tuple[Path, Path]) -> None:
    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), tls=TlsOptions(cert=certificates[0])) as relay,
        wrapped(relay.port, certificates[0]) as client,
    ):
        assert client.selected_alpn_protocol() == "http/1.1"
        client.sendall(b"hello")
        upstream, _ = listener.accept()
        with upstream:
            upstream.settimeout(10)
            assert read_exactly(upstream, 5) == b"hello"
            upstream.sendall(b"x" * 300_000)
            upstream.shutdown(socket.SHUT_WR)
            assert len(read_exactly(client, 300_000)) == 300_000  # type: ignore[arg-type]
            assert client.recv(1) == b""
            client.close()  # TLS cannot be half open: only now is the upstream told
            assert read_all(upstream) == (b"", "fin")


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2"], "h2"), (["h2", "http/1.1"], "http/1.1"), (["grpc-exp", "h2"], "h2"), (["x"], None)]
)
def test_a_client_gets_http2_where_it_offers_nothing_else(
    certificates: tuple[Path, Path], offered: list[str], chosen: str | None
) -> None:
    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), tls=TlsOptions(cert=certificates[0])) as relay,
        wrapped(relay.port, certificates[0], offered) as client,
    ):
        assert client.selected_alpn_protocol() == chosen


def test_an_upstream_is_offered_what_the_client_has_chosen_and_http1_where_it_had_no_choice() -> None:
    assert TlsOptions().upstream_alpn("h2") == ["h2"]
    assert TlsOptions().upstream_alpn(None) == ["http/1.1"]
    assert TlsOptions(alpn=("h2",)).upstream_alpn(None) == ["h2"]


def test_a_reload_gives_new_connections_the_new_certificate(certificates: tuple[Path, Path], tmp_path: Path) -> None:
    live = tmp_path / "live.pem"
    live.write_bytes(certificates[0].read_bytes())
    with (
        listening() as listener,
        relay_thread(Address(*listener.getsockname()), tls=TlsOptions(cert=live)) as relay,
    ):
        with wrapped(relay.port, certificates[0]):
            pass
        live.write_bytes(certificates[1].read_bytes())
        relay.loop.call_soon_threadsafe(relay.relay.reload_tls)
        relay.call(_turn())
        with wrapped(relay.port, certificates[1]):
            pass
        with pytest.raises(ssl.SSLCertVerificationError):
            wrapped(relay.port, certificates[0])


async def _turn() -> None:
    return None


def test_a_certificate_that_cannot_be_used_keeps_the_old_one(certificates: tuple[Path, Path], tmp_path: Path) -> None:
    live = tmp_path / "live.pem"
    live.write_bytes(certificates[0].read_bytes())
    terminator = Terminator(TlsOptions(cert=live))
    live.write_text("nonsense")
    with pytest.raises(BadInput, match="not a PEM file that fits"):
        terminator.reload()


def tls_upstream(listener: socket.socket, certificate: Path, alpn: list[str]) -> tuple[threading.Thread, list[object]]:
    """Answers one TLS connection; what it heard, or the error of its handshake."""
    heard: list[object] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(alpn)

    def serve() -> None:
        sock, _ = listener.accept()
        sock.settimeout(10)
        try:
            with context.wrap_socket(sock, server_side=True) as upstream:
                heard.append(upstream.selected_alpn_protocol())
                heard.append(read_exactly(upstream, 5))  # type: ignore[arg-type]
                upstream.sendall(b"world")
        except (OSError, ssl.SSLError) as error:
            heard.append(type(error).__name__)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, heard


def test_tls_is_spoken_to_the_upstream_with_what_the_client_has_chosen(certificates: tuple[Path, Path]) -> None:
    tls = TlsOptions(cert=certificates[0], upstream=True, upstream_ca=certificates[1], upstream_name="localhost",
                     alpn=("h2", "http/1.1"))  # fmt: skip
    with listening() as listener, relay_thread(Address(*listener.getsockname()), tls=tls) as relay:
        for offered, chosen in ((["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "h2")):
            thread, heard = tls_upstream(listener, certificates[1], ["h2", "http/1.1"])
            with wrapped(relay.port, certificates[0], offered) as client:
                client.sendall(b"hello")
                assert read_exactly(client, 5) == b"world"  # type: ignore[arg-type]
            thread.join(10)
            assert heard == [chosen, b"hello"]


def test_an_upstream_that_cannot_be_verified_is_like_one_that_refuses(certificates: tuple[Path, Path]) -> None:
    tls = TlsOptions(upstream=True, upstream_ca=certificates[0], upstream_name="localhost")
    with listening() as listener, relay_thread(Address(*listener.getsockname()), tls=tls) as relay:
        thread, heard = tls_upstream(listener, certificates[1], ["http/1.1"])
        try:
            with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
                client.sendall(b"hello")
                assert read_all(client) == (b"", "rst")
        except (ConnectionResetError, BrokenPipeError):
            pass  # the reset was there before connect or send had returned
        thread.join(10)
        assert len(heard) == 1
        relay.wait_until(lambda: relay.relay.counters.connect_failed == 1)
