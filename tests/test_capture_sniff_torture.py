"""A torture capture of 200 connections: read whole without loss, the missing counted with it; tshark beside it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from capture.sources.sniff import read_capture
from tests.support.packets import Collector, read
from tests.support.torture import torture, write_pcap


@pytest.mark.parametrize("seed", range(3))
def test_without_loss_the_exchanges_are_those_that_were_sent(seed: int) -> None:
    made = torture(seed, 200, 0.0)
    collector, table = read(made.segments)
    assert len(collector.exchanges) == len(made.sent)
    assert {e.request.target: e.response and e.response.body for e in collector.exchanges} == made.sent
    assert all(exchange.complete for exchange in collector.exchanges)
    assert table.counts.gaps == 0
    assert table.counts.overlapped_bytes > 0


@pytest.mark.parametrize("loss", [0.01, 0.05])
@pytest.mark.parametrize("seed", range(3))
def test_with_loss_no_answer_is_paired_wrongly_and_what_is_missing_is_counted(seed: int, loss: float) -> None:
    made = torture(seed, 200, loss)
    collector, table = read(made.segments)
    whole = {e.request.target: e.response.body for e in collector.exchanges if e.complete and e.response}
    assert whole == {target: body for target, body in made.sent.items() if target in whole}
    assert len(whole) < len(made.sent)
    assert table.counts.gaps > 0
    # An exchange of which only parts were captured that name no message (the middle of a body) can go unnoticed.
    counted = collector.counts.seen - collector.counts.opaque
    assert len(made.sent) - made.unseen - loss * 100 <= counted <= len(made.sent)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_all_that_tshark_reads_is_read(tmp_path: Path) -> None:
    made = torture(7, 200, 0.0)
    path = tmp_path / "torture.pcap"
    write_pcap(path, made.segments)
    collector = Collector()
    read_capture([path], collector)
    words = ["tshark", "-r", str(path), "-n", "-o", "tcp.reassemble_out_of_order:TRUE", "-Y", "http", "-T", "fields"]
    fields = [word for name in ("tcp.stream", "http.request.uri") for word in ("-e", name)]
    done = subprocess.run([*words, *fields], capture_output=True, text=True, timeout=100, check=True)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    asked = {uri for row in rows for uri in row[1].split(",") if uri}
    # tshark loses a few where a segment came before the handshake; all that it reads is read here, and was sent.
    assert asked <= {exchange.request.target for exchange in collector.exchanges} == set(made.sent)
    assert len(asked) >= 0.95 * len(made.sent)
