"""The whole way, small, by the commands alone: sidecar, log, replay, diff, and every exit code."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from fixtures.planted import match
from fixtures.processes import Children
from fixtures.shop.mutants import mutants_of
from fixtures.shop.traffic import drive
from tests.support.house import Captured, capture_shop, check, shops, understudy

pytestmark = [pytest.mark.net, pytest.mark.slow]

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """300 requests of the shop's users."""
    return capture_shop(tmp_path_factory.mktemp("captured"), 300)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    """The log of a sidecar that saw no traffic."""
    return capture_shop(tmp_path_factory.mktemp("empty"), 0)


def _exchanges(captured: Captured) -> list[dict[str, Any]]:
    done = understudy("log", "cat", captured.log, "--format", "jsonl", cwd=captured.directory)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_log_holds_every_exchange_in_order_and_no_secret(captured: Captured) -> None:
    exchanges = _exchanges(captured)
    assert len(exchanges) == 300
    assert all(exchange["complete"] for exchange in exchanges)
    at = [exchange["at"] for exchange in exchanges]
    assert at == sorted(at)
    assert len({exchange["session"] for exchange in exchanges}) > 5
    text = json.dumps(exchanges)
    assert "4111111111111111" not in text
    for path in captured.log.rglob("*"):
        if path.is_file():
            assert b"4111111111111111" not in path.read_bytes()
    assert understudy("log", "verify", captured.log, cwd=captured.directory).returncode == 0


def test_the_current_build_as_its_own_candidate_is_promoted_with_no_finding(captured: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="current", reference="current", candidate="current") as urls:
        report, _ = check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", urls["reference"], "--candidate", urls["candidate"], exit_code=0,
        )  # fmt: skip
    (candidate,) = report["candidates"].values()
    assert candidate["findings"] == []
    assert report["ledger"]["planned"] == 300
    assert report["ledger"]["skipped"] == {}


def test_every_session_request_is_answered_on_every_build_as_it_was_when_captured(
    captured: Captured, tmp_path: Path
) -> None:
    recorded = Counter(exchange["response"]["status"] for exchange in _exchanges(captured))
    with shops(tmp_path, current="current", reference="current", candidate="current") as urls:
        check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", urls["reference"], "--candidate", urls["candidate"], exit_code=0,
        )  # fmt: skip
    sql = "select build, status, count(*) as n from events group by build, status"
    done = understudy("query", tmp_path / "run", sql, "--format", "jsonl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for build in ("current", "reference", "candidate"):
        rows = [row for row in map(json.loads, done.stdout.splitlines()) if row["build"] == build]
        assert {row["status"]: row["n"] for row in rows} == recorded


def test_planted_changes_are_found_each_once_and_the_verdict_is_hold(captured: Captured, tmp_path: Path) -> None:
    planted = "type,missing"
    with shops(tmp_path, current="current", reference="current", candidate=planted) as urls:
        report, done = check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", urls["reference"], "--candidate", f"next={urls['candidate']}", exit_code=1,
        )  # fmt: skip
    matching = match(mutants_of(planted), report["candidates"]["next"])
    assert matching.right, (matching.others, [(m.mutant.name, len(m.findings)) for m in matching.matches])
    assert done.stdout.startswith("HOLD")


def test_reports_of_one_run_are_the_same_bytes_twice(captured: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="current", reference="current", candidate="type") as urls:
        check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", urls["reference"], "--candidate", urls["candidate"], exit_code=1,
        )  # fmt: skip
    again = tmp_path / "again.json"
    assert understudy("diff", tmp_path / "run", "--json", again, cwd=tmp_path).returncode == 1
    assert again.read_bytes() == (tmp_path / "run.json").read_bytes()


