"""`understudy demo`: finds what was planted, and leaves nothing behind, however it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.house import understudy

pytestmark = [pytest.mark.net, pytest.mark.slow]

ROOT = Path(__file__).parents[1]
_ADDRESS = re.compile(r"127\.0\.0\.1:(\d+)")


def _open_ports(text: str) -> list[str]:
    """Those of the addresses in a text at which something still listens."""
    found = []
    for port in set(_ADDRESS.findall(text)):
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                found.append(port)
    return found


@pytest.mark.timeout(240)
def test_the_demo_finds_each_planted_change_once_and_nothing_else(tmp_path: Path) -> None:
    keep = tmp_path / "kept"
    done = understudy("demo", "--keep", keep, cwd=tmp_path, timeout_s=230)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "All 10 planted changes were found, each once, and nothing else. Verdict: hold." in done.stdout
    assert "conservation seen=4000 kept=4000 sampled_out=0 shed=0 incomplete=0 opaque=0" in done.stdout
    assert (keep / "run.json").exists()
    assert (keep / "run.html").exists()
    assert _open_ports(done.stdout) == []


def test_the_demo_of_the_current_build_promotes_it_and_leaves_no_file(tmp_path: Path) -> None:
    done = understudy("demo", "--candidate", "current", "--requests", "600", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert "Verdict: promote." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_running_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "understudy", "demo"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = ""
        while not said.splitlines()[-1:] or not said.splitlines()[-1].startswith("replay"):
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(number)
        rest, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, rest + errors
    assert "Traceback" not in errors
    assert _open_ports(said) == []
    assert list(tmp_path.iterdir()) == []


def test_a_directory_with_other_files_is_refused_and_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = understudy("demo", "--keep", tmp_path / "mine", cwd=tmp_path)
    assert done.returncode == 2
    assert "there are other files in it" in done.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]
    for _ in range(2):
        small = ("demo", "--requests", "150", "--candidate", "current", "--keep", tmp_path / "kept")
        assert understudy(*small, cwd=tmp_path).returncode == 0


def test_an_environment_that_configures_capture_does_not_change_the_demo(tmp_path: Path) -> None:
    done = understudy(
        "demo", "--requests", "150", "--candidate", "current", cwd=tmp_path, UNDERSTUDY_CAPTURE_SAMPLE="0.01"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "conservation seen=150 kept=150" in done.stdout


def test_the_demo_runs_from_an_installed_wheel(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert built.returncode == 0, built.stderr
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    away = tmp_path / "away"
    away.mkdir()
    where = subprocess.run(
        [sys.executable, "-c", "import fixtures, understudy; print(fixtures.__file__, understudy.__file__)"],
        cwd=away,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert all(path.startswith(str(tmp_path / "site")) for path in where.stdout.split()), where
    done = understudy("demo", "--requests", "600", "--candidate", "header", cwd=away, PYTHONPATH=str(tmp_path / "site"))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
