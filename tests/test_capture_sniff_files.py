"""Capture files: every recorded one gives what is expected of it, and none of any kind breaks the reader."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.errors import BadInput
from capture.exchange import Exchange
from capture.sources.packets.files import merged, read_frames
from capture.sources.sniff import Reader, read_capture
from tests.support import pcapng
from tests.support.packets import Collector, Talk
from tests.support.torture import frame_of

_OTHERWISE = {
    "chunked-request-extension-trailers.pcap": "lines end with bare line feeds: flagged, not guessed at",
    "request-then-garbage.pcap": "the request's lines end with bare line feeds: its answer is kept, the rest is opaque",
    "smuggling-leading-zeros.pcap": "Content-Length with leading zeros: flagged",
    "smuggling-obs-fold.pcap": "Transfer-Encoding in a folded line: flagged",
    "truncated-packets.pcap": "heads are cut off: what was there is counted as lost",
    "midstream-orphan-response.pcapng": "an answer without its question is counted, not recorded",
    "grpc-h2c.pcapng": "the expectation leaves HTTP/2 out; it is read here",
}
"""Files whose exchanges are not exactly those of the expectation, and why; each has a test of its own below."""


def read(path: Path) -> Collector:
    collector = Collector()
    read_capture([path], collector, body_bytes_max=1 << 24)
    assert collector.counts.balanced(), collector.counts.line()
    return collector


def found(exchange: Exchange, client: str) -> tuple[Any, ...]:
    request, response = exchange.request, exchange.response
    return (
        f"{client} > {exchange.server}",
        request.method,
        request.target,
        request.version,
        response and response.status,
        request.body_bytes,
        response and response.body_bytes,
        _sha(request.body),
        response and _sha(response.body),
        exchange.complete,
    )


def wanted(entry: dict[str, Any]) -> tuple[Any, ...]:
    names = ("conn", "method", "target", "version", "status", "request_body_bytes", "response_body_bytes")
    shas = (entry["request_body_sha256"] or None, entry["response_body_sha256"] or None)
    return (*(entry[name] for name in names), *shas, bool(entry["request_complete"] and entry["response_complete"]))


def _sha(body: bytes | None) -> str | None:
    return hashlib.sha256(body).hexdigest() if body else None


def in_order(collector: Collector) -> list[tuple[Any, ...]]:
    """By connection; within one, in the order in which the requests began."""
    got = [found(e, collector.clients[n - 1]) for n, e in sorted(zip(collector.order, collector.exchanges, strict=True),
                                                                 key=lambda pair: pair[0])]  # fmt: skip
    return sorted(got, key=lambda exchange: str(exchange[0]))


def test_every_recorded_capture_gives_its_exchanges(corpora: Path) -> None:
    summary = json.loads((corpora / "pcap/expected/SUMMARY.json").read_text())
    exact = 0
    for name, facts in summary.items():
        path = corpora / "pcap" / name
        collector = read(path)
        tls = facts["connections_by_kind"].get("tls", 0)
        assert collector.reasons.count("tls") == tls, name
        if name in _OTHERWISE:
            continue
        expected = json.loads((corpora / "pcap/expected" / f"{path.stem}.json").read_text())
        assert in_order(collector) == sorted(map(wanted, expected), key=lambda entry: str(entry[0])), name
        assert sum(collector.counts.shed.values()) == 0, name
        exact += 1
    assert exact == len(summary) - len(_OTHERWISE)


@pytest.mark.parametrize(
    ("name", "reason", "status"),
    [
        ("chunked-request-extension-trailers.pcap", "request_bare_lf", None),
        ("request-then-garbage.pcap", "request_bare_lf", 301),
        ("smuggling-leading-zeros.pcap", "request_bad_content_length", None),
        ("smuggling-obs-fold.pcap", "request_obs_fold", None),
    ],
)
def test_what_is_ambiguous_is_flagged_and_the_rest_left(
    corpora: Path, name: str, reason: str, status: int | None
) -> None:
    collector = read(corpora / "pcap" / name)
    (exchange,) = collector.exchanges
    assert (exchange.incomplete_reason, collector.reasons) == (reason, [reason])
    assert (exchange.response and exchange.response.status) == status


def test_an_answer_without_its_question_is_counted(corpora: Path) -> None:
    collector = read(corpora / "pcap/midstream-orphan-response.pcapng")
    assert [(e.request.target, e.response and e.response.status) for e in collector.in_order()] == [
        ("/icons/ubuntu-logo.png", 200),
        ("/favicon.ico", 404),
    ]
    assert dict(collector.counts.shed) == {"no_request": 1}


def test_heads_that_the_capture_cut_off_are_counted_as_lost(corpora: Path) -> None:
    collector = Collector()
    reader = read_capture([corpora / "pcap/truncated-packets.pcap"], collector)
    assert not [exchange for exchange in collector.exchanges if exchange.complete]
    assert collector.counts.seen == 10
    assert collector.counts.shed["gap"] + collector.counts.incomplete["gap"] == 9
    assert reader.decoder.counts["cut"] > 0 or reader.connections.counts.gaps > 0


def test_grpc_over_cleartext_http2_is_read(corpora: Path) -> None:
    (exchange,) = read(corpora / "pcap/grpc-h2c.pcapng").exchanges
    assert (exchange.request.version, exchange.request.target, exchange.complete) == (
        "HTTP/2",
        "/tutorial.PersonSearchService/Search",
        True,
    )
    assert exchange.response is not None
    assert ("grpc-status", "0") in exchange.response.trailers


def test_ports_choose_connections(corpora: Path) -> None:
    for ports, count in ((80, 1), (81, 0)):
        collector = Collector()
        read_capture([corpora / "pcap/simple-get.pcap"], collector, ports=[ports])
        assert len(collector.exchanges) == count


def test_a_gzipped_capture_is_read(corpora: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pcap.gz"
    path.write_bytes(gzip.compress((corpora / "pcap/simple-get.pcap").read_bytes()))
    assert len(read(path).exchanges) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_a_tear_between_or_inside_the_heads_of_packets_is_said(corpora: Path, tmp_path: Path, packed: bool) -> None:
    data = (corpora / "pcap/simple-get.pcap").read_bytes()
    path = tmp_path / "a.pcap"
    path.write_bytes(gzip.compress(data)[:-30] if packed else data + b"\1\2\3")
    damaged: list[str] = []
    read_capture([path], Collector(), damaged=damaged.append)
    assert len(damaged) == 1
    assert "torn or damaged behind packet" in damaged[0]


def test_simple_packets_of_an_interface_without_a_limit_are_read(corpora: Path, tmp_path: Path) -> None:
    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

    written = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 1, 0, 0))
    for frame in read_frames(corpora / "pcap/simple-get.pcap", pytest.fail):
        written += block(3, struct.pack("<I", len(frame.data)) + frame.data)
    path = tmp_path / "a.pcapng"
    path.write_bytes(written)
    (exchange,) = read(path).exchanges
    assert exchange.complete


def test_a_torn_capture_is_read_up_to_the_tear(corpora: Path, tmp_path: Path) -> None:
    for name in ("two-100-continue.pcap", "keepalive-37-head-split.pcapng"):
        data = (corpora / "pcap" / name).read_bytes()
        path = tmp_path / name
        path.write_bytes(data[: len(data) // 2 + 3])
        frames = list(read_frames(path, lambda line: None))
        assert 5 < len(frames) < len(list(read_frames(corpora / "pcap" / name, lambda line: None)))
    damaged: list[str] = []
    list(read_frames(path, damaged.append))
    assert len(damaged) == 1
    assert "torn or damaged behind packet" in damaged[0]


def test_every_torn_file_of_many_is_said(corpora: Path, tmp_path: Path) -> None:
    data = (corpora / "pcap/keepalive-37-head-split.pcapng").read_bytes()
    paths = [tmp_path / f"{n}.pcapng" for n in range(5)]
    for path in paths:
        path.write_bytes(data[:-6])
    damaged: list[str] = []
    read_capture(paths, Collector(), damaged=damaged.append)
    assert [line.partition(": ")[0] for line in damaged] == list(map(str, paths))
    assert len({line.partition(": ")[2] for line in damaged}) == 1


@pytest.mark.parametrize("data", [b"", b"\xa1\xb2\xc3\xd4", b"GET / HTTP/1.1\r\n\r\n", b"\x1f\x8bxx", b"\n\r\r\n" * 9])
def test_what_is_not_a_capture_is_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"x\.pcap: not a pcap or pcapng capture file"):
        list(read_frames(path, lambda line: None))
    with pytest.raises(BadInput, match=r"cannot be read: No such file"):
        list(read_frames(tmp_path / "none.pcap", lambda line: None))


@given(st.data())
def test_any_damage_to_a_capture_is_survived(corpora: Path, tmp_path_factory: pytest.TempPathFactory,
                                             data: st.DataObject) -> None:  # fmt: skip
    name = data.draw(st.sampled_from(["pipelined-gzip.pcap", "head-301.pcapng", "vlan.pcap", "ipv6-loopback.pcap"]))
    content = bytearray((corpora / "pcap" / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 1] = data.draw(st.binary(max_size=4))
    path = tmp_path_factory.mktemp("damaged") / name
    path.write_bytes(content)
    collector = Collector()
    try:
        read_capture([path], collector)
    except BadInput:
        return
    assert collector.counts.balanced()


@given(st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276, 9999]), st.lists(st.binary(max_size=120), max_size=6))
def test_frames_of_any_bytes_are_survived(link_type: int, frames: list[bytes]) -> None:
    reader = Reader(Collector(), 1 << 20)
    for number, frame in enumerate(frames):
        reader.frame(link_type, frame, number)
        for kind in (b"\x08\x00\x45", b"\x86\xdd\x60", b"\x81\x00", b"\x88\x47"):
            reader.frame(1, bytes(12) + kind + frame, number)
    reader.close()
    assert reader.frames == 5 * len(frames)


def test_a_file_without_times_is_read(tmp_path: Path, corpora: Path) -> None:
    """Simple packet blocks of pcapng have none."""
    frames = list(read_frames(corpora / "pcap/simple-get.pcap", lambda line: None))
    blocks = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHII", 1, 20, 1, 0, 0, 20),
    ]
    blocks[1] = struct.pack("<IIHHII", 1, 20, 1, 0, 65535, 20)
    for frame in frames:
        padded = frame.data + bytes(-len(frame.data) % 4)
        size = 16 + len(padded)
        blocks.append(struct.pack("<III", 3, size, len(frame.data)) + padded + struct.pack("<I", size))
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"".join(blocks))
    assert len(read(path).exchanges) == 1


def _frames(port: int) -> list[bytes]:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    talk = Talk(port).open().client(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % port).server(answer).close()
    return [frame_of(segment) for segment in talk.segments]


def _at(path: Path) -> list[tuple[str, int]]:
    """Target and second of every exchange; nothing else may be counted, and nothing be called damaged."""
    collector = Collector()
    read_capture([path], collector, damaged=pytest.fail)
    assert collector.counts.kept == collector.counts.seen
    return [(e.request.target, e.times.request_start // 1_000_000_000) for e in collector.exchanges]


def test_each_section_of_a_file_has_its_own_interfaces_and_byte_order(tmp_path: Path) -> None:
    """As `cat` of two files makes one: the numbers of the interfaces begin again."""
    path = tmp_path / "a.pcapng"
    written = pcapng.section("<") + pcapng.interface("<", 1)
    for frame in _frames(1001):
        written += pcapng.packet("<", 0, 1_700_000_000 * 10**6, frame)
    written += pcapng.section(">") + pcapng.interface(">", 101, pcapng.option(">", 9, b"\x09"))
    for frame in _frames(1002):
        written += pcapng.packet(">", 0, 1_700_000_005 * 10**9, frame[14:])
    path.write_bytes(written)
    assert _at(path) == [("/1001", 1_700_000_000), ("/1002", 1_700_000_005)]


def test_times_count_from_the_offset_that_the_interface_names(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    written = pcapng.section("<")
    for offset_s in (1_700_000_000, -10):
        written += pcapng.interface("<", 1, pcapng.option("<", 14, struct.pack("<q", offset_s)))
    for number, port in enumerate((1001, 1002)):
        for frame in _frames(port):
            written += pcapng.packet("<", number, 17 * 10**6, frame)
    path.write_bytes(written)
    assert _at(path) == [("/1001", 1_700_000_017), ("/1002", 7)]


def test_secrets_of_tls_and_blocks_of_other_kinds_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    keys = struct.pack("<II", 0x544C534B, 5) + b"hello" + bytes(3) + pcapng.option("<", 1, b"keys")
    written = pcapng.section("<") + pcapng.block("<", 10, keys)
    written += pcapng.block("<", 10, struct.pack("<II", 0x57474B4C, 4) + b"wire")
    written += pcapng.interface("<", 1, pcapng.option("<", 2, b"lo") + pcapng.option("<", 1, b"a comment"))
    written += pcapng.block("<", 4, struct.pack("<HH", 1, 6) + b"\x0a\0\0\1a\0" + bytes(6))
    written += pcapng.block("<", 0xBAD, struct.pack("<I", 32473) + b"custom")
    for frame in _frames(1001):
        written += pcapng.packet("<", 0, 1_700_000_000 * 10**6, frame)
    path.write_bytes(written + pcapng.block("<", 5, struct.pack("<III", 0, 0, 0)))
    assert _at(path) == [("/1001", 1_700_000_000)]


def _both_ways(port: int, seconds: int) -> list[tuple[int, bytes, bool]]:
    """One exchange as (time in us, frame, whether the client sent it)."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    talk = Talk(port).open().client(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % port).server(answer).close()
    return [
        (seconds * 10**6 + number, frame_of(segment), segment.flow == talk.forth)
        for number, segment in enumerate(talk.segments)
    ]


