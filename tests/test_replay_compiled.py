"""Whether the engine is compiled is said by the command and in each run, and is as the files beside it are."""

from __future__ import annotations

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import replay
from capture.log.reader import open_log
from replay import perform
from replay.builds import Build
from replay.compiled import is_compiled
from replay.manifest import beginning
from replay.settings import ReplayConfig
from tests.support.house import understudy
from tests.support.log_records import exchanges, write_log

COMPILED = any(file.suffix in (".so", ".pyd") for path in replay.__path__ for file in Path(path).glob("perform.*"))


def test_what_is_said_is_what_is_imported() -> None:
    assert is_compiled() == COMPILED
    assert (Path(perform.__file__).suffix != ".py") == COMPILED


@pytest.mark.parametrize(("suffix", "expected"), [(EXTENSION_SUFFIXES[0], True), (".py", False)])
def test_a_compiled_module_is_told_from_a_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str, expected: bool
) -> None:
    (tmp_path / f"perform{suffix}").touch()
    monkeypatch.setattr(replay, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "replay.perform")
    assert is_compiled() is expected


def test_the_version_says_so(tmp_path: Path) -> None:
    done = understudy("--version", cwd=tmp_path)
    assert done.stdout.startswith("understudy, version ")
    assert done.stdout.rstrip().endswith(", compiled") == COMPILED


def test_the_manifest_of_a_run_says_so(tmp_path: Path) -> None:
    write_log(tmp_path, exchanges(3))
    builds = [Build("current", "current", "http://a"), Build("candidate", "candidate", "http://b")]
    with open_log(tmp_path) as log:
        manifest = beginning(ReplayConfig(), log, builds, "run", 0, 3)
    assert manifest["compiled"] is COMPILED
