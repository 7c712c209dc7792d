"""Files of other tools: how they are recognised, and the command that joins them to the log."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import understudy
from capture.errors import BadInput
from capture.exchange import header
from capture.log.jsonl import line_of
from capture.log.reader import open_log
from capture.sources.files import FORMATS, recognise
from tests.support.accounts import assert_conserved
from tests.support.importing import LINES, entry, parts
from tests.support.log_records import an_exchange, exchanges, without_id, write_log


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"{}", b"[1]", b"\x00" * 100, b'{"a": {"log": 1}}', b"<html>", b"1:x"]
)
def test_what_is_none_of_these_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="not a file that can be imported") as error:
        recognise(path)
    assert "\n" not in str(error.value)


@given(st.binary(max_size=200))
def test_recognising_never_fails_otherwise(content: bytes) -> None:
    import importlib

    for module, _ in FORMATS.values():
        assert importlib.import_module(module).recognise(content) in (True, False)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        understudy.main(["log", "import", *map(str, args)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(ended.value.code or 0), out, err


def test_the_command_counts_every_record_and_says_what_it_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry(), entry("data:,x"), 5]}}))
    (tmp_path / "access.log.gz").write_bytes(gzip.compress(LINES.encode()))
    code, out, err = run(capsys, tmp_path / "a.har", tmp_path / "access.log.gz", "--log", tmp_path / "log")
    assert code == 0
    assert f"{tmp_path}/a.har: 1 exchanges (HAR)\n" in out
    counts = assert_conserved(out.splitlines()[-1])
    assert (counts.seen, counts.kept) == (9, 3)
    assert counts.shed == {"data_url": 1, "bad_record": 4, "no_body": 1}
    assert f"skipped: {tmp_path}/a.har: entry 1: 'data:,x' was not fetched over the network" in err
    with open_log(tmp_path / "log") as log:
        assert log.conservation().as_dict() == counts.as_dict()
        assert len({exchange.session for exchange in log.exchanges()}) == 2


def test_imports_are_redacted_and_sampled_as_live_traffic_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = [{"name": "Authorization", "value": "Bearer abcdefghijklmnop"}]
    (tmp_path / "a.har").write_text(json.dumps({"log": {"entries": [entry(request__headers=secret)]}}))
    run(capsys, tmp_path / "a.har", "--log", tmp_path / "log")
    with open_log(tmp_path / "log") as log:
        (found,) = log.exchanges()
    assert "abcdefghijklmnop" not in (header(found.request.headers, "authorization") or "")
    assert found.redacted
    _, out, _ = run(capsys, tmp_path / "a.har", "--log", tmp_path / "none", "--sample", "0")
    assert assert_conserved(out.splitlines()[-1]).sampled_out == 1


def test_our_own_segments_and_lines_keep_ids_sessions_and_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = write_log(tmp_path / "log", exchanges(20))
    with open_log(tmp_path / "log") as log:
        original = list(log.exchanges())
    (tmp_path / "x.jsonl").write_bytes(b"".join(map(line_of, original)))
    for source in (tmp_path / "log", segment, tmp_path / "x.jsonl"):
        target = tmp_path / f"copy of {source.name}"
        assert run(capsys, source, "--log", target, "--redact", "off")[0] == 0
        with open_log(target) as log:
            assert list(log.exchanges()) == original
            assert log.get(original[7].id) == original[7]
        out = run(capsys, source, "--log", target, "--redact", "off")[1]
        assert assert_conserved(out.splitlines()[-1]).shed == {"already_there": 20}


def test_an_address_of_a_store_is_not_taken_for_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "s3://bucket/log", "--log", tmp_path / "log")
    assert code == 2
    assert "s3://bucket/log: import reads local files" in err
    assert not (tmp_path / "log").exists()


def test_a_refused_file_leaves_no_log_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x").write_bytes(b"what is this")
    (tmp_path / "cut.har").write_text('{"log": {"entries": [')
    for name, message in (("x", "not a file that can be imported"), ("cut.har", "the HAR is cut or broken")):
        code, out, err = run(capsys, tmp_path / name, "--log", tmp_path / "log")
        assert (code, out) == (2, "")
        assert message in err.splitlines()[-1]
        assert not (tmp_path / "log").exists()


def test_of_a_gzip_that_breaks_off_what_comes_before_is_taken_and_the_rest_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = LINES.strip().splitlines()
    (tmp_path / "x.gz").write_bytes(gzip.compress(LINES.encode() * 5000)[:-20])
    code, out, err = run(capsys, tmp_path / "x.gz", "--log", tmp_path / "log")
    assert code == 0
    counts = assert_conserved(out.splitlines()[-1])
    assert counts.seen > 4000 * len(lines)
    assert 0 < counts.kept < counts.seen
    assert counts.shed["bad_record"] > 0
    assert "Traceback" not in err


def test_of_a_har_in_a_gzip_that_breaks_off_the_whole_entries_are_taken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps({"log": {"entries": [entry(f"http://a/{number}") for number in range(50)]}})
    (tmp_path / "x.har.gz").write_bytes(gzip.compress(text.encode())[:-20])
    code, out, err = run(capsys, tmp_path / "x.har.gz", "--log", tmp_path / "log")
    counts = assert_conserved(out.splitlines()[-1])
    assert (code, counts.kept + 1, dict(counts.shed)) == (0, counts.seen, {"bad_record": 1})
    assert 40 < counts.kept < 50
    assert f"behind record {counts.kept}: its gzip is damaged or cut" in err.splitlines()[-1]


def test_a_line_beyond_all_bounds_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from capture.log.importers import found, jsonl_lines

    monkeypatch.setattr(found, "LINE_BYTES_MAX", 1000)
    lines = [line_of(an_exchange(0)), b"{" + b"x" * 5000 + b"}\n", line_of(an_exchange(1))]
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"".join(lines))
    taken, skipped = parts(jsonl_lines.read(path))
    assert without_id(taken) == exchanges(2)
    assert [(item.place, item.code) for item in skipped] == [("line 2", "too_large")]