def _written(path: Path, packets: list[tuple[int, bytes, bool]]) -> Path:
    written = pcapng.section("<") + pcapng.interface("<", 1)
    path.write_bytes(written + b"".join(pcapng.packet("<", 0, at, frame) for at, frame, _ in packets))
    return path


def test_a_connection_goes_on_in_the_file_that_begins_where_the_last_one_ended(tmp_path: Path) -> None:
    """As captures are when they are rotated by size or time."""
    packets = _both_ways(1001, 1_700_000_000)
    for cut in range(1, len(packets)):
        parts = (packets[:cut], packets[cut:])
        paths = [_written(tmp_path / f"{n}.pcapng", part) for n, part in enumerate(parts)]
        collector = Collector()
        read_capture(paths, collector)
        assert (collector.counts.seen, collector.counts.kept) == (1, 1), cut


def test_files_of_other_times_are_read_each_on_its_own(tmp_path: Path) -> None:
    twice = [_written(tmp_path / "a.pcapng", _both_ways(1001, 1_700_000_000))] * 2
    later = [twice[0], _written(tmp_path / "b.pcapng", _both_ways(1001, 1_700_009_000))]
    for paths in (twice, later, later[::-1]):
        collector = Collector()
        read_capture(paths, collector)
        assert (collector.counts.seen, collector.counts.kept) == (2, 2)


