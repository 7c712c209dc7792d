"""GoReplay's files: payloads joined by id, whatever is missing or broken."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.exchange import Exchange
from capture.log.importers import gor
from capture.log.importers.found import Skipped, Torn
from capture.log.importers.gor import SEPARATOR
from capture.sources.files import recognise
from tests.support.importing import parts

GOR = b"1 aa 100 0\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def read_gor(tmp_path: Path, *payloads: bytes) -> tuple[list[Exchange], list[Skipped]]:
    path = tmp_path / "x.gor"
    path.write_bytes(b"".join(payload + SEPARATOR for payload in payloads))
    return parts(gor.read(path))


def test_goreplay_joins_by_id_in_whatever_order_and_prefers_the_original(tmp_path: Path) -> None:
    other = GOR.replace(b"1 aa", b"1 bb").replace(b"/a", b"/b")
    taken, skipped = read_gor(
        tmp_path, GOR, other, b"3 bb 300 9\n" + ANSWER, b"3 aa 250 9\n" + ANSWER.replace(b"200 OK", b"500 No"),
        b"2 aa 200 9\n" + ANSWER,
    )  # fmt: skip
    assert skipped == []
    by_target = {exchange.request.target: exchange for exchange in taken}
    assert by_target["/a"].response is not None
    assert by_target["/a"].response.status == 200
    assert by_target["/a"].times.response_end == 200
    assert by_target["/b"].notes == ("gor: the response is of the replay",)
    assert by_target["/a"].server == "h:80"


def test_goreplay_without_a_latency_a_response_or_a_last_separator(tmp_path: Path) -> None:
    path = tmp_path / "x.gor"
    path.write_bytes(GOR.replace(b"100 0", b"100") + SEPARATOR + GOR.replace(b"aa", b"bb"))
    taken, skipped = parts(gor.read(path))
    assert [(exchange.incomplete_reason, exchange.response) for exchange in taken] == [("no_response", None)] * 2
    assert skipped == []


def test_broken_payloads_of_goreplay_are_skipped_with_their_offset(tmp_path: Path) -> None:
    orphan = b"2 zz 5 5\n" + ANSWER
    noise = b"1 cc 100 0\n\x00\x01\x02"
    taken, skipped = read_gor(tmp_path, GOR, orphan, noise)
    assert len(taken) == 1
    assert [(item.place, item.code) for item in skipped] == [
        (f"byte {len(GOR + SEPARATOR)}", "no_request"),
        (f"byte {len(GOR + SEPARATOR + orphan + SEPARATOR)}", "bad_record"),
    ]


def test_a_response_that_stands_before_its_request_is_joined_with_it(tmp_path: Path) -> None:
    taken, skipped = read_gor(tmp_path, b"2 aa 200 9\n" + ANSWER, b"2 zz 5 5\n" + ANSWER, GOR)
    assert [item.code for item in skipped] == ["no_request"]
    (exchange,) = taken
    assert exchange.response is not None
    assert exchange.complete


@given(st.lists(st.sampled_from([GOR, b"2 aa 200 9\n" + ANSWER, SEPARATOR, b"\xff", b"1 ", b"\n"]), max_size=8))
def test_no_bytes_break_the_goreplay_reader(pieces: list[bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x"
        path.write_bytes(GOR + b"".join(pieces))
        parts(gor.read(path))


def test_a_short_file_whose_gzip_breaks_off_is_still_recognised(tmp_path: Path) -> None:
    path = tmp_path / "short.gor.gz"
    path.write_bytes(gzip.compress(GOR + SEPARATOR)[:-6])
    assert recognise(path) == "gor"
    found = []
    with pytest.raises(Torn, match="damaged or cut"):
        found.extend(gor.read(path))
