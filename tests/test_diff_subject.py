"""Who is who in a run, and what it means that the reference is the current build's own process."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest

from capture.exchange import Exchange, Request, Response, Times
from diff.address import Address
from diff.judge import judge
from diff.report.model import Report
from diff.settings import DiffConfig
from diff.subject import Subject, subject_of
from replay.outcome import Outcome, Performance, Role
from replay.run import RunWriter, open_run

START_NS = 1_790_000_000 * 10**9
IDS = {
    "recorded": "0b6f6bb4-6b3f-4e7e-9d38-0a4f2a3b7c11",
    "current": "7e0c7a52-41d7-4a7b-8a53-4a2f8f0f2f10",
    "candidate": "c4a3c5d8-33a1-4c7b-b3f4-9b8a71d0e5a2",
}


def response(instance: str, price: str = "1.50") -> Response:
    body = f'{{"instance": "{instance}", "price": {price}}}'.encode()
    return Response(200, "OK", "HTTP/1.1", (("Content-Type", "application/json"),), body, len(body))


def performance(position: int, recorded: Response | None, said: dict[str, Response]) -> Performance:
    at = START_NS + position * 10**9
    roles: dict[str, Role] = {"current": "current", "reference": "reference", "candidate": "candidate"}
    outcomes = tuple(Outcome(name, role, at, at, at, at + 10**6, response=said[name]) for name, role in roles.items())
    request = Request("GET", "/status", "HTTP/1.1", (("Host", "shop"),))
    exchange = Exchange(f"s-{position}", f"session-{position}", "relay", 1.0, request, recorded, Times(at, at, at, at))
    return Performance(position, exchange, outcomes)


def judged(recorded: Response | None, said: dict[str, Response], *, one_process: bool) -> Report:
    performances = [performance(position, recorded, said) for position in range(50)]
    subject = Subject(
        lambda: performances,
        current="current",
        candidates=["candidate"],
        reference="reference",
        one_process=one_process,
    )
    return judge(subject, DiffConfig(timing=False), (), datetime.date(2026, 9, 21))


def test_a_uuid_of_the_process_is_no_finding_where_production_said_another_one_still() -> None:
    mine = response(IDS["current"])
    said = {"current": mine, "reference": mine, "candidate": response(IDS["candidate"])}
    report = judged(response(IDS["recorded"]), said, one_process=True)
    assert (report.verdict, report.candidates["candidate"].findings) == ("promote", ())
    assert any("own process" in reason for reason in report.reasons)
    apart = judged(response(IDS["recorded"]), said, one_process=False)
    assert [one.path for one in apart.candidates["candidate"].findings] == ["$['instance']"]


def test_a_uuid_that_production_said_too_is_a_finding_where_the_candidate_says_another_one() -> None:
    mine = response(IDS["current"])
    said = {"current": mine, "reference": mine, "candidate": response(IDS["candidate"])}
    report = judged(mine, said, one_process=True)
    assert [one.path for one in report.candidates["candidate"].findings] == ["$['instance']"]


def test_what_is_not_made_anew_is_judged_whatever_production_said() -> None:
    mine = response(IDS["current"])
    said = {"current": mine, "reference": mine, "candidate": response(IDS["candidate"], price="1.60")}
    report = judged(response(IDS["recorded"], price="1.40"), said, one_process=True)
    assert [one.path for one in report.candidates["candidate"].findings] == ["$['price']"]


@pytest.mark.parametrize("instance", ["", "not-a-uuid"])
def test_a_uuid_of_the_process_that_became_something_else_is_a_finding(instance: str) -> None:
    mine = response(IDS["current"])
    said = {"current": mine, "reference": mine, "candidate": response(instance)}
    report = judged(response(IDS["recorded"]), said, one_process=True)
    assert [one.path for one in report.candidates["candidate"].findings] == ["$['instance']"]


@pytest.mark.parametrize(
    ("mine", "theirs", "findings"),
    [
        ("web-7d9f8b-x2x1z", "web-5c44d0-k9p3q", []),
        ("shop-03e9c", "shop-3084c", []),
        ("shop-03e9c", "cart-3084c", ["$['instance']"]),
        ("max-age=600", "max-age=900", ["$['instance']"]),
        ("green", "blue", ["$['instance']"]),
    ],
)
def test_names_of_instances_are_told_from_other_words(mine: str, theirs: str, findings: list[str]) -> None:
    said = {"current": response(mine), "reference": response(mine), "candidate": response(theirs)}
    report = judged(None, said, one_process=True)
    assert [one.path for one in report.candidates["candidate"].findings] == findings


def test_without_a_recorded_response_another_uuid_tells_nothing_and_is_listed() -> None:
    mine = response(IDS["current"])
    said = {"current": mine, "reference": mine, "candidate": response(IDS["candidate"])}
    report = judged(None, said, one_process=True).candidates["candidate"]
    assert report.findings == ()
    assert [doubt.key.path for doubt in report.suppressed] == ["$['instance']"]


@pytest.mark.parametrize(
    ("urls", "config", "one_process", "addresses"),
    [
        (("http://a:1", "http://a:1"), {}, True, {"current": Address("a", "1"), "reference": Address("a", "1")}),
        (("http://a:1", "http://a:2"), {}, False, {"current": Address("a", "1"), "reference": Address("a", "2")}),
        (("http://a:1", "http://a:2"), {"keep_host": True}, False, {}),
    ],
)
def test_a_run_tells_where_its_builds_were_reached(
    tmp_path: Path,
    urls: tuple[str, str],
    config: dict[str, bool],
    one_process: bool,
    addresses: dict[str, Address],
) -> None:
    current, reference = urls
    builds = [
        {"name": "current", "role": "current", "url": current},
        {"name": "reference", "role": "reference", "url": reference},
        {"name": "candidate", "role": "candidate", "url": "http://b:1", "host": "shop.test"},
    ]
    RunWriter(tmp_path / "run", {"builds": builds, "ledger": None, "config": config}).close({"partial": False})
    subject = subject_of(open_run(tmp_path / "run"))
    assert subject.one_process is one_process
    assert subject.addresses == ({**addresses, "candidate": Address("shop.test")} if addresses else {})


@pytest.mark.parametrize(
    ("backlog", "capped", "held_up", "overtaxed"),
    [
        ({}, {}, None, set()),
        ({"candidate": 20_000_000}, {}, None, set()),
        ({"candidate": 900_000_000}, {}, "for 0.9 s nothing was begun", set()),
        ({"candidate": 2_000_000_000}, {}, "for 'candidate'", {"candidate"}),
        ({"candidate": 2_000_000_000}, {"rate_max": 5.0}, "for 'candidate'", set()),
        ({"candidate": 5_000_000_000, "current": 1_000_000_000}, {}, "for 'candidate' and 'current'", set()),
        ({"candidate": "long"}, {}, None, set()),
        (["candidate"], {}, None, set()),
    ],
)
def test_a_run_of_ten_seconds_tells_which_builds_held_up_its_schedule(
    tmp_path: Path, backlog: Any, capped: dict[str, float], held_up: str | None, overtaxed: set[str]
) -> None:
    builds = [
        {"name": "current", "role": "current", "url": "http://a:1"},
        {"name": "candidate", "role": "candidate", "url": "http://b:1", **capped},
    ]
    end = {"partial": False, "backlog": backlog, "ended_ns": START_NS + 10**10}
    RunWriter(tmp_path / "run", {"builds": builds, "ledger": None, "started_ns": START_NS}).close(end)
    subject = subject_of(open_run(tmp_path / "run"))
    assert subject.overtaxed == overtaxed
    if held_up is None:
        assert subject.held_up is None
    else:
        assert subject.held_up is not None
        assert held_up in subject.held_up


@pytest.mark.parametrize(
    ("ending", "lag_ns"),
    [
        (
            {
                "generator": {
                    "late": True,
                    "loop_lag": {"p50_ns": 4, "p90_ns": 7},
                    "own_lateness": {"p50_ns": 1, "p90_ns": 9},
                }
            },
            (4, 9),
        ),
        ({"generator": {"late": True}}, (0, 0)),
        ({"generator": {"late": True, "loop_lag": {"p90_ns": 7}}, "resumed": ["2026-09-21T14:00:00Z"]}, (0, 0)),
    ],
)
def test_a_run_tells_by_how_much_its_generator_was_late(
    tmp_path: Path, ending: dict[str, object], lag_ns: tuple[int, int]
) -> None:
    builds = [{"name": name, "role": name, "url": f"http://{name}:1"} for name in ("current", "candidate")]
    RunWriter(tmp_path / "run", {"builds": builds, "ledger": None, "config": {}}).close({"partial": False, **ending})
    assert subject_of(open_run(tmp_path / "run")).lag_ns == lag_ns


@pytest.mark.parametrize(
    ("config", "advice"),
    [
        ({"concurrency": None, "rate": None, "speed": None}, "less at once (--concurrency 2, or a --rate)"),
        ({"concurrency": 16, "rate": None, "speed": None}, "less at once (--concurrency 2, or a --rate)"),
        ({"concurrency": None, "rate": 500.0, "speed": None}, "a lower --rate"),
        ({"concurrency": None, "rate": None, "speed": 4.0}, "a lower --speed"),
    ],
)
def test_a_run_whose_generator_was_late_says_how_to_replay_for_timings(
    tmp_path: Path, config: dict[str, object], advice: str
) -> None:
    builds = [{"name": name, "role": name, "url": f"http://{name}:1"} for name in ("current", "candidate")]
    late = {"late": True, "why": "it was busy"}
    begun = {"builds": builds, "ledger": None, "config": config}
    RunWriter(tmp_path / "run", begun).close({"partial": False, "generator": late})
    withheld = subject_of(open_run(tmp_path / "run")).timing_withheld
    assert withheld == f"the generator was late: it was busy; for timings replay with {advice}"
