"""Counts that stand in shared memory are read as they were written, also by another process after a death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from capture.conservation import Conservation
from capture.count_board import CountBoard, board_file


@pytest.fixture
def fd() -> Iterator[int]:
    fd = board_file()
    yield fd
    os.close(fd)


def test_what_was_written_is_read_on_the_same_memory(fd: int) -> None:
    board, read = CountBoard(fd), CountBoard(fd)
    counts = Conservation()
    counts.seen, counts.kept, counts.sampled_out, counts.opaque = 10, 4, 2, 1
    board.count(counts)
    board.shed("queue_full", 1)
    board.shed("rate", 5)
    board.shed("rate", 1)
    board.incomplete("reset", 1)
    board.log(3, {"disk_full": 1, "too_large": 2})
    told = read.counts()
    counts.shed.update({"queue_full": 1, "rate": 1})
    counts.incomplete["reset"] = 1
    assert told.as_dict() == counts.as_dict()
    assert told.balanced()
    assert read.written() == 3
    assert read.lost() == {"disk_full": 1, "too_large": 2}
    board.close()
    read.close()


def test_memory_that_nobody_wrote_to_holds_no_counts(fd: int) -> None:
    board = CountBoard(fd)
    assert board.counts().as_dict() == Conservation().as_dict()
    assert (board.written(), board.lost()) == (0, {})


def test_more_reasons_than_fit_are_counted_together_and_none_is_lost(fd: int) -> None:
    board = CountBoard(fd)
    for n in range(100):
        board.shed(f"reason {n}", 1)
        board.shed(f"reason {n}", 2)
        board.incomplete("x" * 60, n)
    counts = board.counts()
    assert counts.shed.total() == 200
    assert counts.shed["reason 0"] == 2
    assert counts.shed["other"] == 200 - 2 * (len(counts.shed) - 1)
    assert counts.incomplete.total() == 99


def test_the_counts_of_a_killed_process_are_exact(fd: int) -> None:
    code = (
        "import sys; from capture.count_board import CountBoard; from capture.conservation import Conservation\n"
        "board, counts = CountBoard(int(sys.argv[1])), Conservation()\n"
        "while True:\n"
        "    counts.seen += 1; board.count(counts); counts.kept += 1; board.count(counts)\n"
        "    if counts.seen == 10000: print(flush=True); sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(fd)], pass_fds=[fd], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.communicate(timeout=30)
    counts = CountBoard(fd).counts()
    assert (counts.seen, counts.kept) == (10000, 10000)
