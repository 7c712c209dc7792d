"""A torture capture of 200 connections: read whole without loss, the missing counted with it; tshark beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from capture.sources.packets.ip import SYN, Segment
from capture.sources.sniff import read_capture
from tests.support.packets import Collector, read
from tests.support.torture import torture, write_pcap
from tests.support.witness import hidden, is_recognised


@pytest.mark.parametrize("seed", range(3))
def test_without_loss_the_exchanges_are_those_that_were_sent(seed: int) -> None:
    made = torture(seed, 200, 0.0)
    collector, table = read(made.segments)
    assert len(collector.exchanges) == len(made.sent)
    assert {e.request.target: e.response and e.response.body for e in collector.exchanges} == made.sent
    assert all(exchange.complete for exchange in collector.exchanges)
    assert table.counts.gaps == 0
    assert table.counts.overlapped_bytes > 0


@pytest.mark.parametrize("loss", [0.01, 0.05, 0.15])
@pytest.mark.parametrize("seed", range(4))
def test_with_loss_no_answer_is_paired_wrongly_and_every_missing_exchange_is_counted(seed: int, loss: float) -> None:
    made = torture(seed, 200, loss)
    collector, table = read(made.segments)
    counts = collector.counts
    whole = {e.request.target: e.response.body for e in collector.exchanges if e.complete and e.response}
    assert whole == {target: body for target, body in made.sent.items() if target in whole}
    assert len(whole) == counts.kept < len(made.sent)
    assert table.counts.gaps > 0
    unrecognised = [talk for talk in made.talks if not is_recognised(talk)]
    assert collector.reasons.count("unrecognised") <= len(unrecognised)
    cannot_be_told = sum(hidden(talk) for talk in made.talks if is_recognised(talk))
    cannot_be_told += sum(len(talk.exchanges) for talk in unrecognised)
    assert cannot_be_told == 0 or loss > 0.01  # at one in a hundred nothing is hidden
    missing = sum(counts.incomplete.values()) + sum(counts.shed.values()) + collector.reasons.count("request_head_cut")
    assert len(made.sent) == counts.kept + missing + cannot_be_told


def test_with_half_of_all_lost_each_connection_counts_what_can_be_told() -> None:
    made = torture(3, 200, 0.5)
    by_port: dict[bytes, list[Segment]] = {}
    for segment in made.segments:
        by_port.setdefault(max(segment.flow[-4:-2], segment.flow[-2:]), []).append(segment)
    compared = 0
    for number, talk in enumerate(made.talks):
        counts = read(by_port.get((2000 + number).to_bytes(2, "big"), []))[0].counts
        if is_recognised(talk):
            compared += 1
            assert counts.seen == len(talk.exchanges) - hidden(talk), number
    assert compared > 150


def _by_tshark(path: Path) -> tuple[set[str], set[str]]:
    """The targets of all requests that tshark reads, and all bodies of responses, which say whose they are."""
    words = ["tshark", "-r", str(path), "-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "http", "-T", "fields"]
    fields = [word for name in ("http.request.uri", "http.file_data") for word in ("-e", name)]
    done = subprocess.run([*words, *fields], capture_output=True, text=True, timeout=100, check=True)
    columns = zip(*(line.split("\t") for line in done.stdout.splitlines()), strict=True)
    targets, bodies = ({value for cell in column for value in cell.split(",") if value} for column in columns)
    return targets, {body for body in bodies if body.startswith("/")}


def _by_us(path: Path) -> tuple[set[str], set[str]]:
    collector = Collector()
    read_capture([path], collector)
    bodies = {(exchange.response.body or b"").decode() for exchange in collector.exchanges if exchange.response}
    return {exchange.request.target for exchange in collector.exchanges}, bodies


def _client(segment: Segment) -> int | None:
    """The number of the connection where a client sent this, None where its server did."""
    sender = int.from_bytes(segment.flow[-4:-2], "big")
    return sender - 2000 if sender != 80 else None


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_reads_the_same_where_it_can(tmp_path: Path) -> None:
    made = torture(7, 200, 0.0)
    write_pcap(tmp_path / "torture.pcap", made.segments)
    all_of_it = (set(made.sent), {body.decode() for body in made.sent.values()})
    asked, _ = _by_tshark(tmp_path / "torture.pcap")
    assert _by_us(tmp_path / "torture.pcap") == all_of_it
    assert asked < set(made.sent)
    # Before it has seen the SYN, tshark takes the first segment for the beginning of a stream, whatever lies before it.
    # So it loses requests of connections, and only of those, whose first bytes were captured before their SYN.
    begun, early = set(), set()
    for segment in made.segments:
        number = _client(segment)
        if number is not None and segment.flags & SYN:
            begun.add(number)
        elif number is not None and segment.data and number not in begun:
            early.add(number)
    assert {int(target.split("/")[1]) for target in set(made.sent) - asked} <= early
    # With the SYN of each direction in its place, and all else as wild as it was, both read everything.
    opened = [segment for segment in made.segments if segment.flags & SYN]
    rest = [segment for segment in made.segments if not segment.flags & SYN]
    write_pcap(tmp_path / "opened.pcap", opened + rest)
    assert _by_tshark(tmp_path / "opened.pcap") == _by_us(tmp_path / "opened.pcap") == all_of_it
