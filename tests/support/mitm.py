"""`understudy capture mitm` as a process of its own, and a service behind it, plain and with TLS."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from capture.conservation import Conservation
from capture.exchange import Exchange
from capture.log.reader import open_log
from tests.support.accounts import assert_conserved

__all__ = ["ROOT", "WAIT_S", "Mitm", "Service", "certificate", "only_record", "running", "secure", "service"]

WAIT_S = 40
ROOT = Path(__file__).parents[2]


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
            self.let_go.wait(WAIT_S)
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
    thread.join(WAIT_S)


class Mitm:
    """The command as a process of its own."""

    def __init__(self, root: Path, mode: str, *words: str) -> None:
        self.log = root / "log"
        command = ["understudy.py", "capture", "mitm", "--mode", mode, "--log", str(self.log)]
        self.process = subprocess.Popen(
            [sys.executable, *command, "--confdir", str(root / "conf"), *words],
            cwd=ROOT,
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
            ["curl", "-s", "--noproxy", "", *words, path], capture_output=True, text=True, timeout=WAIT_S
        )
        return done.stdout

    def stop(self) -> Conservation:
        return assert_conserved(self.stopped()[-1])

    def stopped(self) -> list[str]:
        """What it still says, from SIGTERM to its end."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=WAIT_S)
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
            made.process.wait(WAIT_S)
        if made.process.stdout is not None:
            made.process.stdout.close()


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
    thread.join(WAIT_S)


def only_record(proxy: Mitm) -> Exchange:
    counts = proxy.stop()
    assert (counts.seen, counts.kept) == (1, 1)
    (record,) = proxy.records()
    return record
