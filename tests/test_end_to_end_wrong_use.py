"""Wrong use and bad input: one or two clear lines, exit 2 or 4, and nothing lost or half written."""

from __future__ import annotations

import shutil
import socket
import struct
from pathlib import Path

import pytest
import xxhash

from capture.log import format as log_format
from tests.support.house import Captured, capture_shop, understudy

pytestmark = [pytest.mark.net, pytest.mark.slow]

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """A small log of the shop's traffic."""
    return capture_shop(tmp_path_factory.mktemp("captured"), 120)


def _copy(captured: Captured, directory: Path) -> tuple[Path, Path]:
    """A copy of the log that may be damaged, and its (only) segment."""
    log = directory / "log"
    shutil.copytree(captured.log, log)
    segment = max((path for path in log.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    return log, segment


def _said(stderr: str) -> list[str]:
    """The lines of a message, without click's usage and pointer to the help."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(("Usage:", "Try "))]


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        (["replay", "no-such-log", "--current", NOWHERE, "--candidate", NOWHERE, "--run", "run"], 2, "no-such-log"),
        (["check", "no-such-log", "--current", NOWHERE, "--candidate", NOWHERE, "--run", "run"], 2, "no-such-log"),
        (["log", "stat", "no-such-log"], 2, "no-such-log"),
        (["log", "cat", "no-such-log"], 2, "no-such-log"),
        (["log", "verify", "no-such-log"], 2, "no-such-log"),
        (["log", "import", "no-such-file", "--log", "log"], 2, "no-such-file"),
        (["diff", "no-such-run"], 2, "no-such-run"),
        (["show", "no-such-run", "x"], 2, "no-such-run"),
        (["query", "no-such-run", "select 1"], 2, "no-such-run"),
        (["compare", "no-such-file", "no-such-file"], 2, "no-such-file"),
        (["log", "stat", "not-a-log"], 2, "not-a-log"),
        (["replay", "not-a-log", "--current", NOWHERE, "--candidate", NOWHERE, "--run", "run"], 2, "not-a-log"),
        (["diff", "not-a-log"], 2, "not-a-log"),
        (["replay", "not-a-log", "--curent", NOWHERE], 2, "--curent"),
        (["capture", "relay", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--lgo", "x"], 2, "--lgo"),
        (["capture", "relay", "--listen", "nonsense", "--upstream", "127.0.0.1:9", "--log", "log"], 2, "nonsense"),
        (["capture", "relay", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--log", "log", "--sample", "7"],
         2, "sample"),
        (["capture", "relay", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--log", "log",
          "--session-key", "cokie:sid"], 2, "cokie"),
        (["demo", "--candidate", "nonesuch"], 2, "nonesuch"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)  # fmt: skip
def test_wrong_use_is_one_or_two_lines_that_name_what_is_wrong(
    tmp_path: Path, args: list[str], code: int, named: str
) -> None:
    (tmp_path / "not-a-log").mkdir()
    (tmp_path / "not-a-log" / "readme.txt").write_text("just text")
    before = sorted(path.name for path in tmp_path.iterdir())
    done = understudy(*args, cwd=tmp_path, timeout_s=30)
    assert done.returncode == code, done.stderr
    assert 1 <= len(_said(done.stderr)) <= 2, done.stderr
    assert named in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "command", [["capture", "relay"], ["replay"], ["diff"], ["check"], ["log", "stat"]], ids=" ".join
)
def test_an_unknown_key_in_the_configuration_stops_every_command_and_names_the_nearest(
    tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "understudy.toml").write_text("[capture]\nsampel = 0.5\n")
    arguments = {
        "capture": ["--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--log", "log"],
        "replay": ["log", "--current", NOWHERE, "--candidate", NOWHERE, "--run", "run"],
        "check": ["log", "--current", NOWHERE, "--candidate", NOWHERE, "--run", "run"],
        "diff": ["run"],
        "log": ["log"],
    }
    done = understudy(*command, *arguments[command[0]], cwd=tmp_path, timeout_s=30)
    assert done.returncode == 2
    assert "unknown key 'sampel' in [capture]; did you mean 'sample'?" in done.stderr


def test_a_port_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = understudy(
            "capture", "relay", "--listen", f"127.0.0.1:{port}", "--upstream", "127.0.0.1:9", "--log", "log",
            cwd=tmp_path, timeout_s=30,
        )  # fmt: skip
    assert done.returncode in (2, 4)
    assert len(_said(done.stderr)) <= 2
    assert str(port) in done.stderr


def test_a_log_of_a_newer_version_is_refused_with_advice(captured: Captured, tmp_path: Path) -> None:
    log, segment = _copy(captured, tmp_path)
    data = bytearray(segment.read_bytes())
    data[len(log_format.MAGIC)] = 99
    # The checksum over the header is right, as it would be in a newer version.
    (length,) = struct.unpack_from("<I", data, 12)
    end = log_format.HEADER_FIXED_BYTES + length
    checked = bytes(data[: log_format.HEADER_FIXED_BYTES - 8] + data[log_format.HEADER_FIXED_BYTES : end])
    struct.pack_into("<Q", data, log_format.HEADER_FIXED_BYTES - 8, xxhash.xxh3_64_intdigest(checked))
    segment.write_bytes(bytes(data))
    for command in (["log", "stat", log], ["log", "cat", log]):
        done = understudy(*command, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert "newer" in done.stderr
        assert len(_said(done.stderr)) <= 2


def test_a_torn_segment_is_reported_by_its_offset_and_the_rest_reads(captured: Captured, tmp_path: Path) -> None:
    log, segment = _copy(captured, tmp_path)
    size = segment.stat().st_size
    with segment.open("r+b") as file:
        file.truncate(size - size // 4)
    done = understudy("log", "verify", log, cwd=tmp_path)
    assert done.returncode == 4
    assert any(character.isdigit() for character in done.stdout + done.stderr)
    assert segment.name in done.stdout + done.stderr


def test_an_altered_byte_is_found_and_never_read_as_good_data(captured: Captured, tmp_path: Path) -> None:
    good = understudy("log", "cat", captured.log, "--format", "jsonl", cwd=tmp_path).stdout.splitlines()
    log, segment = _copy(captured, tmp_path)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 0x40
    segment.write_bytes(bytes(data))
    done = understudy("log", "verify", log, cwd=tmp_path)
    assert done.returncode == 4
    assert segment.name in done.stdout + done.stderr
    read = understudy("log", "cat", log, "--format", "jsonl", cwd=tmp_path).stdout.splitlines()
    assert set(read) < set(good)


def test_a_build_that_is_not_there_ends_the_replay_with_4_and_names_it(captured: Captured, tmp_path: Path) -> None:
    done = understudy(
        "replay", captured.log, "--current", NOWHERE, "--candidate", f"next={NOWHERE}", "--run", "run", cwd=tmp_path,
        timeout_s=60,
    )  # fmt: skip
    assert done.returncode == 4
    assert "current" in done.stderr
    assert 1 <= len(_said(done.stderr)) <= 3


def test_a_run_that_exists_is_never_overwritten(captured: Captured, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious.txt").write_text("mine")
    done = understudy(
        "replay", captured.log, "--current", NOWHERE, "--candidate", NOWHERE, "--run", "run", "--no-preflight",
        cwd=tmp_path, timeout_s=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert (tmp_path / "run" / "precious.txt").read_text() == "mine"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious.txt"]
