"""The run directory: it reads back whole, after a kill too, and says what it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from capture.errors import BadInput, RunFailed
from replay.outcome import Failure, Outcome, Performance
from replay.run import MANIFEST_NAME, RunWriter, open_run
from tests.support.rude import exchange, get

MANIFEST = {
    "builds": [
        {"name": "current", "role": "current", "url": "http://a"},
        {"name": "candidate", "role": "candidate", "url": "http://b"},
    ]
}
OK = exchange(0, get("/")).response


def performed(position: int) -> Performance:
    failure = Failure("reset", "body") if position % 3 == 0 else None
    outcomes = (
        Outcome("current", "current", 5, 5, 6, 7, OK),
        Outcome("candidate", "candidate", 5, 5, 6, 7, None if failure else OK, failure),
    )
    return Performance(position, exchange(position, get(f"/{position}")), outcomes)


def test_what_was_recorded_reads_back(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", MANIFEST)
    expected = [performed(position) for position in range(10)]
    expected.append(Performance(10, exchange(10, get("/")), skipped="unsafe_method"))
    for performance in expected:
        writer.record(performance)
    writer.close({"partial": False, "ended": "now", "ledger": {"planned": 11}})
    run = open_run(tmp_path / "run")
    assert list(run.performances()) == expected
    assert not run.partial
    assert run.ledger == {"planned": 11}
    assert [build["name"] for build in run.builds] == ["current", "candidate"]


def test_a_run_that_was_killed_is_partial_and_its_ledger_is_counted(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path / "run", MANIFEST)
    for position in range(6):
        writer.record(performed(position))
    writer.record(Performance(6, exchange(6, get("/")), skipped="no_body"))
    writer.close({})  # what is written when a run begins, and its records, without what only the end knows
    run = open_run(tmp_path / "run")
    assert run.partial
    assert run.ledger == {
        "planned": 7,
        "sent": 6,
        "skipped": {"no_body": 1},
        "answered": {"current": 6, "candidate": 4},
        "failed": {"current": {}, "candidate": {"reset": 2}},
    }


def test_an_empty_run_reads_back(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run", MANIFEST).close({"partial": False})
    assert list(open_run(tmp_path / "run").performances()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "not a run"),
        ("{", "cannot be read"),
        ("[]", "not the manifest of a run"),
        ('{"format": "understudy-run", "version": 2, "builds": []}', "use a newer understudy"),
        ('{"format": "understudy-run", "version": "1"}', "version '1'"),
        ('{"format": "understudy-run", "version": 1}', "list of builds"),
    ],
)
def test_what_is_not_a_run_is_refused_in_one_line(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / MANIFEST_NAME).write_text(text)
    with pytest.raises(BadInput, match=message) as caught:
        open_run(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_directory_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such run"):
        open_run(tmp_path / "none")


def test_a_directory_that_cannot_be_written_fails_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed, match="cannot be written"):
        RunWriter(tmp_path / "file" / "run", MANIFEST)


def test_the_manifest_is_json_that_says_what_it_is(tmp_path: Path) -> None:
    RunWriter(tmp_path / "run", MANIFEST).close({"partial": False})
    manifest = json.loads((tmp_path / "run" / MANIFEST_NAME).read_text())
    assert (manifest["format"], manifest["version"]) == ("understudy-run", 1)