def test_without_permission_only_reads_are_sent_and_the_rest_is_counted(captured: Captured, tmp_path: Path) -> None:
    writes = sum(exchange["request"]["method"] not in ("GET", "HEAD") for exchange in _exchanges(captured))
    assert writes > 10
    with shops(tmp_path, current="current", reference="current", candidate="current") as urls:
        run = understudy(
            "replay", captured.log, "--run", tmp_path / "run", "--current", urls["current"],
            "--reference", urls["reference"], "--candidate", urls["candidate"], cwd=captured.directory,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    report = tmp_path / "report.json"
    understudy("diff", tmp_path / "run", "--json", report, cwd=tmp_path)
    ledger = json.loads(report.read_bytes())["ledger"]
    assert ledger["planned"] == 300
    assert sum(ledger["skipped"].values()) >= writes


def test_a_candidate_that_is_not_running_is_refused_at_the_preflight_and_nothing_is_sent(
    captured: Captured, tmp_path: Path
) -> None:
    with shops(tmp_path, current="current") as urls:
        done = understudy(
            "check", captured.log, "--run", tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", "--candidate", f"next={NOWHERE}", cwd=captured.directory,
        )  # fmt: skip
    assert done.returncode == 4
    assert "next" in done.stderr
    assert "127.0.0.1:9" in done.stderr


def test_without_the_preflight_a_candidate_that_is_not_running_is_hold(captured: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="current") as urls:
        report, _ = check(
            captured, tmp_path / "run", "--no-preflight", "--allow-writes", "--current", urls["current"],
            "--reference", "--candidate", f"next={NOWHERE}", exit_code=1,
        )  # fmt: skip
    assert report["ledger"]["answered"].get("next", 0) == 0


def test_a_candidate_that_dies_on_the_way_is_hold(captured: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="current", candidate="dying") as urls:
        report, _ = check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", "--candidate", f"next={urls['candidate']}", exit_code=1,
        )  # fmt: skip
    assert any(finding["path"] == "outcome" for finding in report["candidates"]["next"]["findings"])


def test_a_current_build_that_dies_on_the_way_is_inconclusive(captured: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="dying", candidate="current") as urls:
        report, _ = check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--candidate", f"next={urls['candidate']}", exit_code=3,
        )  # fmt: skip
    assert any("current" in reason for reason in report["reasons"])


def test_an_empty_log_is_inconclusive_and_says_why(empty: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="current", candidate="current") as urls:
        report, done = check(
            empty, tmp_path / "run", "--current", urls["current"], "--reference",
            "--candidate", urls["candidate"], exit_code=3,
        )  # fmt: skip
    assert report["ledger"]["planned"] == 0
    assert report["reasons"]
    assert report["reasons"][0] in " ".join(done.stdout.split()) or report["reasons"][0] in done.stderr


def test_two_candidates_are_judged_apart_in_one_run(captured: Captured, tmp_path: Path) -> None:
    with shops(tmp_path, current="current", reference="current", same="current", typed="type") as urls:
        report, _ = check(
            captured, tmp_path / "run", "--allow-writes", "--current", urls["current"],
            "--reference", urls["reference"], "--candidate", f"same={urls['same']}", f"typed={urls['typed']}",
            exit_code=1,
        )  # fmt: skip
    assert report["candidates"]["same"]["verdict"] == "promote"
    assert report["candidates"]["same"]["findings"] == []
    assert match(mutants_of("type"), report["candidates"]["typed"]).right


def test_the_address_that_was_captured_from_is_refused(tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text("")
    with Children(tmp_path) as children:
        upstream = children.start("production", "fixtures.shop", []).address()
        relay = children.start(
            "sidecar", "understudy",
            ["capture", "relay", "--listen", "127.0.0.1:0", "--upstream", upstream, "--log", str(tmp_path / "log")],
        )  # fmt: skip
        drive(f"http://{relay.address()}", 20)
        relay.stop()
        done = understudy(
            "replay", tmp_path / "log", "--run", tmp_path / "run", "--current", f"http://{upstream}",
            "--candidate", NOWHERE, "--no-preflight", cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 2
    assert upstream in done.stderr
