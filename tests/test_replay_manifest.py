"""The manifest of a run that is gone on with: what is in force, what was, and what its end says of both parts."""

from __future__ import annotations

import json
from typing import Any

from replay.builds import Build
from replay.manifest import empty_summary, ending, resuming
from replay.settings import ReplayConfig

BUILDS = [Build("current", "current", "http://a"), Build("candidate", "candidate", "http://b")]
BEGAN = 1_700_000_000_000_000_000


def resumed(earlier: dict[str, Any], config: ReplayConfig, builds: list[Build]) -> dict[str, Any]:
    """As it reads back from the run."""
    found: dict[str, Any] = json.loads(json.dumps(resuming(earlier, config, builds, BEGAN)))
    return found


def test_a_run_that_is_gone_on_with_in_the_same_way_says_that_nothing_else_was_in_force() -> None:
    first = resumed({"run": "r", "started": "then"}, ReplayConfig(), BUILDS)
    again = resumed(first, ReplayConfig(), BUILDS)
    assert (again["run"], again["started"]) == ("r", "then")
    assert again["earlier"] == [{}, {}]
    assert len(again["resumed"]) == 2


def test_what_was_in_force_before_is_kept_beside_the_time_until_which_it_was() -> None:
    first = resumed({}, ReplayConfig(rate=5), BUILDS)
    capped = [BUILDS[0], Build("candidate", "candidate", "http://c", headers={"X-Key": "secret"}, rate_max=7)]
    again = resumed(first, ReplayConfig(rate=9, seed=2), capped)
    assert again["builds"][1] == {"name": "candidate", "role": "candidate", "url": "http://c", "rate_max": 7}
    assert (again["config"]["rate"], again["seed"], again["injected"]) == (9, 2, {"candidate": ["X-Key"]})
    before = again["earlier"][1]
    assert before["builds"][1] == {"name": "candidate", "role": "candidate", "url": "http://b"}
    assert (before["config"]["rate"], before["seed"], before["injected"]) == (5, 1, {})
    assert "secret" not in json.dumps(again)


def test_a_manifest_from_before_this_was_told_is_gone_on_with() -> None:
    old = resumed({}, ReplayConfig(), BUILDS)
    del old["earlier"]
    assert resumed(old, ReplayConfig(), BUILDS)["earlier"] == [{}, {}]


def test_a_generator_that_was_late_in_the_first_part_was_late_in_this_run() -> None:
    summary = empty_summary(["current", "candidate"])
    before = {"generator": {"late": True, "why": "it used all of a core"}}
    assert ending([summary], ReplayConfig(), BEGAN, before)["generator"]["why"] == "it used all of a core"
    assert ending([summary], ReplayConfig(), BEGAN, before)["generator"]["late"] is True
    assert ending([summary], ReplayConfig(), BEGAN, {"ended": None})["generator"]["late"] is False


def test_the_warm_up_is_a_share_of_all_loops_together() -> None:
    summary = empty_summary(["current", "candidate"])
    summary["ledger"]["planned"], summary["read"]["exchanges"] = 300, 100
    shares = [(0.0, 0, 0), (0.2, 0, 60), (0.5, 1, 50), (0.99, 2, 97)]
    for warmup, loops, positions in shares:
        end = ending([summary], ReplayConfig(warmup=warmup, loop=3), BEGAN)
        assert (end["warmup_loops"], end["warmup_positions"]) == (loops, positions)
