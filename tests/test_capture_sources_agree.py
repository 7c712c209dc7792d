"""The same 500 exchanges through every source give the same records, up to what docs/capture-sources.md lists."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import dataclasses
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest

from capture.exchange import Exchange, Headers, Request, Response, Times, header
from capture.log.reader import open_log
from capture.redact.coding import codings_of, decode
from tests.support.accounts import assert_conserved
from tests.support.script import Played, play, script, serve

pytestmark = pytest.mark.net

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "capture-sources.md"
_WAIT_S = 40
_ENVIRONMENT = os.environ | {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "0123456789abcdef" * 2}
_ATTACH_FILTER, _RECEIVE_BUFFER_FORCE = 26, 33
_SOL_PACKET, _IGNORE_OUTGOING = 263, 23


# --- the table


def _table() -> dict[str, dict[str, bool]]:
    """Source to fact to whether it is known, from the first table of the page."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| of an exchange"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    sources = rows[0][1:]
    known: dict[str, dict[str, bool]] = {source: {} for source in sources}
    for fact, *cells in rows[2:]:
        for source, cell in zip(sources, cells, strict=True):
            assert cell == "yes" or cell.startswith("no: "), f"{fact}, {source}: {cell!r}"
            known[source][fact] = cell == "yes"
    return known


@dataclasses.dataclass(frozen=True, slots=True)
class Fact:
    """fields: of the records that it is about. value: what of it a record says. of: the kinds that it applies to."""

    fields: tuple[str, ...]
    value: Callable[[Exchange], Any]
    of: Callable[[Played], bool] = lambda part: True


def _answer(value: Callable[[Response], Any]) -> Callable[[Exchange], Any]:
    return lambda exchange: None if exchange.response is None else value(exchange.response)


def _decoded(response: Response) -> bytes | None:
    return decode(response.body or b"", codings_of(response.headers), 1 << 20).body


def _but_connection(headers: Headers) -> Headers:
    return tuple(pair for pair in headers if pair[0] != "Connection")


def _known(name: str) -> Callable[[Exchange], bool]:
    return lambda exchange: getattr(exchange.times, name) is not None


_RESPONSE = "response."
FACTS = {
    "method": Fact(("request.method",), lambda e: e.request.method),
    "target, byte for byte": Fact(
        ("request.target",), lambda e: e.request.target, lambda part: part.kind != "asterisk"
    ),
    "target `*`": Fact(("request.target",), lambda e: e.request.target, lambda part: part.kind == "asterisk"),
    "HTTP version of the request": Fact(("request.version",), lambda e: e.request.version),
    "request fields: names, order, case, repetition": Fact(
        ("request.headers",), lambda e: _but_connection(e.request.headers)
    ),
    "request field Connection": Fact(("request.headers",), lambda e: header(e.request.headers, "connection")),
    "request body": Fact(
        ("request.body", "request.body_bytes", "request.truncated"),
        lambda e: (e.request.body, e.request.body_bytes, e.request.truncated),
    ),
    "request trailers": Fact(("request.trailers",), lambda e: e.request.trailers),
    "whether there was an answer": Fact(("response",), lambda e: e.response is not None),
    "status, reason and version of the answer": Fact(
        ("response.status", "response.reason", "response.version"), _answer(lambda r: (r.status, r.reason, r.version))
    ),
    "response fields: names, order, case, repetition": Fact(
        ("response.headers",), _answer(lambda r: r.headers), lambda part: part.kind != "gzip"
    ),
    "response fields of a compressed body": Fact(
        ("response.headers",), _answer(lambda r: r.headers), lambda part: part.kind == "gzip"
    ),
    "response body": Fact(("response.body",), _answer(_decoded)),
    "compressed response body as it was sent": Fact(
        ("response.body", "response.body_bytes", "response.truncated"),
        _answer(lambda r: (r.body, r.body_bytes, r.truncated)),
        lambda part: part.kind == "gzip",
    ),
    "response trailers": Fact(("response.trailers",), _answer(lambda r: r.trailers)),
    "time of the request's first byte": Fact(("times.request_start",), _known("request_start")),
    "time of the request's last byte": Fact(("times.request_end",), _known("request_end")),
    "time of the answer's first byte": Fact(("times.response_start",), _known("response_start")),
    "time of the answer's last byte": Fact(("times.response_end",), _known("response_end")),
    "which exchanges shared a connection": Fact(("connection",), lambda e: e.connection),
    "server and scheme": Fact(("server", "scheme"), lambda e: (e.server, e.scheme)),
    "session by the client's address": Fact(("session",), lambda e: e.session),
}
EVERYWHERE = {"id", "source", "kept_with", "incomplete_reason", "redacted", "times.left"}
"""Fields that are checked for every source alike."""
OWN_WORDS = {"notes"}
"""Fields in which a source says something of its own."""


