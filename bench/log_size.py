"""How many bytes does an exchange take in the log, beside the same exchanges as gzip'd HAR and gzip'd mitmproxy flows?

The shop's traffic is captured by the relay from the sample service. "low rate" is the same in flushes of three records,
as from a service with ten requests a second; "as written" a segment that was sealed and not rewritten; "under load" is
what `capture relay` itself leaves on disk after a load that filled many segments. All others were rewritten.

Real ones are a recording of a public API, saved as HAR by mitmproxy's own writer, and every HAR file of the corpora as
the browser wrote it, each gzip'd by itself. Both are what `understudy log import FILE...` leaves on disk, with its
default redaction. For the browsers' files the content alone, compressed by the best of several, bounds what any log
that keeps it can come to. Flows are the same exchanges in one file of mitmproxy's own writer. gzip is at level 9.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import brotli
from mitmproxy import connection, http
from mitmproxy.addons.savehar import SaveHar
from mitmproxy.io import FlowReader, FlowWriter
from msgspec.structs import replace

from capture.clock import parse_rfc3339
from capture.exchange import Exchange, Request, Response, Times
from capture.log.dictionary import zstd
from capture.log.exporters import har as har_exporter
from capture.log.importers import har
from capture.log.importers.found import Found
from capture.log.importers.wire import address_of
from capture.log.jsonl import line_of
from capture.log.reader import open_log
from capture.log.segment import RecordWriter
from capture.log.writer import EXCHANGE_KIND
from capture.settings import LogConfig
from fixtures.processes import Children
from fixtures.shop.traffic import drive

REQUESTS = 4000
LOAD_REQUESTS = 20_000
_ROOT = Path(__file__).parents[1]


def shop_traffic(directory: Path) -> list[Exchange]:
    """What the relay saw of the shop's own traffic, nothing redacted, as the other formats would have it."""
    with Children(directory) as children:
        shop = children.start("shop", "fixtures.shop", ["--listen", "127.0.0.1:0"])
        upstream, log = shop.address(), str(directory / "log")
        options = ["--listen", "127.0.0.1:0", "--upstream", upstream, "--log", log, "--redact", "off"]
        relay = children.start("relay", "understudy", ["capture", "relay", *options])
        done = drive(f"http://{relay.address()}", REQUESTS, seed=1, concurrency=4)
        assert not done.errors, done.errors
        relay.stop()
    with open_log(directory / "log") as log:
        found = list(log.exchanges())
    assert len(found) == done.requests, (len(found), done.requests)
    return found


def har_corpus(directory: Path) -> tuple[list[Path], list[Exchange]]:
    """The files and what is in them."""
    files, found = [], []
    for path in sorted(directory.glob("*.har")):
        if path.stem.startswith("invalid"):
            continue
        files.append(path)
        found += [record.exchange for record in har.read(path) if isinstance(record, Found)]
    return files, found


def api_corpus(path: Path) -> list[Exchange]:
    """A recording of a public API by an HTTP library, most answers gzip'd, as the log has it."""
    found = []
    for number, line in enumerate(path.read_text().splitlines()):
        entry = json.loads(line)
        address, at = address_of(entry["url"]), parse_rfc3339(entry["recorded_at"]) + number * 1000
        sent, answered = (base64.b64decode(entry[f"{side}_body_base64"] or "") for side in ("request", "response"))
        fields = (("Host", address.authority), *((name, value) for name, value in entry["request_headers"]))
        headers = tuple((name, value) for name, value in entry["response_headers"])
        request = Request(entry["method"], address.target, "HTTP/1.1", fields, sent, len(sent))
        response = Response(entry["status"], entry["reason"], "HTTP/1.1", headers, answered, len(answered))
        times = Times(at, at + 1, at + 2, at + 3)
        found.append(Exchange("", "one", "api", 1.0, request, response, times, server=address.server))
    return found


