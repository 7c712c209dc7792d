"""What a reader makes of segments that were cut, altered, made up, or left behind by a writer that was killed."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from capture.errors import UnderstudyError
from capture.exchange import Exchange
from capture.log.appender import OPEN_SUFFIX
from capture.log.block import frame, join_payload
from capture.log.dictionary import zstd
from capture.log.format import (
    BLOCK_HEAD_BYTES,
    BLOCK_MAGIC,
    BLOCK_RECORDS,
    HEADER_FIXED_BYTES,
    BlockHead,
    pack_block_head,
    unpack_block_head,
)
from capture.log.reader import Damage, open_log
from tests.support.log_records import an_exchange, exchanges, without_id, write_log

SEED = 20261123


def read_all(directory: Path) -> tuple[list[Exchange], list[Damage]]:
    with open_log(directory) as log:
        return list(log.exchanges()), log.damage


def put(directory: Path, name: str, data: bytes) -> Path:
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(data)
    return path


def block_offsets(data: bytes) -> list[int]:
    """Where blocks begin, the footer's included."""
    offsets, at = [], HEADER_FIXED_BYTES + int.from_bytes(data[12:16], "little")
    while data[at : at + 4] == BLOCK_MAGIC:
        offsets.append(at)
        at += BLOCK_HEAD_BYTES + unpack_block_head(data[at : at + BLOCK_HEAD_BYTES]).stored
    return offsets


def test_a_segment_cut_at_any_byte_gives_every_whole_block_and_says_where_the_rest_is_torn(tmp_path: Path) -> None:
    records = exchanges(12)
    whole = write_log(tmp_path / "whole", records, each=3)
    data = whole.read_bytes()
    offsets = block_offsets(data)
    header_end = offsets[0]
    for cut in range(len(data)):
        path = put(tmp_path / "cut", whole.stem + OPEN_SUFFIX, data[:cut])
        found, damage = read_all(tmp_path / "cut")
        blocks = sum(1 for end in offsets[1:] if end <= cut)
        assert without_id(found) == records[: 3 * blocks], cut
        if cut < header_end:
            assert [(item.file, item.offset) for item in damage] == [(str(path), 0)], cut
            continue
        last_whole = max([header_end, *(end for end in offsets if end <= cut)])
        if last_whole == offsets[-1] and cut >= len(data) - 32:
            last_whole = len(data) - 32
        torn = [] if cut == last_whole else [last_whole]
        assert [item.offset for item in damage] == torn, cut


def test_a_sealed_segment_that_was_cut_is_damaged_wherever_it_was_cut(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "whole", exchanges(12), each=3)
    data = whole.read_bytes()
    for cut in [*block_offsets(data), *range(len(data) - 60, len(data))]:
        put(tmp_path / "cut", whole.name, data[:cut])
        _, damage = read_all(tmp_path / "cut")
        assert damage, cut


@pytest.mark.parametrize("name", ["sealed", "open"])
def test_a_thousand_flipped_bits_are_each_found_and_nothing_wrong_is_read(tmp_path: Path, name: str) -> None:
    noise = random.Random(SEED).randbytes(300)
    records = [*exchanges(12), *(an_exchange(n, body=noise) for n in range(12, 18))]
    good = {record.times.request_start: record for record in records}
    whole = write_log(tmp_path / "whole", records, each=3)
    data = whole.read_bytes()
    file_name = whole.name if name == "sealed" else whole.stem + OPEN_SUFFIX
    chance = random.Random(SEED + 1)
    for _ in range(1000):
        bit = chance.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        put(tmp_path / "flipped", file_name, bytes(flipped))
        found, damage = read_all(tmp_path / "flipped")
        assert damage, f"bit {bit} was flipped and nothing said so"
        for record in found:
            assert replace(record, id="") == good[record.times.request_start], bit


def test_reading_goes_on_behind_a_damaged_block_and_says_how_many_records_are_lost(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "whole", exchanges(12), each=3)
    data = bytearray(whole.read_bytes())
    second = block_offsets(bytes(data))[1]
    data[second + 5] ^= 0xFF
    for name in (whole.name, whole.stem + OPEN_SUFFIX):
        directory = tmp_path / name
        put(directory, name, bytes(data))
        found, damage = read_all(directory)
        assert [record.times.request_start for record in found] == [
            record.times.request_start for record in exchanges(12) if record.connection not in (3, 4, 5)
        ]
        assert [(item.offset, item.records) for item in damage if item.records] == [(second, 3)]


