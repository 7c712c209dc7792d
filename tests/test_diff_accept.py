from __future__ import annotations

import datetime
import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import example, given
from hypothesis import strategies as st

import understudy
from capture.config import Settings
from capture.errors import UnderstudyError
from diff.accept import rule_text
from diff.difference import Difference, general_path
from diff.findings import Finding
from diff.rules import read_rules
from tests.support.defects import DEFECTS
from tests.support.judging import judged, write_run
from tests.support.service import run

DAY = datetime.date(2027, 1, 31)
Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "changed", run(1, requests=300, defect=DEFECTS[0].defect))


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> Result:
        result = CliRunner().invoke(understudy.cli, [str(word) for word in words])
        if isinstance(result.exception, UnderstudyError):
            result.exit_code = result.exception.exit_code
        return result

    return call


def identity_in(report: Path) -> str:
    found = json.loads(report.read_bytes())["candidates"]["candidate"]["findings"][0]["id"]
    assert isinstance(found, str)
    return found


def finding(route: str = "GET /a", path: str = "$['a']", parts: tuple[str, ...] = ()) -> Finding:
    return Finding(
        "f-1", route, path, "value", "int", "int", "behavioural", "why", 5, 10, 0.5, 0.2, 0.8, (), parts=parts
    )


def test_a_rule_names_place_kind_reason_and_expiry() -> None:
    assert rule_text(finding(), action="expect", reason="we moved", expires=DAY) == (
        "[[expect]]  # f-1: int -> int in 5 of 10 pairs\n"
        'route = "GET /a"\n'
        "path = \"$['a']\"\n"
        'kind = "value"\n'
        'reason = "we moved"\n'
        "expires = 2027-01-31\n"
    )


def test_parts_are_accepted_with_the_finding() -> None:
    tables = tomllib.loads(rule_text(finding(parts=("$['b']",)), action="expect", reason="r", expires=None))
    assert tables["ignore"] == [{"route": "GET /a", "path": "$['b']", "reason": "r"}]


BODY = st.builds(
    lambda path: Difference("body", tuple(path), "value", 1, 2), st.lists(st.text() | st.integers(0, 99), max_size=4)
)
ELSEWHERE = st.builds(
    lambda place, name: Difference(place, (name,), "value", "1", "2"),
    st.sampled_from(["header", "cookie", "trailer"]),
    st.text(min_size=1),
)


@given(st.text(), BODY | ELSEWHERE, st.text(min_size=1))
@example("GET /", Difference("body", ("\\", "'", "\x1f", "*", "$"), "value", 1, 2), "r")
def test_whatever_was_captured_the_rule_can_be_read_back_and_speaks_of_it(
    route: str, difference: Difference, reason: str
) -> None:
    text = rule_text(finding(route, general_path(difference)), action="ignore", reason=reason, expires=None)
    (rule,) = read_rules(Settings("understudy.toml", tomllib.loads(text), {}))
    assert rule.path is not None
    assert rule.path.speaks_of(difference)


def test_every_planted_defect_is_promoted_once_it_was_accepted() -> None:
    for planted in DEFECTS[::4]:
        performances = run(1, requests=500, defect=planted.defect)
        (found,) = judged(performances, timing=False).candidates["candidate"].findings
        tables = tomllib.loads(rule_text(found, action="expect", reason="r", expires=None))
        assert judged(performances, timing=False, tables=tables).verdict == "promote", planted.name


def test_accept_writes_the_rule_and_the_run_is_promoted(invoke: Invoke, changed: Path, tmp_path: Path) -> None:
    place = tmp_path / "understudy.toml"
    place.write_text("# ours\n[diff]\nfdr = 0.005")
    invoke("diff", changed, "--json", "r.json", "--quiet")
    identity = identity_in(tmp_path / "r.json")
    result = invoke("accept", changed, identity, "--reason", "we moved", "--expires", "2999-01-31")
    assert result.exit_code == 0, result.output
    text = place.read_text()
    assert text.startswith("# ours\n[diff]\nfdr = 0.005\n\n[[expect]]")
    assert "expires = 2999-01-31" in text
    assert invoke("diff", changed, "--quiet").output == "promote\n"


def test_accept_writes_into_the_file_of_rules_where_one_is_named(invoke: Invoke, changed: Path, tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text('[diff]\nrules = "rules.toml"\n')
    (tmp_path / "rules.toml").write_text("")
    invoke("diff", changed, "--json", "r.json", "--quiet")
    invoke("accept", changed, identity_in(tmp_path / "r.json"), "--reason", "we moved")
    assert "[[expect]]" in (tmp_path / "rules.toml").read_text()
    assert invoke("diff", changed, "--quiet").output == "promote\n"


def test_accept_of_an_unknown_finding_ends_with_2_and_writes_nothing(
    invoke: Invoke, changed: Path, tmp_path: Path
) -> None:
    result = invoke("accept", changed, "f-nope", "--reason", "r")
    assert result.exit_code == 2
    assert not (tmp_path / "understudy.toml").exists()
