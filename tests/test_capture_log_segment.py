"""Records into blocks, blocks into segments, segments into a directory within its budget."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture.errors import UsageError
from capture.exchange import Exchange, Response
from capture.log.appender import OPEN_SUFFIX, SEALED_SUFFIX, is_locked, new_segment_id
from capture.log.reader import open_log, read_records
from capture.log.segment import RecordTooLarge, RecordWriter
from capture.settings import LogConfig
from replay.outcome import Failure, Outcome, Performance
from tests.support.log_records import START_NS, an_exchange, exchanges, without_id, write_log

QUICK = LogConfig(fsync="off")


def writer_of(directory: Path, config: LogConfig = QUICK, **options: object) -> RecordWriter[Exchange]:
    return RecordWriter(directory, Exchange, "exchange", config, {"source": "test"}, **options)  # type: ignore[arg-type]


def test_what_was_written_is_read_back_with_ids_of_the_segment(tmp_path: Path) -> None:
    segment = write_log(tmp_path, exchanges(35))
    with open_log(tmp_path) as log:
        found = list(log.exchanges())
    assert without_id(found) == exchanges(35)
    assert [record.id for record in found] == [f"{segment.stem}-{n}" for n in range(35)]


def test_a_segment_is_open_while_it_is_written_and_renamed_when_it_is_sealed(tmp_path: Path) -> None:
    writer = writer_of(tmp_path)
    (open_path,) = tmp_path.iterdir()
    assert open_path.suffix == OPEN_SUFFIX
    assert is_locked(open_path)
    writer.write(an_exchange(0), START_NS)
    writer.close()
    (sealed,) = tmp_path.iterdir()
    assert sealed.name == open_path.stem + SEALED_SUFFIX


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    writer = writer_of(tmp_path)
    writer.close()
    writer.close()
    assert len(list(tmp_path.iterdir())) == 1


def test_segments_rotate_by_size(tmp_path: Path) -> None:
    writer = writer_of(tmp_path, LogConfig(fsync="off", segment_bytes=4000, block_bytes=1024))
    for record in exchanges(200):
        writer.write(record, record.times.request_start)
    writer.close()
    assert len(writer.segments_sealed) > 3
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(200)


def test_segments_rotate_by_age_also_when_nothing_more_comes(tmp_path: Path) -> None:
    now = [START_NS]
    writer = writer_of(tmp_path, LogConfig(fsync="off", segment_seconds=60), now_ns=lambda: now[0])
    writer.write(an_exchange(0), START_NS)
    now[0] += 59 * 10**9
    writer.flush()
    assert writer.segments_sealed == []
    now[0] += 10**9
    writer.flush()
    assert len(writer.segments_sealed) == 1


def test_a_body_that_repeats_is_stored_once_in_a_segment(tmp_path: Path) -> None:
    noise = os.urandom(50_000)
    records = [an_exchange(n, body=noise) for n in range(40)]
    path = write_log(tmp_path, records, each=4)
    assert path.stat().st_size < 60_000
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == records


def test_request_bodies_and_absent_bodies_keep_their_place(tmp_path: Path) -> None:
    body = b"one and the same body, long enough to be kept apart from its record" * 3
    base = an_exchange(1, body=body)
    request = dataclasses_replace(base.request, body=body, body_bytes=len(body))
    records = [
        dataclasses_replace(base, request=request),
        dataclasses_replace(base, response=None),
        dataclasses_replace(base, request=dataclasses_replace(request, body=None)),
    ]
    write_log(tmp_path, records, each=1)
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == records


def dataclasses_replace(record: object, **changes: object) -> object:
    from msgspec.structs import replace

    return replace(record, **changes)  # type: ignore[type-var]


def test_records_of_another_kind_keep_all_their_bodies(tmp_path: Path) -> None:
    exchange = an_exchange(3, body=b"answer " * 40, id="abc-3")
    same = Outcome("current", "current", 1, 2, 3, 4, response=exchange.response)
    cut = Outcome(
        "candidate", "candidate", 1, 2, 3, 4,
        failure=Failure("cut", "body", partial=Response(200, "OK", "HTTP/1.1", (), b"half " * 30, 300)),
    )  # fmt: skip
    records = [
        Performance(0, exchange, (same, cut)),
        Performance(1, exchange, skipped="unsafe_method"),
        Performance(2, exchange, (same, same)),
    ]
    writer = RecordWriter(tmp_path, Performance, "performance", QUICK, {})
    for record in records:
        writer.write(record, record.position)
        writer.flush()
    writer.close()
    assert list(read_records(tmp_path, Performance, "performance")) == records


def test_a_quiet_service_gets_its_small_blocks_rewritten_when_the_segment_is_sealed(tmp_path: Path) -> None:
    records = [*exchanges(300), *(an_exchange(n, body=b"the same answer " * 20) for n in range(300, 320))]
    plain = write_log(tmp_path / "plain", records, each=2)
    small = write_log(tmp_path / "small", records, each=2, compact=True)
    assert small.stat().st_size < plain.stat().st_size / 3
    for directory in ("plain", "small"):
        with open_log(tmp_path / directory) as log:
            assert without_id(log.exchanges()) == records
    with open_log(tmp_path / "small") as log:
        assert log.segments[0].blocks == 1
        assert without_id(log.exchanges(session="session-7")) == records[35:40]
    assert [path.name for path in (tmp_path / "small").iterdir()] == [small.name]


def test_a_quiet_segment_is_sealed_early_so_that_rewriting_it_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.log.segment._COMPACT_BYTES", 20_000)
    now = [START_NS]
    writer = writer_of(tmp_path, LogConfig(fsync="off", block_bytes=1024), now_ns=lambda: now[0])
    for record in exchanges(200):
        now[0] += 10**9
        writer.write(record, record.times.request_start)
    writer.close()
    assert len(writer.segments_sealed) > 2
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(200)
        assert {info.blocks for info in log.segments} <= {0, 1}


def test_a_busy_segment_is_not_rewritten(tmp_path: Path) -> None:
    writer = writer_of(tmp_path, LogConfig(fsync="off", block_bytes=1024), now_ns=lambda: START_NS)
    for record in exchanges(200):
        writer.write(record, record.times.request_start)
    writer.close()
    with open_log(tmp_path) as log:
        assert log.segments[0].blocks > 10


def test_rewriting_that_takes_too_long_or_finds_no_space_leaves_the_segment_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.log.segment._COMPACT_DENSE_S", -1.0)
    path = write_log(tmp_path / "late", exchanges(40), compact=True)
    with open_log(tmp_path / "late") as log:
        assert (log.segments[0].blocks, log.segments[0].sealed) == (4, True)
        assert without_id(log.exchanges()) == exchanges(40)
    assert list((tmp_path / "late").iterdir()) == [path]


def test_unfinished_copies_of_a_killed_writer_are_removed_and_young_ones_are_not(tmp_path: Path) -> None:
    for name, age_s in (("old", 100), ("young", 1)):
        path = tmp_path / f"{name}.tmp"
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    writer_of(tmp_path).close()
    assert [path.name for path in tmp_path.glob("*.tmp")] == ["young.tmp"]


def test_the_disk_budget_prunes_the_oldest_sealed_segments(tmp_path: Path) -> None:
    now = [START_NS]
    config = LogConfig(fsync="off", disk_bytes_max=20_000, segment_bytes=3000, block_bytes=1024, compact=False)
    writer = writer_of(tmp_path, config, now_ns=lambda: now[0])
    for record in exchanges(1000):
        now[0] += 10**9
        writer.write(record, record.times.request_start)
    writer.close()
    assert writer.pruned > 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 24_000
    with open_log(tmp_path) as log:
        kept = without_id(log.exchanges())
    assert kept == exchanges(len(kept), 1000 - len(kept))


def test_the_disk_budget_can_stop_instead_and_nothing_is_lost_that_was_written(tmp_path: Path) -> None:
    config = LogConfig(fsync="off", disk_bytes_max=5000, when_full="stop", block_bytes=1024, compact=False)
    writer = writer_of(tmp_path, config)
    written = 0
    with pytest.raises(OSError, match="budget of 5000 bytes") as error:  # noqa: PT012 - which write it is must be known
        for record in exchanges(1000):
            writer.write(record, record.times.request_start)
            written += 1
    assert error.value.errno == errno.EDQUOT
    assert writer.full
    held = writer.pending
    assert writer.abandon() == held
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(written + 1 - held)


def test_a_record_that_cannot_be_encoded_leaves_no_trace(tmp_path: Path) -> None:
    writer = writer_of(tmp_path)
    writer.write(an_exchange(0), START_NS)
    bad = dataclasses_replace(an_exchange(1, body=b"body " * 100), session="\ud800")
    with pytest.raises(ValueError):
        writer.write(bad, START_NS)  # type: ignore[arg-type]
    writer.write(an_exchange(2, body=b"body " * 100), START_NS)
    writer.close()
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == [an_exchange(0), an_exchange(2, body=b"body " * 100)]


def test_a_record_over_the_bounds_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    writer = writer_of(tmp_path)
    huge = dataclasses_replace(an_exchange(1), notes=("n" * (5 << 20),))
    with pytest.raises(RecordTooLarge):
        writer.write(huge, START_NS)  # type: ignore[arg-type]
    with pytest.raises(RecordTooLarge):
        writer.write(an_exchange(1, body=b"b" * (33 << 20)), START_NS)
    writer.write(an_exchange(2, body=b"b" * (20 << 20)), START_NS)
    writer.close()
    with open_log(tmp_path) as log:
        (found,) = log.exchanges()
    assert found.response is not None
    assert found.response.body == b"b" * (20 << 20)


def test_after_a_failed_write_the_record_is_still_held_and_the_file_ends_with_a_whole_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = writer_of(tmp_path)
    writer.write(an_exchange(0), START_NS)
    writer.flush()
    writer.write(an_exchange(1), START_NS)

    def half(fd: int, data: bytes, offset: int, real: object = os.pwrite) -> int:
        if len(data) > 200:
            return real(fd, data[:101], offset)  # type: ignore[operator, no-any-return]
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                writer.flush()
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == [an_exchange(0)]
        assert log.segments[0].torn_at is None
    writer.close()
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(2)


def test_segment_ids_sort_by_the_millisecond_they_were_made_in() -> None:
    ids = [new_segment_id(START_NS + n * 10**6) for n in range(100)]
    assert ids == sorted(ids)
    assert {len(name) for name in ids} == {12}


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "tiny"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {done.stderr.decode().strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_on_a_disk_that_fills_up_every_flushed_block_reads_back_and_writing_goes_on_when_there_is_space(
    tiny_disk: Path,
) -> None:
    ballast = tiny_disk / "ballast"
    ballast.write_bytes(b"x" * 100_000)
    writer = writer_of(tiny_disk, LogConfig(fsync="seal", block_bytes=4096))
    records = [an_exchange(n, body=os.urandom(1000)) for n in range(200)]
    written = 0
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012 - which write it is must be known
        for record in records:
            written += 1
            writer.write(record, record.times.request_start)
    held = writer.pending
    with open_log(tiny_disk) as log:
        assert without_id(log.exchanges()) == records[: written - held]
    with pytest.raises(OSError, match="No space left"):
        writer.flush()
    ballast.unlink()
    writer.flush()
    for record in records[written : written + 20]:
        writer.write(record, record.times.request_start)
    writer.close()
    with open_log(tiny_disk) as log:
        assert without_id(log.exchanges()) == records[: written + 20]
        assert log.damage == []


def test_two_keys_in_the_configuration_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="key and key_file are both given"):
        writer_of(tmp_path, LogConfig(key="00" * 32, key_file=tmp_path / "key"))


def test_steps_that_are_performed_elsewhere_make_the_same_log(tmp_path: Path) -> None:
    config = LogConfig(fsync="off", segment_bytes=4000, block_bytes=1024)
    steps: list[Callable[[], None]] = []
    writer = writer_of(tmp_path / "elsewhere", config, elsewhere=steps.append)
    for record in exchanges(200):
        writer.write(record, record.times.request_start)
    writer.close()
    with open_log(tmp_path / "elsewhere") as log:
        assert not list(log.exchanges())
    for step in steps:
        step()
    assert len(writer.segments_sealed) >= 1
    with open_log(tmp_path / "elsewhere") as log:
        assert without_id(list(log.exchanges())) == exchanges(200)
        assert not log.damage


def test_bodies_that_come_again_are_stored_once_whether_long_or_short(tmp_path: Path) -> None:
    bodies = [bytes([n]) * size for n in range(3) for size in (200, 40_000)]
    writer = writer_of(tmp_path)
    for number in range(60):
        writer.write(an_exchange(number, body=bytes(bytearray(bodies[number % 6]))), START_NS + number)
    writer.close()
    with open_log(tmp_path) as log:
        assert [x.response.body for x in log.exchanges() if x.response] == [bodies[n % 6] for n in range(60)]
        assert log.segments[0].raw_bytes is not None
        assert log.segments[0].raw_bytes < 3 * 40_200 + 60 * 400


def test_a_body_of_a_record_that_was_not_taken_is_stored_when_it_comes_again(tmp_path: Path) -> None:
    writer = writer_of(tmp_path)
    body = b"x" * 500
    with pytest.raises((TypeError, ValueError, OverflowError)):
        writer.write(replace(an_exchange(0, body=body), connection=1 << 80), START_NS)
    writer.write(an_exchange(1, body=body), START_NS)
    writer.close()
    with open_log(tmp_path) as log:
        assert [x.response.body for x in log.exchanges() if x.response] == [body]