def test_files_of_one_direction_each_are_one_capture_when_merged(tmp_path: Path) -> None:
    packets = sorted(packet for n in range(20) for packet in _both_ways(1001 + n, 1_700_000_000 + n % 7))
    forth = _written(tmp_path / "forth.pcapng", [packet for packet in packets if packet[2]])
    back = _written(tmp_path / "back.pcapng", [packet for packet in packets if not packet[2]])
    for paths in ([forth, back], [back, forth]):
        collector = Collector()
        reader = read_capture(paths, collector, merge=True)
        assert (collector.counts.seen, collector.counts.kept) == (20, 20)
        assert reader.frames == len(packets)


def test_damage_to_one_of_the_merged_files_is_said_once_and_the_others_are_read(tmp_path: Path) -> None:
    whole = _written(tmp_path / "a.pcapng", _both_ways(1001, 1_700_000_000))
    torn = _written(tmp_path / "b.pcapng", _both_ways(1002, 1_700_000_000))
    torn.write_bytes(torn.read_bytes() + b"\x06\0\0\0\x40\0\0\0")
    damaged: list[str] = []
    collector = Collector()
    read_capture([torn, whole], collector, merge=True, damaged=damaged.append)
    assert collector.counts.kept == 2
    assert len(damaged) == 1
    assert damaged[0].startswith(f"{torn}: torn or damaged behind packet")


def test_merged_files_are_open_only_while_their_time_has_come(tmp_path: Path) -> None:
    """However many there are of a rotated capture."""
    paths = [_written(tmp_path / f"{n}.pcapng", _both_ways(1001 + n, 1_700_000_000 + n)) for n in range(30)]
    open_at_once = []
    for _ in merged(paths[::-1], pytest.fail):
        files = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _is_link(fd)]
        open_at_once.append(sum(file.startswith(str(tmp_path)) for file in files))
    assert len(open_at_once) == 30 * len(_both_ways(1001, 0))
    assert max(open_at_once) <= 2


def _is_link(fd: str) -> bool:
    return os.path.islink(f"/proc/self/fd/{fd}")
