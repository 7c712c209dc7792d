"""The routes of a run by configuration, description and learning, through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from capture.errors import BadInput
from tests.support.judging import write_run
from tests.support.service import run
from understudy import cli


def listed(*arguments: str) -> dict[str, tuple[int, str]]:
    result = CliRunner().invoke(cli, ["diff", *arguments, "--routes"])
    assert result.exit_code == 0, result.output
    rows = [line.split(maxsplit=2) for line in result.stdout.splitlines()]
    return {name: (int(count), origin) for count, origin, name in rows}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_run(tmp_path / "run", run(1, requests=200, sessions=20))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_routes_are_listed_with_how_often_they_were_asked_for(place: Path) -> None:
    found = listed("run")
    assert sum(count for count, _ in found.values()) == 200
    assert found["GET /products/{id}"][1] == "learned"


def test_a_description_names_routes_and_the_configuration_overrides_it(place: Path) -> None:
    document = {"openapi": "3.0.0", "paths": {"/products/{sku}": {}, "/cart/{cart}": {}, "/unasked": {}}}
    (place / "api.json").write_text(json.dumps(document))
    found = listed("run", "--openapi", "api.json")
    assert found["GET /products/{sku}"][1] == found["GET /cart/{cart}"][1] == "described"
    assert "GET /unasked" not in found
    conf = place / "conf"
    conf.mkdir()
    (conf / "understudy.toml").write_text('[diff]\nopenapi = "../api.json"\nroutes = ["/products/{it}"]\n')
    found = dict(listed("run", "--config", "conf/understudy.toml"))
    assert found["GET /products/{it}"][1] == "configured"
    assert found["GET /cart/{cart}"][1] == "described"


def test_the_report_uses_the_described_routes(place: Path) -> None:
    (place / "api.yaml").write_text("openapi: 3.1.0\npaths:\n  /products/{sku}: {}\n")
    result = CliRunner().invoke(cli, ["diff", "run", "--openapi", "api.yaml", "--json", "report.json", "-q"])
    assert result.exit_code in (0, 1, 3), result.output
    report = json.loads((place / "report.json").read_text())
    assert "GET /products/{sku}" in {row["route"] for row in report["candidates"]["candidate"]["timing"]}


def test_a_description_that_is_not_there_or_none_is_bad_input_in_one_line(place: Path) -> None:
    for name, content in (("none.yaml", None), ("bad.yaml", "a: b")):
        if content is not None:
            (place / name).write_text(content)
        result = CliRunner().invoke(cli, ["diff", "run", "--openapi", name])
        assert isinstance(result.exception, BadInput)
        assert name in str(result.exception)
        assert "\n" not in str(result.exception)
