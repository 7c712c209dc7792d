"""How fast is the log written and read on one core, beside msgpack alone and gzip'd JSON lines?

"log, rewritten" is the same log with its segments rewritten for size when they are sealed, as an import leaves them.

Exchanges with a JSON answer of about 1 kB, all different, as from a service with many items. Every writer ends with
bytes in a file and every reader with typed records that are compared with what was written. Times are CPU seconds of
this process (one thread), so that other work on the machine does not count; the ways are tried in turn.
"""

from __future__ import annotations

import gzip
import json
import platform
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgpack
import msgspec
from msgspec.structs import replace

from capture.exchange import Exchange, Request, Response, Times
from capture.log.jsonl import exchange_of, line_of
from capture.log.reader import open_log
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig

COUNT = 20_000
ROUNDS = 5
START_NS = 1_700_000_000_000_000_000


def exchanges() -> list[Exchange]:
    """The same for every run."""
    chance = random.Random(7)
    made = []
    for n in range(COUNT):
        items = [
            {"sku": f"SKU-{chance.randrange(10**6)}", "price": round(chance.uniform(1, 99), 2), "name": "red chair"}
            for _ in range(17)
        ]
        body = json.dumps({"id": n, "items": items}).encode()
        headers = (("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Server", "nginx"))
        at = START_NS + n * 100_000
        made.append(
            Exchange(
                "",
                f"{chance.getrandbits(64):016x}",
                "relay",
                1.0,
                Request(
                    "GET",
                    f"/api/items/{n}?page={chance.randrange(50)}",
                    "HTTP/1.1",
                    (
                        ("Host", "shop.example"),
                        ("User-Agent", "bench/1"),
                        ("Cookie", f"sid={chance.getrandbits(64):x}"),
                    ),
                ),
                Response(200, "OK", "HTTP/1.1", headers, body, len(body)),
                Times(at, at + 1000, at + 400_000, at + 500_000),
            )
        )
    return made


def write_log(directory: Path, records: list[Exchange]) -> None:
    """As `understudy capture` writes, without its queue."""
    writer = RecordWriter(directory, Exchange, EXCHANGE_KIND, LogConfig(fsync="off"), {"source": "bench"})
    for record in records:
        writer.write(record, record.times.request_start)
    writer.close()


def write_dense(directory: Path, records: list[Exchange]) -> None:
    """As `understudy log import` writes."""
    writer = RecordWriter(directory, Exchange, EXCHANGE_KIND, LogConfig(fsync="off"), {"source": "bench"}, dense=True)
    for record in records:
        writer.write(record, record.times.request_start)
    writer.close()


def read_log(directory: Path) -> list[Exchange]:
    with open_log(directory) as log:
        return [replace(record, id="") for record in log.exchanges()]


def read_log_only(directory: Path) -> int:
    with open_log(directory) as log:
        return sum(1 for _ in log.exchanges())


def write_msgpack(directory: Path, records: list[Exchange]) -> None:
    """Nothing but MessagePack of the same arrays, one after the other: no frames, no checksums, no compression."""
    packer = msgpack.Packer()
    with (directory / "records").open("wb") as file:
        for record in records:
            file.write(packer.pack(plain(record)))


def plain(record: Exchange) -> tuple[object, ...]:
    """The record as tuples, which is what msgpack can pack."""
    values = list(msgspec.structs.astuple(record))
    values[4] = msgspec.structs.astuple(record.request)
    values[5] = None if record.response is None else msgspec.structs.astuple(record.response)
    values[6] = msgspec.structs.astuple(record.times)
    return tuple(values)


def read_msgpack_only(directory: Path) -> int:
    with (directory / "records").open("rb") as file:
        return sum(1 for _ in msgpack.Unpacker(file, use_list=False, max_buffer_size=1 << 30))


def write_jsonl(directory: Path, records: list[Exchange]) -> None:
    with gzip.open(directory / "records.gz", "wb", compresslevel=6) as file:
        for record in records:
            file.write(line_of(record))


def read_jsonl_only(directory: Path) -> int:
    with gzip.open(directory / "records.gz", "rb") as file:
        return sum(1 for _ in map(exchange_of, file))


def bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def main() -> None:
    records = exchanges()
    body_bytes = statistics.mean(record.response.body_bytes for record in records if record.response is not None)
    ways: dict[str, tuple[Callable[[Path, list[Exchange]], None], Callable[[Path], int]]] = {
        "log": (write_log, read_log_only),
        "log, rewritten": (write_dense, read_log_only),
        "msgpack alone": (write_msgpack, read_msgpack_only),
        "gzip'd JSON lines": (write_jsonl, read_jsonl_only),
    }
    writes: dict[str, list[float]] = {name: [] for name in ways}
    reads: dict[str, list[float]] = {name: [] for name in ways}
    sizes: dict[str, float] = {}
    for round_ in range(ROUNDS):
        for name, (write, read) in ways.items():
            directory = Path(tempfile.mkdtemp())
            try:
                start = time.process_time()
                write(directory, records)
                writes[name].append(COUNT / (time.process_time() - start))
                sizes[name] = bytes_in(directory) / COUNT
                start = time.process_time()
                assert read(directory) == COUNT
                reads[name].append(COUNT / (time.process_time() - start))
                if name.startswith("log") and round_ == 0:
                    assert read_log(directory) == records
            finally:
                shutil.rmtree(directory)
    print(
        f"{platform.machine()}, Python {platform.python_version()}, msgspec {metadata.version('msgspec')},"
        f" msgpack {metadata.version('msgpack')}"
    )
    print(f"bench/log_speed.py: {COUNT} exchanges, answers of {body_bytes:.0f} bytes, {ROUNDS} rounds in turn")
    print(f"{'':<20}{'write/s':>10}{'(least to most)':>20}{'read/s':>10}{'(least to most)':>20}{'bytes each':>12}")
    for name in ways:
        w, r = sorted(writes[name]), sorted(reads[name])
        print(
            f"{name:<20}{statistics.median(w):>10,.0f}{f'({w[0]:,.0f} to {w[-1]:,.0f})':>20}"
            f"{statistics.median(r):>10,.0f}{f'({r[0]:,.0f} to {r[-1]:,.0f})':>20}{sizes[name]:>12.1f}"
        )
    for log, name in ((log, name) for log in list(ways)[:2] for name in list(ways)[2:]):
        write_ratio = statistics.median(writes[log]) / statistics.median(writes[name])
        read_ratio = statistics.median(reads[log]) / statistics.median(reads[name])
        print(f"{log} against {name}: writes {write_ratio:.2f} times as fast, reads {read_ratio:.2f} times as fast")


if __name__ == "__main__":
    main()