def under_load(directory: Path, requests: int) -> tuple[list[Exchange], int, int]:
    """(what the relay saw of many requests, bytes that it left on disk, in how many segments)."""
    (directory / "small.toml").write_text("[log]\nsegment_bytes = 1000000\n")
    with Children(directory) as children:
        shop = children.start("shop", "fixtures.shop", ["--listen", "127.0.0.1:0"])
        upstream, log = shop.address(), str(directory / "busy")
        options = ["--listen", "127.0.0.1:0", "--upstream", upstream, "--log", log, "--redact", "off"]
        relay = children.start(
            "relay", "understudy", ["capture", "relay", *options, "--config", str(directory / "small.toml")]
        )
        done = drive(f"http://{relay.address()}", requests, seed=1, concurrency=8)
        assert not done.errors, done.errors
        relay.stop()
    with open_log(directory / "busy") as opened:
        found, segments = list(opened.exchanges()), len(opened.segments)
    assert len(found) == done.requests, (len(found), done.requests)
    return found, sum(path.stat().st_size for path in (directory / "busy").iterdir()), segments


def imported(files: Sequence[Path], directory: Path) -> int:
    """Bytes that `understudy log import` of these files leaves on disk."""
    command = [sys.executable, "-m", "understudy", "log", "import", *map(str, files), "--log", str(directory)]
    subprocess.run(command, check=True, capture_output=True, cwd=_ROOT)
    return sum(path.stat().st_size for path in directory.iterdir())


def content_bound(records: Iterable[Exchange]) -> int:
    """Bytes of the bodies alone, each compressed by the best of zstd, xz and brotli, no heads, no times, no names."""
    total = 0
    for record in records:
        for body in (record.request.body, record.response.body if record.response is not None else None):
            if body:
                total += min(
                    len(body),
                    len(zstd.compress(body, 22)),
                    len(lzma.compress(body, format=lzma.FORMAT_ALONE, preset=9 | lzma.PRESET_EXTREME)),
                    len(brotli.compress(body, quality=11)),
                )
    return total


def log_bytes(records: Sequence[Exchange], each: int | None = None, *, dense: bool = True) -> int:
    """Size on disk of a sealed log; each: flush after so many records. dense: rewritten when it is sealed."""
    directory = Path(tempfile.mkdtemp())
    try:
        config = LogConfig(fsync="off", compact=dense)
        writer = RecordWriter(directory, Exchange, EXCHANGE_KIND, config, {"source": "bench"}, dense=dense)
        count = 0
        for record in sorted(records, key=lambda x: x.times.request_start):
            writer.write(record, record.times.request_start)
            count += 1
            if each is not None and count % each == 0:
                writer.flush()
        writer.close()
        with open_log(directory) as log:
            found = [replace(record, id="") for record in log.unordered()]
            assert found == [replace(record, id="") for record in sorted(records, key=lambda x: x.times.request_start)]
            assert len(found) == count
        return sum(path.stat().st_size for path in directory.iterdir())
    finally:
        shutil.rmtree(directory)


def gzipped(pieces: Iterable[bytes]) -> int:
    """Bytes after gzip -9."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0) as file:
        file.writelines(pieces)
    return len(out.getvalue())


def flows(records: Iterable[Exchange]) -> bytes:
    """mitmproxy's own file of the same exchanges."""
    out = io.BytesIO()
    writer = FlowWriter(out)
    for record in records:
        host, _, port = record.server.rpartition(":")
        client = connection.Client(peername=("127.0.0.1", 50_000), sockname=("127.0.0.1", 8080))
        flow = http.HTTPFlow(client, connection.Server(address=(host, int(port or 80))))
        sent, answer, times = record.request, record.response, record.times
        flow.request = http.Request(
            host, int(port or 80), sent.method.encode(), record.scheme.encode(), b"", sent.target.encode("latin-1"),
            b"HTTP/1.1", _fields(sent.headers), sent.body, None, times.request_start / 1e9,
            (times.request_end or times.request_start) / 1e9,
        )  # fmt: skip
        if answer is not None:
            flow.response = http.Response(
                b"HTTP/1.1", answer.status, answer.reason.encode("latin-1"), _fields(answer.headers), answer.body, None,
                (times.response_start or 0) / 1e9, (times.response_end or 0) / 1e9,
            )  # fmt: skip
        writer.add(flow)
    return out.getvalue()


