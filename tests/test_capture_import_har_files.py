"""HAR archives that keep bodies in files of their own, as Playwright and Chromium write them."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

import understudy
from capture.errors import BadInput
from capture.exchange import Exchange
from capture.log.importers import har
from capture.log.importers.found import Found, Torn
from capture.sources.files import recognise
from tests.support.accounts import assert_conserved

PNG = bytes(range(256)) * 20


def entry(sent: str | None, answered: str) -> dict[str, Any]:
    """One entry in the way of Playwright's content "attach"."""
    post = {"mimeType": "application/octet-stream", "text": "", "params": [], "_file": sent}
    return {
        "startedDateTime": "2026-01-31T12:00:00.250Z",
        "time": 30,
        "request": {
            "method": "GET" if sent is None else "POST",
            "url": "http://shop.example/a.png",
            "httpVersion": "HTTP/1.1",
            "headers": [] if sent is None else [{"name": "Content-Length", "value": "5"}],
            "bodySize": 0 if sent is None else 5,
            **({} if sent is None else {"postData": post}),
        },
        "response": {
            "status": 200,
            "statusText": "OK",
            "httpVersion": "HTTP/1.1",
            "headers": [{"name": "Content-Type", "value": "image/png"}, {"name": "Content-Encoding", "value": "gzip"}],
            "content": {"size": len(PNG), "mimeType": "image/png", "_file": answered},
        },
        "timings": {"send": 1, "wait": 9, "receive": 5},
    }


def archive(*entries: Any) -> str:
    return json.dumps({"log": {"version": "1.2", "entries": entries}})


def read(path: Path) -> list[Exchange]:
    found = list(har.read(path))
    return [record.exchange for record in found if isinstance(record, Found)]


def written(tmp_path: Path, *entries: Any) -> Path:
    path = tmp_path / "x.har"
    path.write_text(archive(*entries))
    (tmp_path / "0d12.png").write_bytes(PNG)
    (tmp_path / "969e.bin").write_bytes(b"\x00\xff\x80\x01\x02")
    return path


def zipped(tmp_path: Path, path: Path, *others: str) -> Path:
    made = tmp_path / "x.zip"
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for name in others:
            out.write(tmp_path / name, name)
        out.write(path, "har.har")
    return made


def test_bodies_are_taken_from_the_files_beside_the_archive_and_from_one_zip(tmp_path: Path) -> None:
    path = written(tmp_path, entry("969e.bin", "0d12.png"))
    for source in (path, zipped(tmp_path, path, "0d12.png", "969e.bin")):
        assert recognise(source) == "har"
        (found,) = read(source)
        assert (found.request.body, found.request.body_bytes) == (b"\x00\xff\x80\x01\x02", 5)
        assert found.response is not None
        assert (found.response.body, found.response.body_bytes, found.response.truncated) == (PNG, len(PNG), False)
        assert found.response.headers == (("Content-Type", "image/png"),)


def test_a_body_whose_file_is_not_there_is_unknown_and_said_to_be(tmp_path: Path) -> None:
    path = written(tmp_path, entry("gone.bin", "gone.png"))
    for source in (path, zipped(tmp_path, path)):
        (found,) = read(source)
        assert (found.request.body, found.request.body_bytes) == (None, 5)
        assert found.response is not None
        assert (found.response.body, found.response.body_bytes) == (None, len(PNG))
        assert found.notes == tuple(
            f"har: the body is in a file of its own, which is not there: 'gone.{kind}'" for kind in ("bin", "png")
        )


def test_no_name_leads_out_of_the_directory_or_to_what_is_no_file(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret").write_text("secret")
    (inside / "link.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(inside / "pipe.txt")
    (inside / "folder").mkdir()
    (inside / ".hidden").write_text("secret")
    names = ["../secret", str(tmp_path / "secret"), "link.txt", "pipe.txt", "folder", ".hidden", "a\0b", "", "x" * 300]
    path = inside / "x.har"
    path.write_text(archive(*(entry(None, name) for name in names)))
    assert [found.response and found.response.body for found in read(path)] == [None] * len(names)


def test_a_body_of_a_file_is_cut_at_the_bound_and_its_length_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(har, "_BODY_BYTES_MAX", 1000)
    path = written(tmp_path, entry("0d12.png", "0d12.png"))
    for source in (path, zipped(tmp_path, path, "0d12.png")):
        (found,) = read(source)
        for message in (found.request, found.response):
            assert message is not None
            assert (message.body, message.body_bytes, message.truncated) == (PNG[:1000], len(PNG), True)


def test_a_zip_without_one_har_or_that_is_broken_is_refused_in_one_line(tmp_path: Path) -> None:
    path = written(tmp_path)
    none = tmp_path / "none.zip"
    with zipfile.ZipFile(none, "w") as out:
        out.writestr("a.txt", "a")
    with pytest.raises(BadInput, match="a zip with 0 HAR files in it, expected one"):
        read(none)
    whole = zipped(tmp_path, path, "0d12.png").read_bytes()
    broken = tmp_path / "broken.zip"
    for length in range(4, len(whole)):
        broken.write_bytes(whole[:length])
        with pytest.raises(BadInput, match="the zip cannot be read") as error:
            read(broken)
        assert "\n" not in str(error.value)


def test_a_har_that_breaks_off_gives_the_entries_before_and_one_that_is_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, entry(None, "0d12.png"), entry(None, "0d12.png"))
    path.write_text(path.read_text()[:-100])
    found = []
    with pytest.raises(Torn, match="the HAR is cut or broken: it ends too early at character"):
        found.extend(har.read(path))
    with pytest.raises(SystemExit) as ended:
        understudy.main(["log", "import", str(path), "--log", str(tmp_path / "log")])
    out, err = capsys.readouterr()
    counts = assert_conserved(out.splitlines()[-1])
    assert (ended.value.code or 0, counts.seen, counts.kept, dict(counts.shed)) == (0, 2, 1, {"bad_record": 1})
    assert "behind record 1: the HAR is cut or broken" in err