def test_records_whose_body_was_in_a_damaged_block_are_lost_and_not_read_without_it(tmp_path: Path) -> None:
    body = os.urandom(500)
    records = [an_exchange(0, body=body), an_exchange(1), an_exchange(2, body=body), an_exchange(3)]
    whole = write_log(tmp_path / "whole", records, each=1)
    data = bytearray(whole.read_bytes())
    first = block_offsets(bytes(data))[0]
    data[first + BLOCK_HEAD_BYTES + 40] ^= 1
    put(tmp_path / "bad", whole.name, bytes(data))
    found, damage = read_all(tmp_path / "bad")
    assert without_id(found) == [records[1], records[3]]
    assert sum(item.records or 0 for item in damage) == 2


@given(st.binary(max_size=400))
def test_random_bytes_give_nothing_but_our_own_errors(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        put(Path(name), "0123456789ab.seg", data)
        message = ""
        try:
            assert read_all(Path(name))[0] == []
        except UnderstudyError as error:
            message = str(error)
        assert "\n" not in message


def test_mutated_segments_give_nothing_but_good_records_and_our_own_errors(tmp_path: Path) -> None:
    chance = random.Random(SEED + 2)
    records = exchanges(12)
    good = set(map(repr, records))
    whole = write_log(tmp_path / "whole", records, each=3)
    data = whole.read_bytes()
    for _ in range(300):
        mutated = bytearray(data)
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(mutated))
            match chance.randrange(4):
                case 0:
                    mutated[at : at + 8] = chance.randbytes(8)
                case 1:
                    del mutated[at : at + chance.randrange(1, 100)]
                case 2:
                    mutated[at:at] = data[at // 2 : at // 2 + chance.randrange(200)]
                case _:
                    mutated[at : at + 8] = b"\xff" * 8
        put(tmp_path / "mutated", whole.name, bytes(mutated))
        try:
            found, _ = read_all(tmp_path / "mutated")
        except UnderstudyError:
            continue
        assert all(repr(record) in good for record in without_id(found))


def hostile(header: bytes, head: BlockHead, payload: bytes) -> bytes:
    from dataclasses import replace as changed

    import xxhash

    return header + pack_block_head(changed(head, payload_sum=xxhash.xxh3_64_intdigest(payload))) + payload


def hostile_segments(header: bytes) -> dict[str, bytes]:
    """Segments whose checksums are all right and whose content wants to eat the reader's memory."""
    gigabyte = zstd.compress(bytes(1 << 30), 1)
    bomb = BlockHead(BLOCK_RECORDS, 0, len(gigabyte), 64 << 20, 0, 1, 0, 0, 0, 0, 0)
    end = b"\x94\x90\x90\x90\x00"
    empty_arrays = b"\x94\x90\x90\xdd" + (40 << 20).to_bytes(4, "big") + b"\x90" * (40 << 20) + end
    bodies = b"\x94\xdd" + (30 << 20).to_bytes(4, "big") + b"\xc4\x00" * (30 << 20) + b"\x90\x90" + end
    refs = b"\x94\x90\xdd" + (60 << 20).to_bytes(4, "big") + bytes(60 << 20) + b"\x90" + end
    packed = b"\x94\x90\x90\x90\x94\xdd" + (40 << 20).to_bytes(4, "big") + bytes(40 << 20) + b"\x90\x90\x00"
    nested = b"\x94\x90\x90" + b"\x91" * (1 << 20)
    long_bin = b"\x94\x90\x90\xdd\xff\xff\xff\xff\xc6\xff\xff\xff\xff"
    found = {"a gigabyte in a megabyte": hostile(header, bomb, gigabyte)}
    for name, payload in {
        "forty million empty records": empty_arrays,
        "thirty million bodies": bodies,
        "sixty million references": refs,
        "forty million recipes": packed,
        "a million levels": nested,
        "lengths of four gigabytes": long_bin,
    }.items():
        stored = zstd.compress(payload, 1)
        head = BlockHead(BLOCK_RECORDS, 0, len(stored), len(payload), 0, 1, 0, 0, 0, 0, 0)
        found[name] = hostile(header, head, stored)
    huge = bytearray(hostile(header, bomb, b"x"))
    huge[len(header) + 8 : len(header) + 16] = (1 << 60).to_bytes(8, "little")
    found["a length of 2**60"] = bytes(huge)
    long_header = bytearray(header)
    long_header[12:16] = b"\xff" * 4
    found["a header of four gigabytes"] = bytes(long_header)
    return found


def test_bombs_and_impossible_lengths_are_refused_within_bounded_memory(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "whole", exchanges(3))
    data = whole.read_bytes()
    header = data[: block_offsets(data)[0]]
    for number, (name, content) in enumerate(hostile_segments(header).items()):
        directory = tmp_path / str(number)
        put(directory, f"{number:012}.open", content)
        script = textwrap.dedent(f"""
            import re
            from pathlib import Path
            from capture.log.reader import open_log
            def peak():
                return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
            before = peak()
            log = open_log({str(directory)!r})
            assert list(log.exchanges()) == []
            assert log.damage
            print(peak() - before)
        """)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (name, done.stderr)
        assert int(done.stdout) < 300_000, f"{name} took {done.stdout} KiB"


WRITE_FOREVER = """
import sys
from pathlib import Path
from capture.exchange import Exchange
from capture.log.segment import RecordWriter
from capture.settings import LogConfig
from tests.support.log_records import an_exchange

config = LogConfig(fsync="off", block_bytes=16384, segment_bytes=200_000)
writer = RecordWriter(Path(sys.argv[1]), Exchange, "exchange", config, {})
number, blocks = 0, 0
print("ready", flush=True)
while True:
    writer.write(an_exchange(number), number)
    number += 1
    if writer.pending == 0:
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()
"""


def kill_while_writing(directory: Path, after_s: float) -> int:
    """Start a writer at full speed, kill it, and return how many records it had said were flushed."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_FOREVER, str(directory)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        said = 0
        with subprocess.Popen(["sleep", str(after_s)]) as timer:
            while timer.poll() is None:
                said = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().rpartition("\n")[0]
        if rest:
            said = int(rest.split("\n")[-1])
    return said


def check_after_kill(directory: Path, said: int) -> None:
    with open_log(directory) as log:
        found = list(log.exchanges())
        damage = log.damage
    assert len(found) >= said, "a flushed block was lost"
    assert without_id(found) == exchanges(len(found))
    assert all("torn tail" in item.what or "header" in item.what for item in damage), damage


def test_after_kill_9_every_flushed_block_reads_back(tmp_path: Path) -> None:
    check_after_kill(tmp_path / "log", kill_while_writing(tmp_path / "log", 0.15))


@pytest.mark.slow
def test_after_kill_9_at_fifty_random_moments_every_flushed_block_reads_back(tmp_path: Path) -> None:
    chance = random.Random()
    for run in range(50):
        directory = tmp_path / str(run)
        check_after_kill(directory, kill_while_writing(directory, chance.uniform(0.001, 0.25)))
        for path in directory.iterdir():
            path.unlink()


def test_a_payload_that_decodes_to_something_else_than_its_head_says_is_damage(tmp_path: Path) -> None:
    whole = write_log(tmp_path / "whole", exchanges(3))
    data = whole.read_bytes()
    header = data[: block_offsets(data)[0]]
    for payload in (
        join_payload([], [], b"", 0),
        join_payload([], [0, 0, 7], b"\x90", 1),
        join_payload([], [-1, 0, 0], b"\x90", 1),
        join_payload([b"x"], [], b"", 0),
        b"\x92\x90\x90",
        b"{}",
        b"",
    ):
        head = BlockHead(BLOCK_RECORDS, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0)
        put(tmp_path / "odd", "0123456789ab.open", header + frame(head, payload, 3, None))
        found, damage = read_all(tmp_path / "odd")
        assert found == []
        assert len(damage) == 1, payload


def test_the_reader_needs_few_open_files_for_many_segments(tmp_path: Path) -> None:
    for _ in range(40):
        write_log(tmp_path, exchanges(1))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    in_use = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + 10, hard))
    try:
        found, _ = read_all(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(found) == 40
