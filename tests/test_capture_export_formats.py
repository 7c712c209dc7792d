"""What the exporters write is read back by programs that are not ours."""

from __future__ import annotations

import base64
import gzip
import http.client
import io
import json
import re
import shutil
import socket
import subprocess
import threading
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import h11
import pytest
from msgspec.structs import replace

import understudy
from capture.exchange import Exchange, Request, Response, Times
from capture.log.exporters import curl, gor, har, vegeta
from capture.log.importers import gor as gor_importer
from capture.log.importers import har as har_importer
from capture.log.importers.found import Found
from capture.log.importers.gor import SEPARATOR
from tests.support.log_records import START_NS, an_exchange, write_log

PAGE = b"<p>caf\xc3\xa9</p>" * 30


def exchange(
    method: str = "GET",
    target: str = "/a%20b?x=1&x=",
    body: bytes = b"",
    headers: tuple[tuple[str, str], ...] = (),
    response: Response | None = None,
) -> Exchange:
    fields = (("Host", "shop.example:8080"), *headers)
    if body:
        fields = (*fields, ("Content-Length", str(len(body))))
    return Exchange(
        "id-1",
        "s",
        "test",
        1.0,
        Request(method, target, "HTTP/1.1", fields, body, len(body)),
        response,
        Times(START_NS, START_NS + 1_000_000, START_NS + 5_000_000, START_NS + 7_000_000),
        server="127.0.0.1:8080",
    )


def an_answer(body: bytes = PAGE, *, coding: str | None = None, kind: str = "text/html; charset=utf-8") -> Response:
    headers: tuple[tuple[str, str], ...] = (("Content-Type", kind), ("Content-Length", str(len(body))))
    if coding is not None:
        headers = (*headers, ("Content-Encoding", coding))
    return Response(200, "OK", "HTTP/1.1", headers, body, len(body))


def written(module: Any, *records: Exchange) -> tuple[bytes, Counter[str]]:
    left_out: Counter[str] = Counter()
    return b"".join(module.write(records, left_out)), left_out


