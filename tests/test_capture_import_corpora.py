"""Real files of other tools give exactly the exchanges that are expected of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from capture.errors import BadInput
from capture.exchange import Exchange
from capture.log.importers import gor, har, mitm
from capture.log.importers.found import Found, Skipped
from capture.sources.files import recognise


def taken(records: Any) -> list[Exchange]:
    """The exchanges; skipped records fail the test."""
    found = list(records)
    assert not [record for record in found if isinstance(record, Skipped)]
    return [record.exchange for record in found if isinstance(record, Found)]


def digest(body: bytes | None) -> str | None:
    return None if body is None else hashlib.sha256(body).hexdigest()


def expectations(corpora: Path, kind: str) -> list[tuple[Path, Any]]:
    found = []
    for path in sorted((corpora / kind).iterdir()):
        expected = corpora / kind / "expected" / f"{path.stem}.json"
        if path.is_file() and expected.is_file():
            found.append((path, json.loads(expected.read_text())))
    assert found
    return found


def test_every_har_gives_exactly_its_exchanges(corpora: Path) -> None:
    for path, expected in expectations(corpora, "har"):
        assert recognise(path) == "har", path
        if isinstance(expected, dict):
            with pytest.raises(BadInput, match="the HAR is cut or broken") as error:
                list(har.read(path))
            assert str(path) in str(error.value)
            continue
        found = taken(har.read(path))
        assert len(found) == len(expected), path
        for exchange, entry in zip(found, expected, strict=True):
            response = exchange.response
            url = f"{exchange.scheme}://{dict(exchange.request.headers)['Host']}{exchange.request.target}"
            assert (exchange.request.method, url) == (entry["method"], entry["target"]), path
            assert (response.status if response else 0) == entry["status"], path
            body = response.body if response else None
            assert (None if body is None else len(body)) == entry["response_body_bytes"], (path, url)
            assert digest(body) == entry["response_body_sha256"], (path, url)
            if entry["request_body_bytes"] is not None:
                assert len(exchange.request.body or b"") == entry["request_body_bytes"], (path, url)
            assert not any(name.startswith(":") for name, _ in exchange.request.headers)


def test_every_mitmproxy_file_gives_exactly_its_flows(corpora: Path) -> None:
    for path, expected in expectations(corpora, "mitmproxy"):
        assert recognise(path) == "mitm", path
        found = taken(mitm.read(path))
        assert len(found) == len(expected), path
        for exchange, flow in zip(found, expected, strict=True):
            request, response = exchange.request, exchange.response
            assert (request.method, request.target) == (flow["method"], flow["target"])
            assert (response.status if response else None) == flow["status"]
            assert (None if request.body is None else len(request.body)) == flow["request_body_bytes"]
            assert (response and response.body_bytes) == flow["response_body_bytes"]
            for body, wanted in (
                (request.body, flow["request_body_sha256"]),
                (response.body if response else None, flow["response_body_sha256"]),
            ):
                if wanted is not None:
                    assert digest(body) == wanted


def test_every_goreplay_file_gives_exactly_its_exchanges(corpora: Path) -> None:
    for path, expected in expectations(corpora, "gor"):
        assert recognise(path) == "gor", path
        found = taken(gor.read(path))
        assert len(found) == len(expected), path
        for exchange, wanted in zip(found, expected, strict=True):
            request, response = exchange.request, exchange.response
            assert response is not None
            assert (request.method, request.target, response.status) == (
                wanted["method"],
                wanted["target"],
                wanted["status"],
            ), path
            assert (request.body_bytes, response.body_bytes) == (
                wanted["request_body_bytes"],
                wanted["response_body_bytes"],
            ), path
            if wanted["response_body_sha256"]:
                assert digest(response.body) == wanted["response_body_sha256"]
            assert exchange.complete, (path, exchange.incomplete_reason)


def test_line_files_of_other_kinds_are_refused_in_one_line(corpora: Path) -> None:
    for name in ("json/pairs.jsonl", "http-vectors/llhttp.jsonl", "api/github-recorded.jsonl"):
        with pytest.raises(BadInput, match="not a file that can be imported") as error:
            recognise(corpora / name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [b"11:tls_version", b"5:error"])
def test_behind_a_damaged_mitmproxy_flow_the_others_are_read(corpora: Path, tmp_path: Path, name: bytes) -> None:
    data = (corpora / "mitmproxy/flows-get-post.mitm").read_bytes()
    assert data.count(name) >= 2
    path = tmp_path / "a.mitm"
    path.write_bytes(data.replace(name, name[:-1] + b"_", 1))
    records = list(mitm.read(path))
    assert [type(record).__name__ for record in records] == ["Skipped", "Found"]
