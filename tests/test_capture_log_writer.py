"""The log as capture sees it: never waiting, bounded, and honest about what a failing disk cost."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from capture.conservation import Conservation
from capture.log.reader import open_log
from capture.log.writer import LogWriter
from capture.settings import LogConfig
from tests.support.log_records import an_exchange, exchanges, without_id

QUICK = LogConfig(fsync="off", flush_ms=5, retry_ms=5)


class Disk:
    """os.pwrite that can be told to refuse."""

    def __init__(self) -> None:
        self.error: int | None = None
        self.tried = threading.Event()
        self._pwrite = os.pwrite

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        if self.error is not None:
            self.tried.set()
            raise OSError(self.error, os.strerror(self.error))
        return self._pwrite(fd, data, offset)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "pwrite", made.pwrite)
    return made


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    raise AssertionError("waited ten seconds in vain")


def test_what_was_put_is_read_back_and_the_footer_has_the_counts(tmp_path: Path) -> None:
    counts = Conservation()
    counts.seen, counts.kept, counts.sampled_out = 50, 40, 10
    writer = LogWriter(tmp_path, QUICK, {"source": "test", "listen": "127.0.0.1:1"})
    assert [writer.put(record) for record in exchanges(40)] == [None] * 40
    writer.close(counts)
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(40)
        assert log.conservation().as_dict() == counts.as_dict()
        assert log.segments[0].meta == {"source": "test", "listen": "127.0.0.1:1"}
        assert log.segments[0].final


def test_an_exchange_is_on_disk_after_the_flush_interval_without_a_close(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {})
    writer.put(an_exchange(0))

    def there() -> bool:
        with open_log(tmp_path) as log:
            return without_id(log.exchanges()) == [an_exchange(0)]

    wait_until(there)
    writer.close(Conservation())


def test_a_log_is_there_from_the_start_and_is_sealed_even_where_nothing_came(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {})
    with open_log(tmp_path) as log:
        assert log.segments[0].live
    writer.close(Conservation())
    with open_log(tmp_path) as log:
        assert [(info.sealed, info.records) for info in log.segments] == [(True, 0)]


def test_after_close_nothing_is_accepted_and_closing_again_is_harmless(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {})
    writer.close(Conservation())
    writer.close(Conservation())
    assert writer.put(an_exchange(0)) == "closed"
    assert writer.stats().refused == 1


@pytest.mark.parametrize(("number", "reason"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "log_error")])
def test_a_disk_that_refuses_stops_the_log_and_it_resumes_with_nothing_lost(
    tmp_path: Path, disk: Disk, number: int, reason: str
) -> None:
    writer = LogWriter(tmp_path, QUICK, {})
    disk.error = number
    assert writer.put(an_exchange(0)) is None
    assert disk.tried.wait(10)
    wait_until(lambda: writer.stats().failing == reason)
    assert writer.put(an_exchange(1)) == reason
    assert writer.stats().errors[errno.errorcode[number]] >= 1
    disk.error = None
    wait_until(lambda: writer.stats().failing is None)
    assert writer.put(an_exchange(2)) is None
    writer.close(Conservation())
    assert writer.lost == {}
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == [an_exchange(0), an_exchange(2)]


def test_a_disk_without_room_for_the_next_segment_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LogConfig(fsync="off", flush_ms=5, retry_ms=5, block_bytes=1024, segment_bytes=2000, compact=False)
    writer = LogWriter(tmp_path, config, {})
    refused = threading.Event()
    rename = os.rename

    def no_new_segment(source: Path, target: Path) -> None:
        if str(target).endswith(".open"):
            refused.set()
            raise OSError(errno.ENOSPC, "No space left on device")
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", no_new_segment)
        accepted = [record for record in exchanges(100) if writer.put(record) is None]
        assert refused.wait(10)
        wait_until(lambda: writer.stats().failing == "disk_full")
        assert writer.put(an_exchange(1000)) == "disk_full"
    wait_until(lambda: writer.stats().failing is None)
    accepted += [record for record in exchanges(50, first=100) if writer.put(record) is None]
    writer.close(Conservation())
    assert writer.lost == {}
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == accepted


def test_a_disk_that_never_comes_back_costs_what_was_held_counted_and_close_returns(tmp_path: Path, disk: Disk) -> None:
    writer = LogWriter(tmp_path, LogConfig(fsync="off", flush_ms=5, retry_ms=10_000), {})
    writer.put(an_exchange(0))
    wait_until(lambda: writer.stats().written_bytes > 0)
    disk.error = errno.EROFS
    accepted = sum(writer.put(record) is None for record in exchanges(10, first=1))
    counts = Conservation()
    counts.seen = counts.kept = 1 + accepted
    writer.close(counts)
    assert writer.lost == {"log_error": accepted}
    writer.settle(counts)
    assert counts.line() == f"conservation seen={1 + accepted} kept=1 sampled_out=0 shed={accepted} " + (
        f"incomplete=0 opaque=0 shed:log_error={accepted}"
    )
    disk.error = None
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == [an_exchange(0)]


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    config = LogConfig(fsync="off", flush_ms=60_000, queue_records=10)
    writer = LogWriter(tmp_path, config, {})
    assert [writer.put(record) for record in exchanges(12)] == [None] * 10 + ["queue_full"] * 2
    writer.close(Conservation())


def test_the_queue_is_bounded_in_bytes(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, LogConfig(fsync="off", flush_ms=60_000, queue_bytes=100_000), {})
    verdicts = [writer.put(an_exchange(n, body=bytes(60_000))) for n in range(3)]
    assert verdicts == [None, "queue_full", "queue_full"]
    writer.close(Conservation())


def test_a_record_that_cannot_be_written_is_counted_and_the_rest_goes_on(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {})
    assert writer.put(replace(an_exchange(0), session="\ud800")) is None
    assert writer.put(an_exchange(1, body=bytes(40 << 20))) is None
    assert writer.put(an_exchange(2)) is None
    writer.close(Conservation())
    assert writer.lost == {"unencodable": 1, "too_large": 1}
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == [an_exchange(2)]
        assert log.segments[0].extra == {"lost": {"unencodable": 1, "too_large": 1}}


def test_a_log_directory_that_vanishes_is_begun_anew_and_what_was_in_it_is_counted(tmp_path: Path) -> None:
    import shutil

    directory = tmp_path / "log"
    writer = LogWriter(directory, QUICK, {})
    writer.put(an_exchange(0))
    wait_until(lambda: writer.stats().written_bytes > 0)
    shutil.rmtree(directory)
    writer.put(an_exchange(1))
    wait_until(lambda: writer.lost.total() == 2 and writer.stats().failing is None)
    writer.put(an_exchange(2))
    writer.close(Conservation())
    assert writer.lost == {"log_error": 2}
    with open_log(directory) as log:
        assert without_id(log.exchanges()) == [an_exchange(2)]


def test_many_threads_may_put_at_once(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {})
    accepted = [0] * 4

    def put(place: int) -> None:
        for record in exchanges(500, first=place * 500):
            accepted[place] += writer.put(record) is None

    threads = [threading.Thread(target=put, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    writer.close(Conservation())
    assert accepted == [500] * 4
    with open_log(tmp_path) as log:
        assert without_id(log.exchanges()) == exchanges(2000)


def test_what_is_left_over_from_a_turn_that_ran_over_its_time_does_not_wait_for_a_flush_each(tmp_path: Path) -> None:
    flushes: list[int] = []
    writer = LogWriter(tmp_path, LogConfig(fsync="off", flush_ms=500), {})
    flush = writer._records.flush
    writer._records.flush = lambda: (flushes.append(1), flush())[1]  # type: ignore[method-assign]
    # They come without a wake, as where the queue passed the size of a batch while the writer was busy.
    writer._queue.extend((record, 1) for record in exchanges(5000))
    wait_until(lambda: not writer._queue)
    writer.close()
    assert len(flushes) < 5000 // 256


def test_a_renewed_header_begins_a_segment_and_what_was_queued_is_in_the_old_one(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {"sampling": "all"})
    for record in exchanges(10):
        writer.put(record)
    wait_until(lambda: writer.stats().queued == 0)
    writer.renew({"sampling": "half"})
    wait_until(lambda: writer.stats().segments == 1)
    for record in exchanges(5):
        writer.put(record)
    writer.close()
    with open_log(tmp_path) as log:
        assert [(info.meta["sampling"], info.records) for info in log.segments] == [("all", 10), ("half", 5)]
        assert log.damage == []


def test_a_renewal_on_a_full_disk_is_made_up_for_when_there_is_room(tmp_path: Path, disk: Disk) -> None:
    writer = LogWriter(tmp_path, QUICK, {"sampling": "all"})
    disk.error = errno.ENOSPC
    for record in exchanges(3):
        writer.put(record)
    writer.renew({"sampling": "half"})
    assert disk.tried.wait(10)
    disk.error = None
    wait_until(lambda: writer.stats().failing is None and writer.stats().segments == 1)
    for record in exchanges(2):
        writer.put(record)
    writer.close()
    assert writer.lost == {}
    with open_log(tmp_path) as log:
        assert [info.meta["sampling"] for info in log.segments] == ["all", "half"]
        assert sum(info.records for info in log.segments) == 5


def test_a_renewal_just_before_the_end_is_still_written(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, QUICK, {"sampling": "all"})
    writer.renew({"sampling": "half"})
    writer.close()
    with open_log(tmp_path) as log:
        assert [info.meta["sampling"] for info in log.segments] == ["all", "half"]
        assert log.segments[-1].final


def test_a_disk_that_is_full_at_the_start_is_waited_for(tmp_path: Path, disk: Disk) -> None:
    disk.error = errno.ENOSPC
    writer = LogWriter(tmp_path, QUICK, {})
    assert writer.put(an_exchange(0)) == "disk_full"
    disk.error = None
    wait_until(lambda: writer.stats().failing is None)
    assert writer.put(an_exchange(1)) is None
    writer.close()
    assert writer.lost == {}
    with open_log(tmp_path) as log:
        assert sum(info.records for info in log.segments) == 1
        assert log.damage == []


def test_a_directory_that_may_not_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a file")
    with pytest.raises(OSError, match="exists"):
        LogWriter(tmp_path / "log", QUICK, {})
