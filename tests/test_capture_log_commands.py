"""`understudy log` as a user meets it."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

import understudy
from capture.errors import UsageError
from capture.log.commands import parse_age_s, parse_size, parse_time
from tests.support.log_records import START_NS, an_exchange, exchanges, write_log

KEY = "5c" * 32


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one call."""
    with pytest.raises(SystemExit) as ended:
        understudy.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return int(ended.value.code or 0), out, err


def test_cat_prints_the_contracts_object_one_a_line_in_time_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = write_log(tmp_path, [an_exchange(1), replace(an_exchange(0), response=None, incomplete_reason="cut")])
    code, out, _ = run(capsys, "log", "cat", tmp_path, "--format", "jsonl")
    assert code == 0
    first, second = (json.loads(line) for line in out.splitlines())
    assert first["id"] == f"{segment.stem}-1"
    assert first["response"] is None
    assert (first["complete"], first["incomplete_reason"]) == (False, "cut")
    body = an_exchange(1).response.body  # type: ignore[union-attr]
    assert {key: second[key] for key in list(second)[:11]} == {
        "id": f"{segment.stem}-0",
        "session": "session-0",
        "source": "test",
        "at": "2023-11-14T22:13:20.001000000Z",
        "kept_with": 0.5,
        "request": {
            "method": "GET",
            "target": "/things/1",
            "version": "HTTP/1.1",
            "headers": [["Host", "shop.example"], ["X-Byte", "\xe9"]],
            "body_bytes": 0,
            "body": "",
            "truncated": False,
            "trailers": [],
        },
        "response": {
            "status": 200,
            "reason": "OK",
            "version": "HTTP/1.1",
            "headers": [["Content-Type", "application/json"]],
            "body_bytes": len(body or b""),
            "body": base64.b64encode(body or b"").decode(),
            "truncated": False,
            "trailers": [],
        },
        "times_ns": {
            "request_start": START_NS + 1_000_000,
            "request_end": START_NS + 1_000_010,
            "response_start": START_NS + 1_002_000,
            "response_end": START_NS + 1_003_000,
        },
        "complete": True,
        "incomplete_reason": None,
        "redacted": [],
    }


def test_cat_finds_one_by_id_and_says_so_where_there_is_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    segment = write_log(tmp_path, exchanges(20))
    code, out, _ = run(capsys, "log", "cat", tmp_path, "--id", f"{segment.stem}-7")
    assert (code, json.loads(out)["request"]["target"]) == (0, "/things/7")
    code, out, err = run(capsys, "log", "cat", tmp_path, "--id", "nobody")
    assert (code, out) == (2, "")
    assert "no exchange 'nobody'" in err


def test_cat_takes_a_time_range_a_session_and_a_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path, exchanges(100))
    _, out, _ = run(
        capsys, "log", "cat", tmp_path, "--since", "2023-11-14T22:13:20.010Z", "--until", "2023-11-14T22:13:20.020Z"
    )
    assert len(out.splitlines()) == 10
    assert len(run(capsys, "log", "cat", tmp_path, "--session", "session-3")[1].splitlines()) == 5
    assert len(run(capsys, "log", "cat", tmp_path, "--limit", 3)[1].splitlines()) == 3
    code, _, err = run(capsys, "log", "cat", tmp_path, "--since", "yesterday")
    assert code == 2
    assert "'yesterday' is not an RFC 3339 timestamp" in err


