"""How many bytes does an exchange take in the log, beside the same exchanges as gzip'd HAR and gzip'd mitmproxy flows?

The shop's traffic is captured by the relay from the sample service; "low rate" is the same in flushes of three records,
as from a service with ten requests a second; "busy" is a segment that was sealed as it was written. All others were
rewritten when they were sealed, as imports, the last segment of a run and those of quiet services are.

Real ones are a recording of a public API (141 exchanges, all in one HAR of our own exporter, which writes what the log
holds and nothing else), and every HAR file of the corpora as the browser wrote it, each gzip'd by itself (a log of all
27 entries is what they are compared with; a third of the bytes is one picture, which both sides keep). Flows are the
same exchanges in one file of mitmproxy's own writer. gzip is at its best level, 9.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import platform
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from mitmproxy import connection, http
from mitmproxy.io import FlowWriter
from msgspec.structs import replace

from capture.clock import parse_rfc3339
from capture.exchange import Exchange, Request, Response, Times
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


def main() -> None:
    named = os.environ.get("CORPORA_DIR")
    corpora = Path(named) if named else _ROOT.parent / "shared" / "corpora"
    print(f"{platform.machine()}, Python {platform.python_version()}; bench/log_size.py")
    print("bytes an exchange, and the log's share of the others:\n")
    print("| traffic | exchanges | log | HAR, gzip | mitmproxy flows, gzip | JSON lines, gzip | of HAR | of flows |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    scratch = Path(tempfile.mkdtemp())
    try:
        records = shop_traffic(scratch)
    finally:
        shutil.rmtree(scratch)
    others = (
        gzipped(har_exporter.write(records, Counter())),
        gzipped([flows(records)]),
        gzipped(map(line_of, records)),
    )
    shop = log_bytes(records)
    print(row("the shop", len(records), shop, *others))
    print(row("the shop, low rate", len(records), log_bytes(records, each=3), *others))
    print(row("the shop, busy", len(records), log_bytes(records, dense=False), *others))
    assert shop <= 0.5 * others[0], "over half of HAR"
    assert shop <= 0.35 * others[1], "over 0.35 of mitmproxy's flows"
    if corpora.is_dir():
        api = api_corpus(corpora / "api" / "github-recorded.jsonl")
        others = (gzipped(har_exporter.write(api, Counter())), gzipped([flows(api)]), gzipped(map(line_of, api)))
        recorded = log_bytes(api)
        print(row("a public API", len(api), recorded, *others))
        assert recorded <= 0.5 * others[0], "over half of HAR"
        assert recorded <= 0.35 * others[1], "over 0.35 of mitmproxy's flows"
        files, entries = har_corpus(corpora / "har")
        original = sum(gzipped([path.read_bytes()]) for path in files)
        real = log_bytes(entries)
        print(
            row(
                f"{len(files)} HAR files",
                len(entries),
                real,
                original,
                gzipped([flows(entries)]),
                gzipped(map(line_of, entries)),
            )
        )


if __name__ == "__main__":
    main()
