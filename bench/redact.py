"""How long does the pipeline take for one exchange: nothing secret in it, a session's token, new secrets, compressed?

Run: .venv/bin/python bench/redact.py

Exchanges of about 1 kB of JSON with 12 + 12 headers go through `Pipeline.begin` and `finish` (sampling at 100 %,
session by client) with a sink that only counts. Headers vary as they do in production: date, length, request id and
etag are new every time. The output is checked: what has no secret comes out as the same bytes, what has one comes out
without it.
"""

from __future__ import annotations

import gc
import gzip
import json
import platform
import random
import statistics
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from capture.exchange import Exchange, Request, Response, Times
from capture.pipeline import Pipeline, pipeline_from_config
from capture.settings import CaptureConfig, RedactConfig

ROUNDS = 5
COUNT = 4000
SECRET = "Tr0ub4dor-9f8e7d6c5b4a"


def make(n: int, kind: str) -> Exchange:
    chance = random.Random(n)
    items = [
        {
            "id": str(uuid.UUID(int=chance.getrandbits(128))),
            "name": chance.choice(["Blue shirt", "Grey hat", "Winter coat", "Socks"]),
            "price": round(chance.random() * 100, 2),
            "stock": chance.randrange(100),
            "updated_at": 1_763_900_000_000 + n,
            "tags": ["new", "sale"],
        }
        for _ in range(6)
    ]
    document: dict[str, object] = {"page": n, "total": 6000, "items": items}
    if kind == "secret":
        document["access_token"] = f"{SECRET}{n}"
    body = json.dumps(document, separators=(",", ":")).encode()
    coding: tuple[tuple[str, str], ...] = ()
    if kind == "gzip":
        body, coding = gzip.compress(body, 6, mtime=0), (("Content-Encoding", "gzip"),)
    request = (
        ("Host", "shop.example"),
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537",
        ),
        ("Accept", "application/json, text/plain, */*"),
        ("Accept-Language", "tr-TR,tr;q=0.9,en;q=0.8"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
        ("Referer", "https://shop.example/catalogue/shirts"),
        ("Sec-Fetch-Mode", "cors"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Connection", "keep-alive"),
        ("X-Request-Id", str(uuid.UUID(int=chance.getrandbits(128)))),
        ("X-Forwarded-For", f"10.0.{n % 7}.{n % 250}"),
        {
            "secret": ("Authorization", f"Bearer {SECRET}{n}"),
            "session": ("Authorization", f"Bearer {SECRET}{n % 50}"),
        }.get(kind, ("Cache-Control", "no-cache")),
    )
    response = (
        ("Server", "nginx/1.22.1"),
        ("Date", f"Mon, 23 Nov 2026 15:{n // 60 % 60:02d}:{n % 60:02d} GMT"),
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "keep-alive"),
        ("Vary", "Accept-Encoding, Accept-Language"),
        ("Cache-Control", "private, max-age=0"),
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
        ("Strict-Transport-Security", "max-age=31536000"),
        ("X-Request-Id", str(uuid.UUID(int=chance.getrandbits(128)))),
        ("ETag", f'"{n:x}-{len(body):x}"'),
        *coding,
    )
    return Exchange(
        "",
        "",
        "relay",
        1.0,
        Request("GET", f"/api/catalogue?page={n}&size=6", "HTTP/1.1", request),
        Response(200, "OK", "HTTP/1.1", response, body, len(body)),
        Times(n, n, n, n),
    )


def timed(pipeline: Pipeline, exchanges: list[Exchange]) -> float:
    """Microseconds of processor time an exchange."""
    begin, finish = pipeline.begin, pipeline.finish
    start = time.process_time_ns()
    for exchange in exchanges:
        decision = begin(exchange.request, "10.1.2.3:4711", exchange.times.request_start)
        if decision is not None:
            finish(exchange, decision)
    return (time.process_time_ns() - start) / len(exchanges) / 1000


def build(mode: str, out: list[Exchange]) -> Pipeline:
    def sink(exchange: Exchange) -> None:
        out[:] = [exchange]

    redact = RedactConfig(mode="off" if mode == "off" else "default")
    return pipeline_from_config(CaptureConfig(redaction_key="bench" * 8), redact, sink)


def check(kind: str, sent: Exchange, got: Exchange) -> None:
    assert sent.response is not None
    assert got.response is not None
    if kind == "secret":
        written = repr(got)
        assert SECRET not in written, "a secret came through"
        assert "response.json:$['access_token']" in got.redacted
    elif kind == "session":
        assert SECRET not in repr(got), "a secret came through"
        assert got.redacted == ("request.header:authorization",)
    else:
        assert got.response.body == sent.response.body
        assert not got.redacted, got.redacted


def main() -> None:
    cases: list[tuple[str, str, str]] = [
        ("nothing secret, --redact off", "off", "plain"),
        ("nothing secret", "default", "plain"),
        ("one of 50 tokens in Authorization", "default", "session"),
        ("new token in JSON and Authorization", "default", "secret"),
        ("nothing secret, gzip", "default", "gzip"),
    ]
    made: dict[str, list[Exchange]] = {kind: [make(n, kind) for n in range(COUNT)] for _, _, kind in cases}
    gc.freeze()  # the inputs of all rounds at once are the bench's own, not the pipeline's
    size = len(made["plain"][0].response.body or b"") if made["plain"][0].response else 0
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}, JSON of {size} bytes")
    times: dict[str, list[float]] = {name: [] for name, _, _ in cases}
    for _ in range(ROUNDS):
        for name, mode, kind in cases:
            out: list[Exchange] = []
            pipeline = build(mode, out)
            times[name].append(timed(pipeline, made[kind]))
            assert pipeline.counts.kept == COUNT, pipeline.counts.line()
            if mode != "off":
                check(kind, made[kind][-1], out[0])
    base = statistics.median(times[cases[1][0]])
    for name, _, _ in cases:
        row = sorted(times[name])
        middle = statistics.median(row)
        print(f"{name:36} {middle:7.1f} us  ({row[0]:.1f} - {row[-1]:.1f})  x{middle / base:.2f}")


if __name__ == "__main__":
    main()