def test_cat_as_text_shows_heads_and_bodies_and_no_control_characters(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = replace(
        an_exchange(0, body=b"\x1b[31mred"),
        request=replace(an_exchange(0).request, target="/\x1b]0;title\x07", headers=(("X\x9b", "a\r\nb"),)),
    )
    write_log(tmp_path, [hostile, an_exchange(1, body=b"plain text\nsecond line")])
    code, out, _ = run(capsys, "log", "cat", tmp_path, "--format", "text")
    assert code == 0
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\x9b" not in out
    assert "> GET /\\x1b]0;title\\x07 HTTP/1.1" in out
    assert "< plain text\n< second line\n" in out


def test_ls_lists_the_segments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment = write_log(tmp_path, exchanges(12))
    code, out, _ = run(capsys, "log", "ls", tmp_path)
    assert code == 0
    assert segment.name in out
    assert "2023-11-14 22:13:20Z" in out
    code, out, _ = run(capsys, "log", "ls", tmp_path, "--json")
    (info,) = json.loads(out)["segments"]
    assert (info["records"], info["sealed"], info["kind"]) == (12, True, "exchange")


def test_stat_says_what_is_in_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    post = replace(an_exchange(60), request=replace(an_exchange(60).request, method="POST", body=b"abc", body_bytes=3))
    write_log(tmp_path, [*exchanges(60), post])
    code, out, _ = run(capsys, "log", "stat", tmp_path, "--json")
    assert code == 0
    found = json.loads(out)
    assert found["exchanges"] == 61
    assert found["estimated_production"] == 122
    assert found["sessions"] == 13
    assert found["methods"] == {"GET": 60, "POST": 1}
    assert found["statuses"] == {"200": 61}
    assert found["routes"][0] == {"route": "GET /things/*", "count": 60, "estimated_production": 120}
    assert found["first"] == "2023-11-14T22:13:20.000000000Z"
    assert found["kept_with"] == {"0.5": 61}
    assert found["request_body_bytes"]["total"] == 3
    assert found["compression"] > 1
    code, out, _ = run(capsys, "log", "stat", tmp_path)
    assert "61, standing for 122 in production" in out
    assert "GET /things/*" in out


def test_verify_is_content_with_a_whole_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path, exchanges(12))
    code, out, err = run(capsys, "log", "verify", tmp_path)
    assert (code, err) == (0, "")
    assert out == f"{tmp_path}: 1 segments, 12 exchanges read\n"


def test_verify_ends_with_4_and_says_where_a_byte_was_altered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_log(tmp_path, exchanges(30))
    data = bytearray(path.read_bytes())
    at = data.index(b"USBK", data.index(b"USBK") + 1)
    data[at + 100] ^= 4
    path.write_bytes(data)
    code, out, err = run(capsys, "log", "verify", tmp_path)
    assert code == 4
    assert f"damaged: {path}: byte {at}: the block's checksum does not match (10 exchanges lost)" in out
    assert err.count("\n") == 1
    code, out, _ = run(capsys, "log", "verify", tmp_path, "--json")
    assert code == 4
    assert json.loads(out)["damage"] == [
        {"file": str(path), "offset": at, "what": "the block's checksum does not match", "records": 10}
    ]


def test_verify_ends_with_4_for_a_segment_whose_writer_was_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_log(tmp_path, exchanges(30))
    data = path.read_bytes()
    last_block = data.rindex(b"USBK")
    path.unlink()
    path.with_suffix(".open").write_bytes(data[:last_block])
    code, out, _ = run(capsys, "log", "verify", tmp_path)
    assert code == 4
    assert f"byte {last_block}: not sealed: its writer ended without closing it" in out
    path.with_suffix(".open").write_bytes(data[: last_block + 30])
    code, out, _ = run(capsys, "log", "verify", tmp_path)
    assert code == 4
    assert f"byte {last_block}: torn tail: 30 bytes after the last whole block" in out


def test_verify_notices_a_segment_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path, exchanges(300), segment_bytes=1500)
    paths = sorted(tmp_path.iterdir())
    assert len(paths) > 3
    paths[0].unlink()
    assert run(capsys, "log", "verify", tmp_path)[0] == 0, "the oldest may be pruned"
    paths[2].unlink()
    code, out, _ = run(capsys, "log", "verify", tmp_path)
    assert code == 4
    assert "1 segments before this one are missing" in out
    paths[-1].unlink()
    code, out, _ = run(capsys, "log", "verify", tmp_path)
    assert "the segments after this one are missing" in out


