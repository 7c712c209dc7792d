"""`capture mitm --mode transparent` where connections really are redirected to it: between two network namespaces."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture.conservation import Conservation
from capture.exchange import Exchange
from capture.log.reader import open_log
from tests.support.accounts import assert_conserved
from tests.support.namespaces import CLIENT_ADDRESS, PROXY_PORT, ROUTER_ADDRESS, SITES, in_client, in_router, redirected

pytestmark = [pytest.mark.net, pytest.mark.slow]

pytest.importorskip("mitmproxy")

_WAIT_S = 60
_ROOT = Path(__file__).parents[1]
_SERVICE = """
import http.server, socket, ssl, sys, threading
class Echo(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"{self.client_address[0]} asks {self.headers['Host']} for {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
plain, secure = Server(("::", 80), Echo), Server(("::", 443), Echo)
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
raw = socket.create_server(("0.0.0.0", 7))
def echo():
    while True:
        client, _ = raw.accept()
        with client:
            client.sendall(client.recv(100))
threading.Thread(target=echo, daemon=True).start()
print("ready", flush=True)
plain.serve_forever()
"""
_ECHOED = """
import socket, sys
with socket.create_connection((sys.argv[1], 7), 30) as client:
    client.sendall(b"\\x01\\x02 no HTTP\\n")
    print(client.recv(100).hex())
"""


class Redirected:
    """The proxy where everything is redirected to it, and what a client gets."""

    def __init__(self, root: Path, process: subprocess.Popen[str]) -> None:
        self.root, self.process = root, process

    def curl(self, url: str, *words: str) -> str:
        """What the client is answered; it does not know of a proxy."""
        done = subprocess.run(
            in_client("curl", "-s", "--noproxy", "*", "--max-time", str(_WAIT_S), *words, url),
            capture_output=True,
            text=True,
            timeout=2 * _WAIT_S,
        )
        return done.stdout or f"curl ends with {done.returncode}"

    def stop(self) -> tuple[Conservation, list[Exchange]]:
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=_WAIT_S)
        assert self.process.returncode == 0
        return assert_conserved(out.strip().splitlines()[-1]), list(open_log(self.root / "log").exchanges())


@contextlib.contextmanager
def started(command: list[str], line: str) -> Iterator[subprocess.Popen[str]]:
    """The command, once it has said that it is ready; ended in any case."""
    environ = {**os.environ, "UNDERSTUDY_CAPTURE_REDACTION_KEY": "k" * 32}
    process = subprocess.Popen(command, cwd=_ROOT, env=environ, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith(line), said
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(_WAIT_S)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "service.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=shop.test"]
    command += ["-addext", "subjectAltName=DNS:shop.test", "-keyout", str(path), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path


@pytest.fixture
def proxy(tmp_path: Path, certificate: Path) -> Iterator[Redirected]:
    for program in ("curl", "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    command = [sys.executable, "understudy.py", "capture", "mitm", "--mode", f"transparent@{PROXY_PORT}"]
    command += ["--log", str(tmp_path / "log"), "--confdir", str(tmp_path / "conf")]
    command += ["--set", f"ssl_verify_upstream_trusted_ca={certificate}"]
    with (
        redirected(),
        started(in_router(sys.executable, "-c", _SERVICE, str(certificate)), "ready"),
        started(in_router(*command), "listening on ") as process,
    ):
        yield Redirected(tmp_path, process)


def test_a_client_that_knows_of_no_proxy_reaches_the_address_it_asked_and_is_recorded(proxy: Redirected) -> None:
    authority = str(proxy.root / "conf" / "mitmproxy-ca-cert.pem")
    assert proxy.curl(f"http://{SITES[0]}/four?q=%7E").endswith(f" asks {SITES[0]} for /four?q=%7E")
    assert proxy.curl(f"http://[{SITES[1]}]/six").endswith(f" asks [{SITES[1]}] for /six")
    resolved = ("--resolve", f"shop.test:443:{SITES[0]}", "--cacert", authority)
    assert proxy.curl("https://shop.test/tls", *resolved).endswith(" asks shop.test for /tls")
    counts, (four, six, tls) = proxy.stop()
    assert (counts.seen, counts.kept) == (3, 3)
    assert (four.request.target, four.server, four.scheme) == ("/four?q=%7E", f"{SITES[0]}:80", "http")
    assert six.server == f"{SITES[1]}:80"
    assert (tls.request.target, tls.scheme) == ("/tls", "https")
    # Sessions are by the client's own address, which is another one over IPv6.
    assert four.session == tls.session != six.session
    assert CLIENT_ADDRESS not in repr(four)


def test_bytes_that_are_not_http_pass_a_transparent_proxy_and_count_as_opaque(proxy: Redirected) -> None:
    command = in_client(sys.executable, "-c", _ECHOED, SITES[0])
    done = subprocess.run(command, capture_output=True, text=True, timeout=_WAIT_S)
    assert bytes.fromhex(done.stdout) == b"\x01\x02 no HTTP\n"
    counts, records = proxy.stop()
    assert (counts.seen, counts.opaque, records) == (1, 1, [])


def test_a_service_that_is_down_and_the_proxys_own_port_are_refused_once(proxy: Redirected) -> None:
    for url in (f"http://{SITES[0]}:81/down", f"http://{ROUTER_ADDRESS}:{PROXY_PORT}/itself"):
        assert proxy.curl(url) == "curl ends with 52"  # an empty answer
    counts, records = proxy.stop()
    assert (counts.seen, dict(counts.shed), records) == (2, {"upstream_failed": 2}, [])
