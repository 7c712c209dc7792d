"""The whole way for tests, by the commands alone: a captured visit of the shop, builds to replay it on, reports."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fixtures.demo import CONFIG, SESSION_KEY
from fixtures.processes import Child, Children
from fixtures.shop.traffic import Drive, drive
from tests.support.accounts import assert_conserved, assert_ledger_closes

__all__ = ["Captured", "capture_shop", "check", "shops", "understudy"]


def understudy(
    *args: str | Path, cwd: Path, timeout_s: float = 100.0, **environ: str
) -> subprocess.CompletedProcess[str]:
    """One command line run to its end; the caller's UNDERSTUDY_ variables do not count."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("UNDERSTUDY_")}
    done = subprocess.run(
        [sys.executable, "-m", "understudy", *map(str, args)],
        cwd=cwd,
        env={**plain, **environ},
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


class Captured:
    """A log of the shop's traffic and the configuration that goes with it."""

    def __init__(self, directory: Path, requests: int) -> None:
        self.directory = directory
        self.log = directory / "log"
        self.requests = requests


def capture_shop(directory: Path, requests: int, seed: int = 1) -> Captured:
    """Capture that many requests of the shop's users through a real sidecar; every one must be kept."""
    (directory / "understudy.toml").write_text(CONFIG)
    with Children(directory) as children:
        upstream = children.start("production", "fixtures.shop", []).address()
        args = ["capture", "relay", "--listen", "127.0.0.1:0", "--upstream", upstream, "--log", str(directory / "log")]
        args += ["--session-key", SESSION_KEY, "--config", str(directory / "understudy.toml")]
        relay = children.start("sidecar", "understudy", args, {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "5a" * 32})
        listening = relay.address()
        result = drive(f"http://{listening}", requests, seed) if requests else Drive()
        lines = relay.stop().splitlines()
    assert (result.unexpected, dict(result.errors)) == ([], {})
    counts = assert_conserved(next(line for line in lines if line.startswith("conservation ")))
    assert (counts.seen, counts.kept) == (requests, requests)
    return Captured(directory, requests)


@contextlib.contextmanager
def shops(directory: Path, **builds: str) -> Iterator[dict[str, str]]:
    """Name to base URL of running shops; builds: name to build."""
    with Children(directory) as children:
        running: dict[str, Child] = {
            name: children.start(name, "fixtures.shop", ["--build", build]) for name, build in builds.items()
        }
        yield {name: f"http://{child.address()}" for name, child in running.items()}


def check(
    captured: Captured, run: Path, *args: str | Path, exit_code: int, timeout_s: float = 100.0
) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    """`understudy check` on the log; the JSON report, whose sums close, and the finished process."""
    report = run.with_suffix(".json")
    done = understudy(
        "check", captured.log, "--run", run, "--json", report, *args, cwd=captured.directory, timeout_s=timeout_s
    )
    assert done.returncode == exit_code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    values: dict[str, Any] = json.loads(report.read_bytes())
    assert_ledger_closes(values)
    assert values["verdict"] == {0: "promote", 1: "hold", 3: "inconclusive"}[exit_code]
    return values, done
