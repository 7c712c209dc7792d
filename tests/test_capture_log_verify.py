"""What verify calls lost, and what it does not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from capture.exchange import Exchange
from capture.log.reader import open_log
from capture.log.segment import RecordWriter
from capture.log.verify import Verdict, verify
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig
from tests.support.log_records import an_exchange, exchanges, without_id, write_log


def counts(seen: int, kept: int) -> dict[str, Any]:
    return {"seen": seen, "kept": kept, "sampled_out": 0, "shed": {}, "incomplete": {}, "opaque": 0}


def write(directory: Path, taken: Callable[[], dict[str, Any] | None]) -> list[Path]:
    """Three segments of one exchange each, and the last, which has none."""
    config = LogConfig(fsync="off", compact=False, segment_bytes=1)
    writer = RecordWriter(directory, Exchange, EXCHANGE_KIND, config, {}, counts=taken)
    for number in range(3):
        writer.write(an_exchange(number), number)
        writer.flush()
    writer.close()
    return writer.segments_sealed


def verdict(directory: Path) -> Verdict:
    with open_log(directory) as log:
        return verify(log)


def test_what_was_on_its_way_when_a_segment_was_sealed_is_no_loss_once_older_segments_are_pruned(
    tmp_path: Path,
) -> None:
    footers = chain([counts(3, 1), counts(0, 2)], repeat(counts(0, 0)))
    paths = write(tmp_path, lambda: next(footers))
    assert (verdict(tmp_path).damage, verdict(tmp_path).notes) == ([], [])
    paths[0].unlink()
    found = verdict(tmp_path)
    assert found.damage == []
    assert found.notes == [
        "the oldest segments are not here (pruned, or kept elsewhere); the counts are of what is left"
    ]


def test_counts_that_do_not_close_over_a_whole_run_are_a_loss(tmp_path: Path) -> None:
    write(tmp_path, lambda: counts(2, 1))
    assert [item.what.partition(":")[0] for item in verdict(tmp_path).damage] == ["the counts do not close"]


def test_segments_may_have_other_names_than_their_writer_gave_them(tmp_path: Path) -> None:
    """As where logs of several machines are laid side by side; torn ones too."""
    paths = write(tmp_path, lambda: None)
    with open_log(tmp_path) as log:
        ids = [exchange.id for exchange in log.exchanges()]
    for n, path in enumerate(paths):
        path.rename(tmp_path / f"pod-{n}.{path.name}")
    torn = tmp_path / f"pod-2.{paths[2].name}"
    torn.write_bytes(torn.read_bytes()[:-20])
    found = verdict(tmp_path)
    assert (found.segments, found.records, {item.file for item in found.damage}) == (len(paths), 3, {str(torn)})
    with open_log(tmp_path) as log:
        assert [exchange.id for exchange in log.exchanges()] == ids
        assert [exchange and exchange.id for exchange in map(log.get, ids)] == ids


def test_a_copy_of_a_segment_under_another_name_is_read_by_itself_and_told(tmp_path: Path) -> None:
    path, *others = write(tmp_path, lambda: None)
    copy = tmp_path / "copy.seg"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)
    found = verdict(tmp_path)
    assert (found.segments, found.records) == (len(others) + 2, 3)
    assert {item.file for item in found.damage} == {str(copy)}
    assert found.notes == [f"copy.seg: is a copy of {path.name}; what both hold is read twice"]


def test_a_segment_that_is_pruned_while_it_is_read_is_said_to_be_gone_and_the_rest_is_read(tmp_path: Path) -> None:
    first, second = write_log(tmp_path, exchanges(40), each=10), write_log(tmp_path, exchanges(40, first=40), each=10)
    with open_log(tmp_path) as log:
        found = log.unordered()
        seen = [next(found)]
        first.unlink()
        seen += found
        assert without_id(seen) == [*exchanges(10), *exchanges(40, first=40)]
        assert [(item.file, item.what) for item in log.damage] == [
            (str(first), "the segment is gone: it was pruned while it was read")
        ]
    with open_log(tmp_path) as log:
        found = log.exchanges()
        second.unlink()
        assert list(found) == []


def test_a_disk_that_cannot_be_read_costs_the_blocks_concerned(tmp_path: Path) -> None:
    path = write_log(tmp_path, exchanges(40), each=10)
    with open_log(tmp_path) as log:
        reader = next(iter(log._segments.readers.values()))
        offset, read = reader.index[1].offset, reader.source.read

        def failing(at: int, length: int) -> bytes:
            if at == offset:
                raise OSError(5, "Input/output error")
            return read(at, length)

        reader.source = type("Failing", (), {"read": staticmethod(failing), "name": str(path), "close": print})()  # type: ignore[assignment]
        assert len(list(log.unordered())) == 30
        assert [(item.offset, item.records) for item in reader.damage] == [(offset, 10)]