def test_haralyzer_reads_the_har() -> None:
    from haralyzer import HarParser

    data, left_out = written(har, exchange("POST", body=b"q=1", response=an_answer()), exchange(response=an_answer()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parser = HarParser(json.loads(data))
    first, second = parser.har_data["entries"]
    assert first["request"]["url"] == "http://shop.example:8080/a%20b?x=1&x="
    assert first["request"]["postData"]["text"] == "q=1"
    assert first["request"]["queryString"] == [{"name": "x", "value": "1"}, {"name": "x", "value": ""}]
    assert (first["time"], first["timings"]["wait"]) == (7.0, 4.0)
    assert second["response"]["content"]["text"] == PAGE.decode()
    assert left_out == {}


def test_mitmproxy_reads_the_har_with_the_same_bodies() -> None:
    from mitmproxy.http import HTTPFlow
    from mitmproxy.io import FlowReader

    packed = gzip.compress(PAGE)
    picture = bytes(range(256))
    data, _ = written(
        har,
        exchange(response=an_answer(packed, coding="gzip")),
        exchange(response=an_answer(picture, kind="image/png")),
        exchange("POST", body=b"\xff\x00raw", response=None),
    )
    flows = list(FlowReader(io.BytesIO(data)).stream())
    first, second, third = (flow for flow in flows if isinstance(flow, HTTPFlow))
    assert first.response is not None
    assert first.response.content == PAGE
    assert first.request.pretty_url == "http://shop.example:8080/a%20b?x=1&x="
    assert second.response is not None
    assert second.response.raw_content == picture
    assert third.response is None or third.response.status_code == 0


def test_our_own_importer_gets_the_same_exchanges_from_the_har_but_for_their_coding(tmp_path: Path) -> None:
    plain = exchange("PUT", body=b'{"a":"\xc3\xa9"}', headers=(("X", "\xe9"),), response=an_answer())
    packed = exchange(response=an_answer(gzip.compress(PAGE), coding="gzip"))
    alone = exchange()
    path = tmp_path / "export.har"
    path.write_bytes(written(har, plain, packed, alone)[0])
    found = [record.exchange for record in har_importer.read(path) if isinstance(record, Found)]
    assert found[0].request == plain.request
    assert found[0].response == plain.response
    assert found[0].times == plain.times
    assert found[1].response is not None
    assert found[1].response.body == PAGE
    assert found[2].response is None


def test_bytes_that_no_address_may_have_are_percent_encoded_in_the_har(tmp_path: Path) -> None:
    data, _ = written(har, exchange(target="/caf\xc3\xa9?x=\xff"))
    (entry,) = json.loads(data)["log"]["entries"]
    assert entry["request"]["url"] == "http://shop.example:8080/caf%C3%A9?x=%FF"


def test_h11_reads_every_message_of_the_gor_file() -> None:
    chunked = Response(
        201, "Created", "HTTP/1.1", (("Transfer-Encoding", "chunked"),), b"made", 4, trailers=(("X-Sum", "1"),)
    )
    data, _ = written(
        gor,
        exchange("POST", body=b"a=1", response=chunked),
        exchange("HEAD", response=an_answer()),
        exchange(response=Response(200, "OK", "HTTP/2", (), b"no length", 9)),
    )
    payloads = data.split(SEPARATOR)
    assert payloads.pop() == b""
    bodies = []
    for payload in payloads:
        head, message = payload.split(b"\n", 1)
        assert re.fullmatch(rb"[12] [0-9a-f]{24} \d{19} \d+", head)
        connection = h11.Connection(h11.SERVER if head.startswith(b"1") else h11.CLIENT)
        if head.startswith(b"2"):
            method = "HEAD" if bodies[-1][0] == b"HEAD" else "GET"
            connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
            connection.send(h11.EndOfMessage())
        connection.receive_data(message)
        first, body = connection.next_event(), b""
        while isinstance(event := connection.next_event(), h11.Data):
            body += bytes(event.data)
        assert isinstance(event, h11.EndOfMessage), event
        bodies.append((first.method if isinstance(first, h11.Request) else b"", body))
    assert bodies == [(b"POST", b"a=1"), (b"", b"made"), (b"HEAD", b""), (b"", b""), (b"GET", b""), (b"", b"no length")]


def test_our_own_importer_gets_the_same_exchanges_from_the_gor_file(tmp_path: Path) -> None:
    monkeys = b"a body with a separator in it" + SEPARATOR + b"and more"
    records = [
        exchange("POST", body=monkeys, response=an_answer(gzip.compress(PAGE), coding="gzip")),
        replace(exchange(response=an_answer()), id="id-2"),
        replace(exchange(), id="id-3"),
    ]
    path = tmp_path / "export.gor"
    path.write_bytes(written(gor, *records)[0])
    found = [record.exchange for record in gor_importer.read(path) if isinstance(record, Found)]
    assert [(x.request, x.response) for x in found] == [(x.request, x.response) for x in records]
    assert [x.times.request_start for x in found] == [START_NS] * 3


def test_the_vegeta_targets_have_what_its_schema_asks_for() -> None:
    data, left_out = written(
        vegeta,
        exchange("POST", body=b"\x00\xff", headers=(("X", "1"), ("X", "2"), ("Connection", "close"))),
        replace(exchange(), request=replace(exchange().request, body=None)),
    )
    first, second = (json.loads(line) for line in data.splitlines())
    assert first == {
        "method": "POST",
        "url": "http://shop.example:8080/a%20b?x=1&x=",
        "header": {"Host": ["shop.example:8080"], "X": ["1", "2"]},
        "body": base64.b64encode(b"\x00\xff").decode(),
    }
    assert "body" not in second
    assert sum(left_out.values()) == 1


class Listener:
    """Takes one request, keeps its bytes, answers 204."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.settimeout(10)
                data = b""
                while b"\r\n\r\n" not in data:
                    data += client.recv(65536)
                head, _, body = data.partition(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                while length and len(body) < int(length[1]):
                    body += client.recv(65536)
                self.heads.append(head)
                self.bodies.append(body)
                client.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.close()


def attack(line: bytes) -> None:
    """Send one target as vegeta's documentation says that it does: a reader of our own, strict where its schema is."""
    target = json.loads(line)
    assert target.keys() <= {"method", "url", "header", "body"}
    assert isinstance(target["method"], str)
    assert all(isinstance(value, str) for values in target.get("header", {}).values() for value in values)
    url = urlsplit(target["url"])
    body = base64.b64decode(target.get("body", ""), validate=True)
    fields = [(name, value) for name, values in target.get("header", {}).items() for value in values]
    connection = http.client.HTTPConnection(url.netloc, timeout=10)
    path = url.path + ("?" + url.query if url.query else "")
    connection.putrequest(target["method"], path, skip_host=True, skip_accept_encoding=True)
    for name, value in fields:
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body or None)
    assert connection.getresponse().read() == b""
    connection.close()


@pytest.mark.net
@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/a%20b/../c?x=1&x=", (("X-A", "1"), ("X-A", "2"), ("X-Empty", "")), b""),
        ("POST", "/binary", (("Content-Type", "application/octet-stream"),), bytes(range(256))),
        ("DELETE", "/x;y", (("X-Bytes", "caf\xe9"),), b""),
    ],
)
def test_a_reader_of_vegetas_format_sends_the_same_request(
    listener: Listener, method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    fields = (("Host", listener.address), *headers, ("Connection", "keep-alive"))
    record = replace(exchange(), request=Request(method, target, "HTTP/1.1", fields, body, len(body)))
    line, left_out = written(vegeta, record)
    assert left_out == {}
    attack(line)
    request_line, *lines = listener.heads[0].split(b"\r\n")
    assert request_line == f"{method} {target} HTTP/1.1".encode()
    sent = sorted(line.decode("latin-1").partition(":")[::2] for line in lines)
    wanted = [("Host", listener.address), *headers, *([("Content-Length", str(len(body)))] if body else [])]
    assert [(name, value.strip()) for name, value in sent] == sorted(wanted)
    assert listener.bodies[0] == body


@pytest.mark.net
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize(
    ("method", "target", "headers", "body"),
    [
        ("GET", "/a%20b/../c?x=[1]&y={2}&q=%7E", (("X-Quote", 'it\'s "so" $HOME `id`'), ("X-Empty", "")), b""),
        ("POST", "/form", (("Content-Type", "application/x-www-form-urlencoded"),), b"@file=it's&x=$(id)"),
        ("PUT", "/json", (("Content-Type", "application/json"), ("User-Agent", "mine")), b'{"line":\n"two"}'),
        ("POST", "/binary", (), bytes(range(256))),
        ("POST", "/nothing", (), b""),
        ("GET", "/bytes", (("X-Bytes", "caf\xe9 '7\x01"),), b""),
        ("DELETE", "/x;y=1", (("Accept", "a"), ("Accept", "b")), b""),
        ("HEAD", "/head", (), b""),
        ("GET", "/caf\xc3\xa9?x=\xff'", (), b""),
        ("OPTIONS", "*", (), b""),
        ("GET", "http://shop.example/a?b", (), b""),
    ],
)
def test_curl_sends_the_same_request(
    listener: Listener, method: str, target: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    fields = (("Host", listener.address), *headers)
    record = replace(exchange(), request=Request(method, target, "HTTP/1.1", fields, body, len(body)))
    command, left_out = written(curl, record)
    assert left_out == {}
    subprocess.run(["bash", "-c", command.decode()], check=True, timeout=20, stdout=subprocess.DEVNULL)
    request_line, *lines = listener.heads[0].split(b"\r\n")
    assert request_line == f"{method} {target} HTTP/1.1".encode("latin-1")
    sent = sorted(tuple(line.decode("latin-1").split(": ", 1)) for line in lines if b": " in line)
    empty = [line for line in lines if line.endswith(b":")]
    wanted = sorted((name, value) for name, value in fields if value)
    if body or method in ("POST", "PUT"):
        wanted = sorted([*wanted, ("Content-Length", str(len(body)))])
    assert sent == wanted
    assert len(empty) == sum(not value for _, value in fields)
    assert listener.bodies[0] == body


def test_what_no_command_line_can_carry_is_counted_and_not_written() -> None:
    odd = replace(exchange(), request=replace(exchange().request, target="/a\tb"))
    data, left_out = written(curl, odd, exchange(headers=(("X", "a\0"),)))
    assert data == b""
    assert sum(left_out.values()) == 2


@pytest.mark.parametrize("target", ["har", "jsonl", "curl", "gor", "vegeta"])
def test_the_command_writes_each_format_to_a_file_or_to_stdout(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], target: str
) -> None:
    write_log(tmp_path / "log", [an_exchange(0), an_exchange(1)])
    out = tmp_path / "out"
    for extra in ([], ["--out", str(out)]):
        with pytest.raises(SystemExit) as ended:
            understudy.main(["log", "export", str(tmp_path / "log"), "--to", target, *extra])
        assert not ended.value.code
    assert capfdbinary.readouterr().out == out.read_bytes() != b""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "out"]


def test_a_file_that_cannot_be_written_is_one_line_and_exit_4(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_log(tmp_path / "log", [an_exchange(0)])
    with pytest.raises(SystemExit) as ended:
        understudy.main(["log", "export", str(tmp_path / "log"), "--to", "har", "--out", str(tmp_path / "no" / "x")])
    assert ended.value.code == 4
    assert capsys.readouterr().err == f"understudy: {tmp_path}/no/x: cannot be written: No such file or directory\n"
