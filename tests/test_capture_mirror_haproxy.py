"""What a real HAProxy mirrors by the configuration of the manual is in the log; what it cannot copy whole is not."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from capture.exchange import Exchange, header
from capture.log.reader import open_log
from tests.support import haproxy
from tests.support.accounts import assert_conserved
from tests.test_capture_mirror import Command

pytestmark = pytest.mark.net

ROOT = Path(__file__).parents[1]
_WAIT_S = 30


class Service(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET


def manual(root: Path, sink_port: int) -> str:
    """The configuration as the manual has it, its script laid into `root`."""
    section = (ROOT / "docs" / "mirrors.md").read_text().partition("\n## HAProxy\n")[2].partition("\n## ")[0]
    block = re.findall(r"(?:^(?:    .*)?\n)+", section, re.MULTILINE)[1]
    config, comment, script = re.sub("^    ", "", block, flags=re.MULTILINE).partition("-- /etc/haproxy/mirror.lua")
    assert '"http://127.0.0.1:9090"' in script
    assert "timeout = 500 " in script
    patient = script.replace("timeout = 500 ", f"timeout = {1000 * _WAIT_S} ")  # of a machine that has much else to do
    (root / "mirror.lua").write_text(comment + patient.replace("9090", str(sink_port)))
    return config.replace("/etc/haproxy/mirror.lua", str(root / "mirror.lua"))


def ask(port: int, method: str, target: str, body: bytes = b"") -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WAIT_S)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        fields = [("Host", "shop.example:8080"), ("X-Tag", "red"), ("X-Tag", "blue"), ("User-Agent", "test/1")]
        if body:
            fields.append(("Content-Length", str(len(body))))
        for name, value in fields:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"ok")
    finally:
        connection.close()


@pytest.fixture
def service() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(_WAIT_S)
        server.server_close()


def test_requests_are_mirrored_as_they_were_and_none_with_a_part_of_its_body(tmp_path: Path, service: int) -> None:
    sent = {
        "/a%2Fb/../x?q=%7E&y=a+b;c": ("GET", b""),
        "/post": ("POST", b'{"a": 1}'),
        "/put": ("PUT", bytes(range(256)) * 40),
        "/delete": ("DELETE", b""),
    }
    sink = Command(tmp_path / "log")
    try:
        with haproxy.serve(tmp_path, manual(tmp_path, sink.port), service) as port:
            for target, (method, body) in sent.items():
                ask(port, method, target, body)
            ask(port, "POST", "/too-long", b"x" * 100_000)
            ask(port, "PATCH", "/patch", b"x")
            wait_until_there(tmp_path / "log", len(sent))
        line = sink.stop()
    finally:
        if sink.process.poll() is None:
            sink.process.kill()
            sink.process.wait(_WAIT_S)
        assert sink.process.stdout is not None
        sink.process.stdout.close()
    counts = assert_conserved(line)
    assert (counts.seen, counts.kept) == (len(sent), len(sent))
    records = {record.request.target: record for record in records_of(tmp_path / "log")}
    assert {target: (record.request.method, record.request.body) for target, record in records.items()} == sent
    for record in records.values():
        headers = record.request.headers
        assert (header(headers, "host"), header(headers, "user-agent")) == ("shop.example:8080", "test/1")
        assert [value for name, value in headers if name == "x-tag"] == ["red", "blue"]
        assert header(headers, "x-forwarded-for") == "127.0.0.1"
        assert (record.response, record.complete, record.request.truncated) == (None, True, False)


def records_of(log: Path) -> list[Exchange]:
    with open_log(log) as opened:
        return list(opened.exchanges())


def wait_until_there(log: Path, count: int) -> None:
    """Until so many exchanges are flushed; the copies are sent after the answers."""
    deadline = time.monotonic() + _WAIT_S
    while not list(log.glob("*.*")) or len(records_of(log)) < count:
        assert time.monotonic() < deadline, "the mirrored requests did not come"
        time.sleep(0.05)
