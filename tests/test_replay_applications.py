"""Whole sessions on small applications, from the relay with redaction to the verdict: all resolved, none wrong."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from replay.run import Run, open_run
from tests.support.accounts import assert_ledger_closes
from tests.support.applications import APPLICATIONS, Application, served
from tests.support.relay import relay_process, understudy

pytestmark = [pytest.mark.net, pytest.mark.slow]

KEY = {"UNDERSTUDY_CAPTURE_REDACTION_KEY": "0f" * 32}
VISITORS = 12
# All applications share one event loop with their clients, so a busy machine may keep a connection waiting.
KEEP = '[redact]\nkeep = ["form:password"]\n[replay]\nconnect_timeout_s = 40\n'


async def visits(kind: type[Application], base: str, addresses: bool) -> None:
    """Every visitor once, three at a time; addresses: each from an address of its own."""

    async def visitor(number: int, turns: asyncio.Semaphore) -> None:
        local = (f"127.0.0.{2 + number}", 0) if addresses else None
        jar = aiohttp.CookieJar(unsafe=True)
        async with (
            turns,
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=local), cookie_jar=jar) as client,
        ):
            await kind.visit(client, base, number)  # type: ignore[attr-defined]

    turns = asyncio.Semaphore(3)
    await asyncio.gather(*(visitor(number, turns) for number in range(VISITORS)))


async def the_whole_way(
    tmp_path: Path, kind: type[Application], more: tuple[str, ...] = (), addresses: bool = True
) -> tuple[Run, dict[str, Any], list[Application]]:
    """Capture on one process, check on three others; the run, the report, and the three applications."""
    (tmp_path / "understudy.toml").write_text(KEEP)
    production = kind(1)
    async with served(production) as base:
        with relay_process(base.removeprefix("http://"), tmp_path / "log", environ=KEY) as relay:
            await visits(kind, f"http://{relay.address}", addresses)
            counts = await asyncio.to_thread(relay.stop)
    assert production.wrong == []
    assert counts.kept == production.requests
    builds = [kind(2), kind(3), kind(4)]
    async with served(builds[0]) as current, served(builds[1]) as reference, served(builds[2]) as candidate:
        command = understudy(
            "check", str(tmp_path / "log"), "--current", current, "--reference", reference, "--candidate", candidate,
            "--run", str(tmp_path / "run"), "--json", str(tmp_path / "report.json"), "--allow-writes", *more,
        )  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        out, _ = await asyncio.wait_for(process.communicate(), 100)
    report = json.loads((tmp_path / "report.json").read_text()) if (tmp_path / "report.json").exists() else {}
    assert report, out.decode()
    return open_run(tmp_path / "run"), report, builds


def resolved_share(run: Run, build: str) -> tuple[int, int]:
    """How many of the planned requests this build was sent with every value resolved, of how many."""
    whole = good = 0
    for performance in run.performances():
        whole += 1
        outcome = performance.outcome_of(build)
        good += outcome is not None and not any(b.origin.startswith("unresolved:") for b in outcome.bindings)
    return good, whole


@pytest.mark.parametrize("name", APPLICATIONS)
@pytest.mark.parametrize("addresses", [True, False], ids=["a session a visitor", "one session for all"])
def test_every_session_works_on_every_build(tmp_path: Path, name: str, addresses: bool) -> None:
    run, report, builds = asyncio.run(the_whole_way(tmp_path, APPLICATIONS[name], addresses=addresses))
    assert_ledger_closes(report)
    statuses = Counter(
        (p.exchange.response.status, o.response.status if o.response else o.failure)
        for p in run.performances()
        for o in p.outcomes
        if p.exchange.response is not None
    )
    assert [build.wrong for build in builds] == [[], [], []]
    assert [pair for pair in statuses if pair[0] != pair[1]] == []
    assert report["ledger"]["skipped"] == {}
    for build in ("current", "reference", "candidate"):
        good, whole = resolved_share(run, build)
        assert good >= 0.99 * whole
    assert report["verdict"] == "promote", report["reasons"]
