"""gRPC of every kind passes the relay as it passes without it, and the log has calls, messages and statuses."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import util
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from capture.conservation import Conservation
from capture.exchange import Exchange, header
from capture.log.reader import open_log
from tests.support.relay import ROOT, relay_process
from tests.test_capture_admin import KEY

pytestmark = [
    pytest.mark.net,
    pytest.mark.skipif(util.find_spec("grpc") is None, reason="grpcio is not installed"),
]

PROGRAM = (sys.executable, "-m", "tests.support.grpc_calls")


class Call(NamedTuple):
    """kind: "uu", "us", "su" or "ss": unary or streamed request and answer. code: gRPC's number of the status."""

    kind: str
    method: str
    sent: tuple[bytes, ...]
    answered: tuple[bytes, ...]
    code: int = 0


CALLS = (
    Call("uu", "Reverse", (b"lamp",), (b"pmal",)),
    Call("uu", "Reverse", (b"",), (b"",)),
    Call("uu", "Reverse", (b"lamp " * 20_000,), (b" pmal" * 20_000,)),
    Call("us", "Count", (b"3",), (b"item 0", b"item 1", b"item 2")),
    Call("us", "Count", (b"500",), tuple(f"item {n}".encode() for n in range(500))),
    Call("us", "Count", (b"0",), ()),
    Call("su", "Join", (b"a", b"b", b"c"), (b"a,b,c",)),
    Call("ss", "Echo", (b"one", b"two"), (b"one", b"two")),
    Call("uu", "Fail", (b"lamp",), (), 5),
    Call("us", "FailLate", (b"lamp",), (b"lamp",), 8),
    Call("uu", "Missing", (b"lamp",), (), 12),
)
"""Every kind of call, an empty message, one larger than a window, and failures at once, late and by no handler."""


class Passed(NamedTuple):
    """directly, through: what the client got without and with the relay, a value for each call."""

    directly: list[Any]
    through: list[Any]
    counts: Conservation
    records: list[Exchange]


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The gRPC server as a process; yields its address."""
    process = subprocess.Popen([*PROGRAM, "serve"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"127.0.0.1:{int(process.stdout.readline())}"
        process.communicate(timeout=20)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=20)


def called(address: str, *authority: str) -> list[Any]:
    """What a client gets that performs the calls."""
    calls = [{"kind": one.kind, "method": one.method, "messages": [each.hex() for each in one.sent]} for one in CALLS]
    command = [*PROGRAM, "call", address, *authority]
    done = subprocess.run(command, cwd=ROOT, input=json.dumps(calls), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Passed:
    log = tmp_path_factory.mktemp("grpc") / "log"
    with served() as address:
        directly = called(address)
        with relay_process(address, log, environ=KEY) as relay:
            through = called(relay.address)
            counts = relay.stop()
    with open_log(log) as opened:
        return Passed(directly, through, counts, list(opened.exchanges()))


def framed(messages: tuple[bytes, ...]) -> bytes:
    """Messages as they lie in a body: a flag, the length as four bytes, and the message (gRPC over HTTP/2)."""
    return b"".join(b"\0" + len(message).to_bytes(4, "big") + message for message in messages)


def test_a_client_gets_the_same_messages_metadata_and_statuses_through_the_relay(passed: Passed) -> None:
    assert passed.through == passed.directly
    for call, result in zip(CALLS, passed.through, strict=True):
        assert (result["code"], result["answers"]) == (call.code, [each.hex() for each in call.answered]), call.method
    assert passed.through[0]["initial"] == [["x-shelf", "7"], ["x-shelf", "8"]]
    assert passed.through[0]["trailing"] == [["x-cost", "2"], ["x-mark-bin", "b'\\x00\\xff'"]]
    assert passed.through[8]["details"] == "no lamp: 100 % gone, désolé"


def test_every_call_is_counted_and_kept(passed: Passed) -> None:
    assert (passed.counts.seen, passed.counts.kept, passed.counts.opaque) == (len(CALLS), len(CALLS), 0)
    assert all(record.complete for record in passed.records)


def test_the_log_has_each_call_with_its_messages_and_status(passed: Passed) -> None:
    assert len(passed.records) == len(CALLS)
    for call, record in zip(CALLS, passed.records, strict=True):
        asked, response = record.request, record.response
        assert (asked.method, asked.target, asked.version) == ("POST", f"/shop.Stock/{call.method}", "HTTP/2")
        assert (header(asked.headers, "content-type"), header(asked.headers, "te")) == ("application/grpc", "trailers")
        assert [value for name, value in asked.headers if name == "x-shop"] == ["north", "south"]
        assert asked.body == framed(call.sent)
        assert response is not None
        assert (response.status, response.body or b"") == (200, framed(call.answered))
        # An answer without messages has no trailers of its own: its status is in the only block of fields.
        where = response.trailers or response.headers
        assert header(where, "grpc-status") == str(call.code), call.method
        assert bool(response.trailers) is bool(call.answered), call.method
    first = passed.records[0].response
    assert first is not None
    assert [value for name, value in first.headers if name == "x-shelf"] == ["7", "8"]
    assert header(first.trailers, "x-cost") == "2"
    # Binary metadata is in base64, or as it is behind a zero byte where both ends offered that, as grpcio's do.
    assert header(first.trailers, "x-mark-bin") in ("AP8", "\0\0\xff")


def test_calls_of_one_channel_share_a_connection_in_the_log(passed: Passed) -> None:
    assert len({record.connection for record in passed.records}) == 1


def test_calls_over_tls_that_the_relay_terminates_get_the_same(passed: Passed, tmp_path: Path) -> None:
    certificate = certificate_of(tmp_path)
    with (
        served() as address,
        relay_process(address, tmp_path / "log", "--tls-cert", str(certificate), environ=KEY) as relay,
    ):
        assert called(relay.address, str(certificate)) == passed.directly
        counts = relay.stop()
    assert (counts.seen, counts.kept, counts.opaque) == (len(CALLS), len(CALLS), 0)
    with open_log(tmp_path / "log") as log:
        assert {record.scheme for record in log.exchanges()} == {"https"}


def certificate_of(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(path), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return path
