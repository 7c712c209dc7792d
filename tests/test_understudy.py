"""The front door: help, lazy rooms, errors as one or two lines and exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def _run(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "understudy", *args],
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "HOME": str(cwd), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_every_command_and_ends_with_0(tmp_path: Path) -> None:
    done = _run("--help", cwd=tmp_path)
    assert done.returncode == 0
    for name in ("demo", "capture", "log", "replay", "diff", "check", "compare"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["capture"],
        ["capture", "relay"],
        ["log"],
        ["log", "cat"],
        ["replay"],
        ["diff"],
        ["check"],
        ["compare"],
    ],
)
def test_every_command_takes_help(tmp_path: Path, command: list[str]) -> None:
    done = _run(*command, "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: understudy")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["replya"], "no such command 'replya'; did you mean 'replay'?"),
        (["diff", "--jsn", "x", "run"], "understudy diff: No such option"),
        (["log", "cat", "--format", "x", "log"], "try understudy log cat --help"),
        (["replay", "log", "--rate", "fast"], "'fast' is not a valid float range"),
        (["log", "ls"], "understudy log ls: Missing argument 'DIR'."),
        (["log", "stat", "nowhere"], "nowhere"),
        (["diff", "nowhere"], "nowhere"),
        (["compare", "nothing.json", "nothing.json", "--config", "none.toml"], "no such configuration file"),
    ],
)
def test_wrong_use_ends_with_2_and_says_what_to_do(tmp_path: Path, args: list[str], message: str) -> None:
    done = _run(*args, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) <= 2


def test_an_unknown_key_in_the_file_stops_every_command(tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text("[capture]\nsmaple = 0.5\n")
    (tmp_path / "x.json").write_text("{}")
    done = _run("compare", "x.json", "x.json", cwd=tmp_path)
    assert done.returncode == 2
    assert "understudy.toml: unknown key 'smaple' in [capture]; did you mean 'sample'?" in done.stderr


def test_an_unknown_name_in_the_environment_stops_every_command(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = _run("compare", "x.json", "x.json", cwd=tmp_path, UNDERSTUDY_CAPTRUE_SAMPLE="1")
    assert done.returncode == 2
    assert "UNDERSTUDY_CAPTRUE_SAMPLE" in done.stderr


def test_the_front_door_imports_no_room_before_it_is_called(tmp_path: Path) -> None:
    code = (
        "import sys, understudy; "
        "print([m for m in sys.modules if m.split('.')[0] in ('aiohttp', 'deepdiff', 'replay', 'diff')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