def test_every_field_of_a_record_is_in_the_table() -> None:
    names = {field.name for field in msgspec.structs.fields(Exchange)} - {"request", "times"}
    for prefix, kind in (("request", Request), ("response", Response), ("times", Times)):
        names |= {f"{prefix}.{field.name}" for field in msgspec.structs.fields(kind)}
    assert {name for fact in FACTS.values() for name in fact.fields} | EVERYWHERE | OWN_WORDS == names
    assert all(list(facts) == list(FACTS) for facts in _table().values())


# --- the sources


@contextlib.contextmanager
def _source(log: Path, ready: str, *words: str) -> Iterator[tuple[str, Callable[[], str]]]:
    """A capturing command; yields what it prints once it is ready, and how to stop it, which gives its last line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "capture", *words, "--log", str(log), "--redact", "off"],
        cwd=ROOT, env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], _WAIT_S)[0], f"{words[0]} never said that it listens"
        line = process.stdout.readline()
        assert line.startswith(ready), line

        def stop() -> str:
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=_WAIT_S)
            assert process.returncode == 0
            return str(out.strip().splitlines()[-1])

        yield line.removeprefix(ready).strip(), stop
    finally:
        process.kill()
        process.communicate(timeout=_WAIT_S)


def _may_sniff() -> bool:
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (OSError, AttributeError):
        return False
    return True


@contextlib.contextmanager
def _recorded(path: Path, port: int) -> Iterator[None]:
    """Write all packets of a port on loopback to a pcap file with times in ns, by a plain packet socket."""
    from capture.sources.packets.ring import kernel_filter

    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    with contextlib.suppress(PermissionError):
        raw.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, 64 << 20)
    raw.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    code = kernel_filter(f"tcp port {port}", 1)
    buffer = ctypes.create_string_buffer(code, len(code))
    raw.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer)))
    raw.bind(("lo", 3))
    raw.settimeout(0.1)
    over = threading.Event()

    def record() -> None:
        with path.open("wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 1 << 18, 1))
            while True:
                try:
                    data = raw.recv(1 << 18)
                except TimeoutError:
                    if over.is_set():  # a packet is in the socket before its receiver has it
                        return
                    continue
                seconds, ns = divmod(time.time_ns(), 1_000_000_000)
                file.write(struct.pack("<IIII", seconds, ns, len(data), len(data)) + data)

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_WAIT_S)
        raw.close()


def _run(*words: str | Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "understudy", *map(str, words)],
        cwd=ROOT, env=_ENVIRONMENT, capture_output=True, text=True, timeout=_WAIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@contextlib.contextmanager
def _service() -> Iterator[tuple[asyncio.Runner, list[Played], int]]:
    """The service of the script in a loop of its own, the script, and its port."""
    with asyncio.Runner() as runner:
        answers: dict[int, bytes] = {}
        server = runner.run(serve(answers))
        port = server.sockets[0].getsockname()[1]
        parts = script(f"127.0.0.1:{port}")
        answers.update({part.number: part.answered for part in parts})
        try:
            yield runner, parts, port
        finally:
            server.close()
            runner.run(server.wait_closed())


# --- the comparison


def _records(log: Path) -> dict[int, Exchange]:
    """The exchanges of a log by the number that they carry; connections are numbered by their first exchange."""
    with open_log(log) as opened:
        listed = list(opened.exchanges())
    found = {int(header(exchange.request.headers, "x-number") or -1): exchange for exchange in listed}
    assert len(found) == len(listed), "an exchange was recorded twice"
    assert len({exchange.id for exchange in listed}) == len(listed)
    order: dict[int, int] = {}
    for number in sorted(found):
        if found[number].connection >= 0:
            order.setdefault(found[number].connection, len(order))
    return {
        number: msgspec.structs.replace(exchange, connection=order.get(exchange.connection, -1))
        for number, exchange in found.items()
    }


def _agree(name: str, source: str, log: Path, parts: list[Played], session: str) -> None:
    """Every record is what was sent, but for what the table says the source cannot know; and that it really cannot."""
    records = _records(log)
    assert sorted(records) == [part.number for part in parts], name
    known = _table()[source]
    differing: dict[str, list[tuple[Any, Any]]] = {fact: [] for fact in known}
    for part in parts:
        record = records[part.number]
        sent = msgspec.structs.replace(part.record, session=session)
        assert (record.source, record.kept_with, record.incomplete_reason, record.redacted) == (name, 1.0, None, ())
        assert record.times.left is None  # nobody left any of them
        times = [at for at in msgspec.structs.astuple(record.times) if at is not None]
        assert times == sorted(times), (name, part.kind, record.times)
        for fact, of in FACTS.items():
            if of.of(part) and of.value(record) != of.value(sent):
                differing[fact].append((of.value(record), of.value(sent)))
    wrong = {fact: (len(pairs), pairs[0]) for fact, pairs in differing.items() if pairs and known[fact]}
    assert not wrong, f"{name} says something else than what was sent: {wrong}"
    unjust = [fact for fact, pairs in differing.items() if not pairs and not known[fact] and "trailers" not in fact]
    assert not unjust, f"{name} knows what {PAGE.name} says it does not: {unjust}"


def test_the_same_exchanges_give_the_same_records_through_every_source(tmp_path: Path) -> None:
    sniffing = _may_sniff()
    logs = {name: tmp_path / name for name in ("relay", "mitm", "sniff", "pcap", "mirror", "har")}
    with _service() as (runner, parts, port), contextlib.ExitStack() as stack:
        upstream = f"127.0.0.1:{port}"
        run = stack.enter_context
        mode = f"reverse:http://{upstream}@127.0.0.1:0"
        relay, stop_relay = run(_source(
            logs["relay"], "listening on ", "relay", "--listen", "127.0.0.1:0", "--upstream", upstream
        ))  # fmt: skip
        stops = [stop_relay]
        if sniffing:
            _, stop_sniff = run(
                _source(logs["sniff"], "sniffing on ", "sniff", "--interface", "lo", "--port", str(port))
            )
            stops.append(stop_sniff)
        with _recorded(tmp_path / "lo.pcap", port) if sniffing else contextlib.nullcontext():
            runner.run(play(parts, int(relay.rpartition(":")[2])))
        for stop in stops:
            assert assert_conserved(stop()).kept == len(parts)
        if sniffing:
            _run("capture", "sniff", "--pcap", tmp_path / "lo.pcap", "--log", logs["pcap"], "--redact", "off")
        mirror, stop_mirror = run(_source(logs["mirror"], "listening on ", "mirror", "--listen", "127.0.0.1:0"))
        runner.run(play(parts, int(mirror.rpartition(":")[2])))
        assert assert_conserved(stop_mirror()).kept == len(parts)
        passing = [part for part in parts if part.kind != "trailers"]
        if find_spec("mitmproxy") is not None:
            mitm, stop_mitm = run(_source(
                logs["mitm"], "listening on ", "mitm", "--mode", mode, "--confdir", str(tmp_path / "conf")
            ))  # fmt: skip
            runner.run(play(passing, int(mitm.rpartition(":")[2])))
            assert assert_conserved(stop_mitm()).kept == len(passing)
    _run("log", "export", logs["relay"], "--to", "har", "--out", tmp_path / "all.har")
    _run("log", "import", tmp_path / "all.har", "--log", logs["har"], "--redact", "off")
    (session,) = {record.session for record in _records(logs["relay"]).values()}
    _agree("relay", "relay", logs["relay"], parts, session)
    _agree("mirror", "mirror", logs["mirror"], parts, session)
    _agree("har", "HAR", logs["har"], parts, session)
    if logs["mitm"].exists():
        _agree("mitm", "mitm", logs["mitm"], passing, session)
    if not sniffing:
        pytest.skip("all but sniffing agree; sniffing needs the capability CAP_NET_RAW")
    _agree("sniff", "sniff", logs["sniff"], parts, session)
    _agree("sniff", "sniff", logs["pcap"], parts, session)


async def _upgrade_and_tls(port: int, host: str) -> None:
    """One connection that is upgraded and echoes, and one that begins as TLS does and is ended by the service."""
    async with asyncio.timeout(_WAIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /up HTTP/1.1\r\nHost: {host}\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(b"GET / HTTP/1.1\r\n\r\n")  # of the other protocol, whatever it looks like
        assert await reader.readexactly(18) == b"GET / HTTP/1.1\r\n\r\n"
        writer.close()
        await writer.wait_closed()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()


@pytest.mark.skipif(not _may_sniff(), reason="sniffing needs the capability CAP_NET_RAW")
def test_upgrades_and_tls_are_opaque_to_all_that_read_bytes(tmp_path: Path) -> None:
    with _service() as (runner, _, port), contextlib.ExitStack() as stack:
        upstream = f"127.0.0.1:{port}"
        words = ("relay", "--listen", "127.0.0.1:0", "--upstream", upstream)
        relay, stop_relay = stack.enter_context(_source(tmp_path / "relay", "listening on ", *words))
        words = ("sniff", "--interface", "lo", "--port", str(port))
        _, stop_sniff = stack.enter_context(_source(tmp_path / "sniff", "sniffing on ", *words))
        runner.run(_upgrade_and_tls(int(relay.rpartition(":")[2]), upstream))
        counts = [assert_conserved(stop()) for stop in (stop_relay, stop_sniff)]
    assert [(one.kept, one.opaque) for one in counts] == [(1, 2), (1, 2)]
    for name in ("relay", "sniff"):
        with open_log(tmp_path / name) as opened:
            (record,) = opened.exchanges()
        assert record.request.target == "/up"
        assert record.response is not None
        assert (record.response.status, record.incomplete_reason) == (101, None)
