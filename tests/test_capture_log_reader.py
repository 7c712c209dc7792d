"""A log read in time order, by id, by time, by session, as it grows, with and without its key."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from capture.conservation import Conservation
from capture.errors import BadInput
from capture.exchange import Exchange
from capture.log import reader as reader_module
from capture.log.appender import OPEN_SUFFIX
from capture.log.reader import Log, open_log, open_segment_file, read_records
from capture.log.rewrite import rewrite
from capture.log.segment import RecordWriter
from capture.log.source import FileSource
from capture.log.writer import LogWriter
from capture.settings import LogConfig
from tests.support.log_records import START_NS, an_exchange, exchanges, without_id, write_log

KEY = "5c" * 32
MS = 1_000_000


def test_segments_of_many_writers_are_merged_in_time_order(tmp_path: Path) -> None:
    chance = random.Random(5)
    records = exchanges(600)
    shares: list[list[Exchange]] = [[] for _ in range(6)]
    for record in records:
        shares[chance.randrange(6)].append(record)
    for share in shares:
        late = sorted(share, key=lambda record: record.times.request_start + chance.randrange(40 * MS))
        write_log(tmp_path, late, each=7)
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == records


def test_a_straggler_that_was_written_at_the_end_comes_first(tmp_path: Path) -> None:
    records = [*exchanges(40, first=1), an_exchange(0)]
    write_log(tmp_path, records, each=10)
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(41)


def test_records_of_one_instant_come_in_the_order_in_which_they_were_written_however_the_blocks_are_cut(
    tmp_path: Path,
) -> None:
    chance = random.Random(11)
    records = [an_exchange(n, at_ns=START_NS + chance.randrange(12) * MS) for n in range(120)]
    in_order = sorted(records, key=lambda record: record.times.request_start)
    for each in (1, 2, 3, 7, 50, 200):
        segment = write_log(tmp_path / str(each), records, each=each)
        with open_log(tmp_path / str(each)) as log:
            assert without_id(log.exchanges()) == in_order
        rewrite(segment, None)
        with open_log(tmp_path / str(each)) as log:
            assert without_id(log.exchanges()) == in_order


def test_records_of_one_instant_come_segment_after_segment(tmp_path: Path) -> None:
    for part in range(3):
        records = [an_exchange(100 * part + n, at_ns=START_NS + (n + part) % 4 * MS) for n in range(40)]
        write_log(tmp_path, records, each=3 + part)
    with open_log(tmp_path) as log:
        written = list(log.unordered())
        assert list(log.exchanges()) == sorted(written, key=lambda record: record.times.request_start)
    assert [record.id for record in written] == [
        f"{path.stem}-{number}" for path in sorted(tmp_path.iterdir()) for number in range(40)
    ]


def test_a_segment_that_is_sealed_while_the_log_is_open_keeps_its_place(tmp_path: Path) -> None:
    config = LogConfig(fsync="off", compact=False)
    first = RecordWriter(tmp_path, Exchange, "exchange", config, {}, now_ns=lambda: START_NS)
    second = RecordWriter(tmp_path, Exchange, "exchange", config, {}, now_ns=lambda: START_NS + 5 * MS)
    for number, writer in enumerate((first, second)):
        writer.write(an_exchange(number, at_ns=START_NS), START_NS)
        writer.flush()
    with open_log(tmp_path) as log:
        before = list(log.exchanges())
        first.close()
        assert list(log.follow(until=lambda: True)) == before
        assert list(log.exchanges()) == before
    second.close()
    assert [record.request.target for record in before] == ["/things/0", "/things/1"]


def test_many_open_blocks_are_read_in_shares_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.log.merge.MERGE_BUDGET_BYTES", 4000)
    records = exchanges(1000)
    for part in range(10):
        write_log(tmp_path, records[part::10], each=50)
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == records


def test_a_time_range_holds_its_start_and_not_its_end(tmp_path: Path) -> None:
    write_log(tmp_path, exchanges(100))
    with open_log(tmp_path) as log:
        found = without_id(log.exchanges(START_NS + 20 * MS, START_NS + 40 * MS))
    assert found == exchanges(20, first=20)


class CountingSource(FileSource):
    """Counts the blocks that are read."""

    __slots__ = ()
    reads = 0

    def read(self, offset: int, length: int) -> bytes:
        CountingSource.reads += 1
        return super().read(offset, length)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[CountingSource]:
    monkeypatch.setattr("capture.log.store.FileSource", CountingSource)
    CountingSource.reads = 0
    return CountingSource


def test_a_time_range_an_id_and_a_session_read_only_the_blocks_they_need(
    tmp_path: Path, counted: type[CountingSource]
) -> None:
    segment = write_log(tmp_path, exchanges(1000), each=10)
    with open_log(tmp_path) as log:
        opening = counted.reads
        assert opening <= 4
        assert len(list(log.exchanges(START_NS + 20 * MS, START_NS + 40 * MS))) == 20
        assert counted.reads - opening == 2
        assert log.get(f"{segment.stem}-777") is not None
        assert counted.reads - opening == 3
        assert len(list(log.exchanges(session="session-33"))) == 5
        assert counted.reads - opening <= 3 + 1 + 5


def test_an_id_is_found_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    segment = write_log(tmp_path, exchanges(35))
    with open_log(tmp_path) as log:
        found = log.get(f"{segment.stem}-34")
        assert found is not None
        assert without_id([found]) == [an_exchange(34)]
        assert log.get(f"{segment.stem}-35") is None
        assert log.get(f"{segment.stem}--1") is None
        assert log.get("000000000000-1") is None
        assert log.get("") is None


def test_an_id_that_a_record_brought_with_it_is_kept_and_found(tmp_path: Path) -> None:
    records = [an_exchange(n, id=f"import/{n}") if n % 3 == 0 else an_exchange(n) for n in range(60)]
    segment = write_log(tmp_path, records, each=7)
    with open_log(tmp_path) as log:
        assert [record.id for record in log.exchanges()][:4] == [
            "import/0",
            f"{segment.stem}-1",
            f"{segment.stem}-2",
            "import/3",
        ]
        found = log.get("import/33")
        assert found == an_exchange(33, id="import/33")
        assert log.get(f"{segment.stem}-33") is None
        assert log.get("import/34") is None


def test_an_explicit_id_is_found_in_a_segment_that_is_not_sealed(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path, Exchange, "exchange", LogConfig(fsync="off"), {})
    writer.write(an_exchange(1, id="mine"), START_NS)
    writer.flush()
    with open_log(tmp_path) as log:
        assert log.get("mine") == an_exchange(1, id="mine")
    writer.close()


def test_a_session_that_is_not_there_has_no_exchanges(tmp_path: Path) -> None:
    write_log(tmp_path, exchanges(50))
    with open_log(tmp_path) as log:
        assert list(log.exchanges(session="nobody")) == []


def test_following_gives_what_is_there_and_then_what_is_added_once_across_rotation_and_compaction(
    tmp_path: Path,
) -> None:
    writer = RecordWriter(
        tmp_path, Exchange, "exchange", LogConfig(fsync="off", segment_bytes=4000, block_bytes=1024), {}
    )
    records = exchanges(150)
    rest = iter(records)

    def write_more(_seconds: float) -> None:
        for _ in range(7):
            record = next(rest, None)
            if record is None:
                writer.close()
                return
            writer.write(record, record.times.request_start)
        writer.flush()

    def closed() -> bool:
        return not list(tmp_path.glob("*" + OPEN_SUFFIX))

    with open_log(tmp_path) as log:
        found = list(log.follow(until=closed, sleep=write_more))
    assert without_id(found) == records
    assert len(writer.segments_sealed) > 2


def test_two_readers_and_one_writer_at_once(tmp_path: Path) -> None:
    directory = tmp_path / "log"
    writer = LogWriter(directory, LogConfig(fsync="off", flush_ms=5, segment_bytes=20_000, block_bytes=2048), {})
    written = threading.Event()
    found: list[list[Exchange]] = [[], []]

    def follow(place: int) -> None:
        with open_log(directory) as log:
            found[place] = list(log.follow(poll_s=0.005, until=written.is_set))

    readers = [threading.Thread(target=follow, args=(place,)) for place in range(2)]
    for thread in readers:
        thread.start()
    records = exchanges(3000)
    for record in records:
        while writer.put(record) is not None:
            pass
    writer.close(Conservation())
    written.set()
    for thread in readers:
        thread.join(30)
    for place in range(2):
        assert sorted(without_id(found[place]), key=lambda x: x.connection) == records


def test_a_log_copied_with_cp_while_it_is_written_is_readable_up_to_its_last_whole_block(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "log", Exchange, "exchange", LogConfig(fsync="off", block_bytes=2048), {})
    for number, record in enumerate(exchanges(300)):
        writer.write(record, record.times.request_start)
        if number % 100 == 50:
            subprocess.run(["cp", "-r", str(tmp_path / "log"), str(tmp_path / f"copy{number}")], check=True)
            with open_log(tmp_path / f"copy{number}") as log:
                assert without_id(log.exchanges()) == exchanges(number + 1 - writer.pending)
                assert [info.live for info in log.segments] == [False]
    writer.close()


def test_a_segment_that_is_being_written_is_live_and_its_unfinished_end_is_no_damage(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path, Exchange, "exchange", LogConfig(fsync="off"), {"source": "x"})
    writer.write(an_exchange(0), START_NS)
    writer.flush()
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b"USBK half a block")
    with open_log(tmp_path) as log:
        (info,) = log.segments
        assert (info.live, info.sealed, info.records, info.meta) == (True, False, 1, {"source": "x"})
        assert log.damage == []
    writer.close()


def test_where_the_open_and_the_sealed_file_are_both_there_only_the_sealed_one_counts(tmp_path: Path) -> None:
    sealed = write_log(tmp_path, exchanges(20))
    shutil.copy(sealed, tmp_path / (sealed.stem + OPEN_SUFFIX))
    with open_log(tmp_path) as log:
        assert len(list(log.exchanges())) == 20


def test_an_encrypted_log_reads_with_its_key_and_says_nothing_without(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), key=KEY)
    data = path.read_bytes()
    assert b"shop.example" not in data
    assert b"session-1" not in data
    with open_log(tmp_path, key=bytes.fromhex(KEY)) as log:
        assert without_id(log.exchanges()) == exchanges(40)
        assert log.segments[0].encrypted
    with pytest.raises(BadInput, match=r"encrypted with key [0-9a-f]{16}; give it with --log-key-file"):
        open_log(tmp_path)
    with pytest.raises(BadInput, match="the key given is"):
        open_log(tmp_path, key=bytes(32))


def test_an_encrypted_log_takes_its_key_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_log(tmp_path, exchanges(3), key=KEY)
    monkeypatch.setenv("UNDERSTUDY_LOG_KEY", KEY)
    with open_log(tmp_path) as log:
        assert len(list(log.exchanges())) == 3


def test_an_altered_block_of_an_encrypted_log_is_not_read_even_with_all_checksums_put_right(tmp_path: Path) -> None:
    import xxhash

    from capture.log.format import BLOCK_HEAD_BYTES
    from tests.test_capture_log_scan import block_offsets

    path = write_log(tmp_path, exchanges(4), each=2, key=KEY)
    data = bytearray(path.read_bytes())
    first, second, footer = block_offsets(bytes(data))
    data[second + BLOCK_HEAD_BYTES + 20] ^= 1
    payload = bytes(data[second + BLOCK_HEAD_BYTES : footer])
    data[second + 52 : second + 60] = xxhash.xxh3_64_intdigest(payload).to_bytes(8, "little")
    head = bytes(data[second : second + 60])
    data[second + 60 : second + 68] = xxhash.xxh3_64_intdigest(head).to_bytes(8, "little")
    path.write_bytes(data)
    assert first < second
    with open_log(tmp_path, key=bytes.fromhex(KEY)) as log:
        assert without_id(log.exchanges()) == exchanges(2)
        assert "cannot be decrypted" in log.damage[0].what


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such log"),
        (lambda path: path.write_text("x"), "a log is a directory of segments, this is a file"),
        (lambda path: path.mkdir(), "no segments of a log here"),
    ],
)
def test_what_is_not_a_log_is_refused_in_one_line(tmp_path: Path, make: object, message: str) -> None:
    path = tmp_path / "there"
    make(path)  # type: ignore[operator]
    with pytest.raises(BadInput, match=message) as error:
        open_log(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_newer_major_version_is_refused_with_advice(tmp_path: Path) -> None:
    import xxhash

    path = write_log(tmp_path, exchanges(1))
    data = bytearray(path.read_bytes())
    data[8] = 2
    end = 24 + int.from_bytes(data[12:16], "little")
    data[16:24] = xxhash.xxh3_64_intdigest(bytes(data[:16]) + bytes(data[24:end])).to_bytes(8, "little")
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"format 2\.0, this program reads up to 1\.x; install a newer understudy"):
        open_log(tmp_path)


def test_records_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_log(tmp_path, exchanges(1))
    with pytest.raises(BadInput, match="holds records of kind 'exchange', expected 'performance'"):
        read_records(tmp_path, Exchange, "performance")


def test_one_segment_file_is_a_log_of_its_own(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(5))
    write_log(tmp_path, exchanges(5))
    with open_segment_file(path) as log:
        assert len(list(log.exchanges())) == 5


def test_conservation_is_the_sum_of_the_footers(tmp_path: Path) -> None:
    counts = Conservation()
    writer = LogWriter(
        tmp_path, LogConfig(fsync="off", flush_ms=1, block_bytes=1024, segment_bytes=2000, compact=False), {}
    )
    writer.sync_conservation(lambda: counts)
    for record in exchanges(300):
        counts.seen += 1
        counts.kept += 1
        while writer.put(record) is not None:
            pass
    counts.seen += 7
    counts.sampled_out += 4
    counts.shed["queue_full"] += 3
    writer.close(counts)
    with open_log(tmp_path) as log:
        assert len(log.segments) > 2
        assert log.conservation().as_dict() == counts.as_dict()
        assert sum(info.records for info in log.segments) == 300


def test_the_log_is_not_changed_by_reading_it(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(5))
    before = path.read_bytes()
    path.chmod(0o400)
    with open_log(tmp_path) as log:
        list(log.exchanges())
    assert path.read_bytes() == before


def test_importing_the_reader_needs_neither_object_stores_nor_cryptography() -> None:
    script = "import sys, capture.log.reader as r; print({'obstore', 'cryptography', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert isinstance(Log, type)
    assert reader_module.__all__ == [
        "Damage",
        "Log",
        "SegmentInfo",
        "open_log",
        "open_segment",
        "open_segment_file",
        "read_records",
    ]