def test_prune_removes_the_oldest_until_the_rest_fits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in range(3):
        write_log(tmp_path, exchanges(50, first=part * 50))
    paths = sorted(tmp_path.iterdir())
    keep = sum(path.stat().st_size for path in paths[1:])
    code, out, _ = run(capsys, "log", "prune", tmp_path, "--max-bytes", keep, "--dry-run")
    assert (code, sorted(tmp_path.iterdir())) == (0, paths)
    assert f"would remove {paths[0].name} (50 exchanges)" in out
    code, out, _ = run(capsys, "log", "prune", tmp_path, "--max-bytes", keep, "--json")
    assert json.loads(out)["removed"] == [paths[0].name]
    assert sorted(tmp_path.iterdir()) == paths[1:]
    code, out, _ = run(capsys, "log", "prune", tmp_path, "--older-than", "1d")
    assert list(tmp_path.iterdir()) == []


def test_compact_rewrites_what_is_sealed_and_says_how_small_it_became(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = write_log(tmp_path, exchanges(60), each=3), write_log(tmp_path, exchanges(60), each=3)
    before = run(capsys, "log", "cat", tmp_path)[1]
    damaged = bytearray(second.read_bytes())
    damaged[500] ^= 1
    second.write_bytes(damaged)
    code, out, err = run(capsys, "log", "compact", tmp_path)
    assert code == 0
    assert out.splitlines()[-1].startswith("1 of 2 segments rewritten, ")
    assert f"{second.name}: not rewritten: damaged; see understudy log verify" in err
    damaged[500] ^= 1
    second.write_bytes(damaged)
    code, out, _ = run(capsys, "log", "compact", tmp_path, "--json")
    found = json.loads(out)["segments"]
    assert [(item["name"], item["why_not"]) for item in found] == [
        (first.name, "rewritten before"),
        (second.name, None),
    ]
    assert found[1]["after"] < found[1]["before"] / 2
    assert run(capsys, "log", "cat", tmp_path)[1] == before
    assert run(capsys, "log", "compact", tmp_path)[1] == "0 of 2 segments rewritten, 0 bytes to 0\n"


def test_compact_of_a_bucket_or_of_no_log_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for where, why in (("s3://bucket/log", "works on a local directory"), (tmp_path / "none", "no such log")):
        code, _, err = run(capsys, "log", "compact", where)
        assert code == 2
        assert why in err


def test_prune_without_a_bound_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(tmp_path, exchanges(1))
    code, _, err = run(capsys, "log", "prune", tmp_path)
    assert code == 2
    assert "--max-bytes SIZE, --older-than AGE" in err


def test_an_encrypted_log_wants_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_log(tmp_path / "log", exchanges(3), key=KEY)
    code, _, err = run(capsys, "log", "cat", tmp_path / "log")
    assert code == 2
    assert "--log-key-file" in err
    key_file = tmp_path / "key"
    key_file.write_text(KEY + "\n")
    code, out, _ = run(capsys, "log", "cat", tmp_path / "log", "--log-key-file", key_file)
    assert (code, len(out.splitlines())) == (0, 3)
    monkeypatch.setenv("UNDERSTUDY_LOG_KEY", "5c")
    code, _, err = run(capsys, "log", "verify", tmp_path / "log")
    assert code == 2
    assert "a log key is 64 hexadecimal digits" in err


@pytest.mark.parametrize("command", [["ls"], ["stat"], ["cat"], ["verify"], ["prune", "--max-bytes", "1"]])
def test_what_is_not_there_is_one_line_and_exit_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    code, out, err = run(capsys, "log", command[0], tmp_path / "nothing", *command[1:])
    assert (code, out) == (2, "")
    assert err == f"understudy: {tmp_path / 'nothing'}: no such log; name the directory that was given as --log\n"


def test_sizes_ages_and_times_are_read_as_people_write_them() -> None:
    assert [parse_size(text) for text in ("1000", "1kB", "1.5 MB", "2GiB")] == [1000, 1000, 1_500_000, 2 << 30]
    assert [parse_age_s(text) for text in ("90s", "15m", "12h", "7d", "2w")] == [90, 900, 43200, 604800, 1209600]
    assert parse_time("1970-01-01T00:00:01Z") == parse_time("0000000001") == 1_000_000_000
    for parse, text in ((parse_size, "much"), (parse_age_s, "7"), (parse_time, "now")):
        with pytest.raises(UsageError, match=text):
            parse(text)