def _fields(headers: Iterable[tuple[str, str]]) -> http.Headers:
    return http.Headers([(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers])


def row(name: str, count: int, log: int, har_gz: int, mitm_gz: int, jsonl_gz: int) -> str:
    return (
        f"| {name} | {count} | {log / count:.1f} | {har_gz / count:.1f} | {mitm_gz / count:.1f}"
        f" | {jsonl_gz / count:.1f} | {log / har_gz:.3f} | {log / mitm_gz:.3f} |"
    )


def har_by_mitmproxy(records: Iterable[Exchange]) -> bytes:
    """The HAR file that mitmproxy saves of these exchanges (its option hardump)."""
    read = list(FlowReader(io.BytesIO(flows(records))).stream())
    return json.dumps(SaveHar().make_har(read), indent=4).encode()


def shop_rows(scratch: Path) -> None:
    """The shop's traffic; raises AssertionError where a mark is missed."""
    records = shop_traffic(scratch)
    others = (
        gzipped(har_exporter.write(records, Counter())),
        gzipped([flows(records)]),
        gzipped(map(line_of, records)),
    )
    print(row("the shop", len(records), rewritten := log_bytes(records), *others))
    print(row("the shop, low rate", len(records), log_bytes(records, each=3), *others))
    print(row("the shop, as written", len(records), log_bytes(records, dense=False), *others))
    hold("the shop", rewritten, others)
    records, busy, segments = under_load(scratch, LOAD_REQUESTS)
    others = (
        gzipped(har_exporter.write(records, Counter())),
        gzipped([flows(records)]),
        gzipped(map(line_of, records)),
    )
    print(row(f"the shop, under load, {segments} segments", len(records), busy, *others))
    assert segments > 3, segments
    hold("the shop under load", busy, others)


def hold(name: str, log: int, others: tuple[int, int, int]) -> None:
    """The marks of the log."""
    assert log <= 0.5 * others[0], f"{name}: over half of HAR"
    assert log <= 0.35 * others[1], f"{name}: over 0.35 of mitmproxy's flows"


def corpus_rows(corpora: Path, scratch: Path) -> None:
    """Recordings of others."""
    api = api_corpus(corpora / "api" / "github-recorded.jsonl")
    saved = scratch / "api.har"
    saved.write_bytes(har_by_mitmproxy(api))
    compact = json.dumps(json.loads(saved.read_bytes()), separators=(",", ":")).encode()
    recorded = imported([saved], scratch / "api")
    flow, lines = gzipped([flows(api)]), gzipped(map(line_of, api))
    print(row("a public API, HAR by mitmproxy", len(api), recorded, gzipped([saved.read_bytes()]), flow, lines))
    print(row("the same HAR without white space", len(api), recorded, gzipped([compact]), flow, lines))
    hold("a public API", recorded, (gzipped([saved.read_bytes()]), flow, lines))
    files, entries = har_corpus(corpora / "har")
    original = sum(gzipped([path.read_bytes()]) for path in files)
    flow, lines = gzipped([flows(entries)]), gzipped(map(line_of, entries))
    real = imported(files, scratch / "har")
    print(row(f"{len(files)} HAR files of browsers", len(entries), real, original, flow, lines))
    print(row("their content alone, at best", len(entries), content_bound(entries), original, flow, lines))


def main() -> None:
    named = os.environ.get("CORPORA_DIR")
    corpora = Path(named) if named else _ROOT.parent / "shared" / "corpora"
    print(f"{platform.machine()}, Python {platform.python_version()}; bench/log_size.py")
    print("bytes an exchange, and the log's share of the others:\n")
    print("| traffic | exchanges | log | HAR, gzip | mitmproxy flows, gzip | JSON lines, gzip | of HAR | of flows |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    scratch = Path(tempfile.mkdtemp())
    try:
        shop_rows(scratch)
        if corpora.is_dir():
            corpus_rows(corpora, scratch)
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
