"""A sealed segment rewritten after the fact: smaller, with the same records, and readers who were at it go on."""

from __future__ import annotations

import fcntl
import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capture.errors import BadInput
from capture.log.reader import open_log
from capture.log.rewrite import pacer, rewrite
from capture.settings import LogConfig
from tests.support.log_records import an_exchange, exchanges, without_id, write_log

KEY = "ab" * 32


def pages(count: int) -> list[bytes]:
    return [gzip.compress(b"<p>a paragraph of many</p>" * 40 + os.urandom(6).hex().encode()) for _ in range(count)]


def test_a_segment_sealed_as_it_was_written_becomes_smaller_and_keeps_records_ids_counts_and_rights(
    tmp_path: Path,
) -> None:
    records = [an_exchange(n, body=page, id=f"mine-{n}" if n % 7 == 0 else "") for n, page in enumerate(pages(100))]
    path = write_log(tmp_path, records, each=10)
    with open_log(tmp_path) as log:
        before, info = list(log.exchanges()), log.segments[0]
    mode = path.stat().st_mode
    done = rewrite(path, None)
    assert (done.why_not, done.after) == (None, path.stat().st_size)
    assert done.after < done.before / 2
    assert path.stat().st_mode == mode
    with open_log(tmp_path) as log:
        assert list(log.exchanges()) == before
        again = log.segments[0]
        assert (again.records, again.first_ns, again.last_ns, again.final, again.raw_bytes) == (
            info.records,
            info.first_ns,
            info.last_ns,
            info.final,
            info.raw_bytes,
        )
        assert log.get("mine-7") == before[7]
        assert log.get(before[8].id) == before[8]
        assert [x.session for x in log.exchanges(session="session-3")] == ["session-3"] * 5
    assert list(tmp_path.iterdir()) == [path]


def test_rewriting_again_does_nothing_unless_it_is_asked_for(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(50), each=5)
    assert rewrite(path, None).why_not is None
    data = path.read_bytes()
    assert rewrite(path, None).why_not == "rewritten before"
    assert path.read_bytes() == data
    rewrite(path, None, again=True)
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(50)


def test_readers_that_are_under_way_when_the_segment_is_replaced_miss_nothing_and_see_nothing_twice(
    tmp_path: Path,
) -> None:
    records = [an_exchange(n, body=(b"one body of many " * 9) + b"%d" % (n % 3)) for n in range(100)]
    path = write_log(tmp_path, records, each=10)
    with open_log(tmp_path) as log, open_log(tmp_path) as other:
        ordered, unordered = log.exchanges(), other.unordered()
        found, seen = [next(ordered) for _ in range(15)], [next(unordered) for _ in range(25)]
        assert rewrite(path, None).why_not is None
        found += ordered
        seen += unordered
        assert without_id(found) == records
        assert without_id(seen) == records
        last = log.get(found[-1].id)
        assert last == found[-1]
        assert (log.damage, other.damage) == ([], [])


def test_an_encrypted_segment_stays_encrypted_under_the_same_key(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=4, key=KEY)
    with pytest.raises(BadInput, match="the log is encrypted with key"):
        rewrite(path, None)
    assert rewrite(path, bytes.fromhex(KEY)).why_not is None
    assert b"/things/" not in path.read_bytes()
    with open_log(tmp_path, key=bytes.fromhex(KEY)) as log:
        assert without_id(log.exchanges()) == exchanges(40)
        assert log.segments[0].encrypted


def test_a_damaged_segment_stays_as_it_is(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=4)
    data = bytearray(path.read_bytes())
    data[400] ^= 1
    path.write_bytes(data)
    assert rewrite(path, None).why_not == "damaged; see understudy log verify"
    assert path.read_bytes() == data


def test_where_there_is_no_time_or_another_process_is_at_it_the_segment_stays_as_it_is(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=4)
    data = path.read_bytes()
    assert rewrite(path, None, lambda: False).why_not is not None
    copy = path.with_suffix(".tmp")
    with copy.open("wb") as busy:
        fcntl.flock(busy, fcntl.LOCK_EX)
        assert rewrite(path, None).why_not is not None
        assert copy.exists()
    assert path.read_bytes() == data


def test_what_a_killed_process_left_does_not_stand_in_the_way(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=4)
    path.with_suffix(".tmp").write_bytes(b"half of a copy")
    assert rewrite(path, None).why_not is None
    assert list(tmp_path.iterdir()) == [path]


def test_a_segment_that_is_pruned_meanwhile_does_not_come_back(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=40)
    asked = iter((True, True))

    def prune() -> bool:
        first = next(asked)
        path.unlink(missing_ok=True)
        return first

    assert rewrite(path, None, prune).why_not == "pruned meanwhile"
    assert list(tmp_path.iterdir()) == []


def test_a_segment_that_would_not_be_smaller_stays_as_it_is(tmp_path: Path) -> None:
    path = write_log(tmp_path, [an_exchange(0)], compact=True)
    data = path.read_bytes()
    assert rewrite(path, None, again=True).why_not == "it would not be smaller"
    assert path.read_bytes() == data


def test_the_process_takes_the_key_on_its_standard_input_and_says_why_it_left_a_segment(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=4, key=KEY)
    command = [sys.executable, "-m", "capture.log.rewrite", str(path)]
    refused = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
    assert refused.returncode == 4
    assert "the log is encrypted with key" in refused.stderr
    assert refused.stderr.count("\n") == 1
    done = subprocess.run(command, input=KEY, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    with open_log(tmp_path, key=bytes.fromhex(KEY)) as log:
        assert without_id(log.exchanges()) == exchanges(40)


def test_pauses_keep_the_work_to_its_share_of_a_core() -> None:
    cpu, slept = iter([0.0, 2.0, 2.0, 5.0, 5.0]), []
    rest = pacer(0.25, lambda: next(cpu), slept.append)
    assert [rest(), rest()] == [True, True]
    assert slept == [6.0, 9.0]


def test_bodies_that_unpack_to_far_more_than_a_block_may_hold_stay_as_they_were_sent(tmp_path: Path) -> None:
    bombs = [an_exchange(n, body=gzip.compress(bytes(8 << 20) + b"%d" % n, mtime=1)) for n in range(9)]
    path = write_log(tmp_path, bombs, each=1)
    assert rewrite(path, None).why_not is None
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == bombs
        assert log.damage == []


def test_the_default_of_the_log_is_to_rewrite() -> None:
    assert LogConfig().compact
