from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import brotli
import msgspec
import pytest
from click.testing import CliRunner, Result

import understudy
from capture.errors import UnderstudyError
from capture.exchange import Response
from replay.outcome import Performance
from tests.support.defects import DEFECTS, on, put
from tests.support.judging import write_run
from tests.support.service import run

Invoke = Callable[..., Result]


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "changed", run(1, requests=300, defect=DEFECTS[0].defect))


@pytest.fixture(scope="module")
def equal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "equal", run(2, requests=300))


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    """Run a command in an empty directory; errors of ours become their exit code and message, as in `main`."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path) -> Result:
        result = CliRunner().invoke(understudy.cli, [str(word) for word in words], standalone_mode=True)
        if isinstance(result.exception, UnderstudyError):
            result.exit_code = result.exception.exit_code
        return result

    return call


def test_a_changed_candidate_ends_with_1_and_every_report_is_written(
    invoke: Invoke, changed: Path, tmp_path: Path
) -> None:
    words = [word for kind in ("json", "html", "markdown", "junit") for word in (f"--{kind}", f"report.{kind}")]
    result = invoke("diff", changed, *words)
    assert result.exit_code == 1, result.output
    assert result.output.startswith("HOLD")
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert [(one["route"], one["path"]) for one in report["candidates"]["candidate"]["findings"]] == [
        ("GET /products/{id}", "$['currency']")
    ]
    assert "$[&#x27;currency&#x27;]" in (tmp_path / "report.html").read_text()
    assert "`$['currency']`" in (tmp_path / "report.markdown").read_text()
    suite = ElementTree.parse(tmp_path / "report.junit").getroot()[0]
    assert suite.get("failures") == "2"


def test_an_equal_candidate_ends_with_0(invoke: Invoke, equal: Path) -> None:
    result = invoke("diff", equal, "--quiet")
    assert (result.exit_code, result.output) == (0, "promote\n")


def test_a_partial_run_ends_with_3(invoke: Invoke, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", run(2, requests=300), partial=True, partial_reason="ended by SIGINT")
    result = invoke("diff", path)
    assert result.exit_code == 3
    assert "the run is partial: ended by SIGINT" in result.output


def test_a_late_generator_withholds_the_timing(invoke: Invoke, tmp_path: Path) -> None:
    slow = run(2, requests=300, slower=lambda call: 50.0)
    path = write_run(tmp_path / "run", slow, generator={"late": True, "why": "it was busy"})
    result = invoke("diff", path)
    assert result.exit_code == 0
    assert "timing is not judged: the generator was late: it was busy" in result.output


def test_a_run_that_lost_records_ends_with_4(invoke: Invoke, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", run(2, requests=20), ledger={"planned": 21})
    result = invoke("diff", path)
    assert result.exit_code == 4
    assert "its manifest says 21 planned requests, its records are 20" in str(result.exception)


def test_an_interrupted_run_that_lost_records_says_so(invoke: Invoke, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", run(2, requests=20), ledger={"planned": 21}, partial=True)
    result = invoke("diff", path)
    assert result.exit_code == 3
    assert "its records are 20" in result.output


@pytest.mark.parametrize(
    ("builds", "code", "message"),
    [
        ([{"name": 5, "role": "current"}, {"name": "candidate", "role": "candidate"}], 2, "build number 1"),
        ([{"name": "a", "role": "current"}, {"name": "a", "role": "candidate"}], 2, "build number 2"),
        ([{"name": "a", "role": []}, {"name": "b", "role": "candidate"}], 2, "build number 1"),
        ([{"name": "a", "role": "current"}], 2, "0 candidate builds"),
        ([{"name": "other", "role": "current"}, {"name": "candidate", "role": "candidate"}], 4, "no outcome of the"),
    ],
)
def test_a_manifest_that_names_other_builds_is_said_in_one_line(
    invoke: Invoke, tmp_path: Path, builds: list[dict[str, object]], code: int, message: str
) -> None:
    path = write_run(tmp_path / "run", run(2, requests=20))
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "builds": builds}))
    result = invoke("diff", path)
    assert isinstance(result.exception, UnderstudyError)
    assert result.exception.exit_code == code
    assert message in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_run_that_is_not_there_ends_with_2(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("diff", tmp_path / "nope")
    assert result.exit_code == 2
    assert "no such run" in str(result.exception)


def test_a_wrong_rule_ends_with_2(invoke: Invoke, equal: Path, tmp_path: Path) -> None:
    (tmp_path / "understudy.toml").write_text('[[ignore]]\npath = "$.a"\nraeson = "x"\n')
    result = invoke("diff", equal)
    assert result.exit_code == 2
    assert "did you mean 'reason'" in str(result.exception)


def test_a_report_that_cannot_be_written_ends_with_4(invoke: Invoke, equal: Path, tmp_path: Path) -> None:
    result = invoke("diff", equal, "--json", tmp_path / "missing" / "report.json")
    assert result.exit_code == 4
    assert "cannot be written" in str(result.exception)


def test_the_same_run_gives_the_same_bytes(invoke: Invoke, changed: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        invoke("diff", changed, "--json", name, "--quiet")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_show_says_what_was_captured_answered_and_judged(invoke: Invoke, changed: Path) -> None:
    (planted,) = json.loads(_json(invoke, changed))["candidates"]["candidate"]["findings"]
    for identity in (planted["examples"][0], planted["id"]):
        result = invoke("show", changed, identity)
        assert result.exit_code == 0, result.output
        assert "recorded response" in result.output
        assert "candidate against current: different" in result.output
        assert '$[\'currency\']: value, "EUR" -> "USD"' in result.output
        assert f"finding {planted['id']}" in result.output
        assert "not claimed: noise" in result.output


def _json(invoke: Invoke, path: Path) -> str:
    invoke("diff", path, "--json", "report.json", "--quiet")
    return Path("report.json").read_text()


def test_show_of_an_unknown_exchange_ends_with_2(invoke: Invoke, changed: Path) -> None:
    result = invoke("show", changed, "x999999")
    assert result.exit_code == 2
    assert "has no exchange" in str(result.exception)


def test_show_escapes_what_was_captured(invoke: Invoke, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", run(1, requests=60, defect=on("/products", put("total", "\x1b[31m\r\n"))))
    result = invoke(
        "query", path, "SELECT exchange FROM events WHERE route = 'GET /products' LIMIT 1", "--format", "jsonl"
    )
    shown = invoke("show", path, json.loads(result.output)["exchange"])
    assert shown.exit_code == 0
    assert "\x1b" not in shown.output


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_show_reads_a_compressed_body_and_one_that_is_not_what_it_says_as_it_is(
    invoke: Invoke, tmp_path: Path, coding: str
) -> None:
    packed = {"gzip": gzip.compress, "br": brotli.compress}[coding](b'{"total": 12345}')

    def coded(one: Performance) -> Performance:
        headers = (("Content-Type", "application/json"), ("Content-Encoding", coding))
        body = packed if one.position else b"broken, and 12345"
        answer = Response(200, "OK", "HTTP/1.1", headers, body, len(body))
        outcomes = tuple(msgspec.structs.replace(outcome, response=answer) for outcome in one.outcomes)
        return msgspec.structs.replace(one, outcomes=outcomes)

    performances = [coded(one) for one in run(1, requests=2, rare=0)]
    path = write_run(tmp_path / "run", performances)
    broken, whole = (invoke("show", path, one.exchange.id).output for one in performances)
    assert whole.count(f'  ({len(packed)} bytes of {coding}, decoded)\n  {{"total": 12345}}\n') == 3
    assert broken.count("  (17 bytes)\n  broken, and 12345\n") == 3


def test_show_compares_as_judging_did_and_names_the_sets_whose_order_was_not_compared(
    invoke: Invoke, tmp_path: Path
) -> None:
    path = write_run(tmp_path / "run", run(1, requests=200))
    result = invoke(
        "query", path, "SELECT exchange FROM events WHERE route = 'GET /products' LIMIT 1", "--format", "jsonl"
    )
    shown = invoke("show", path, json.loads(result.output)["exchange"])
    assert "$['tags']: order was not compared" in shown.output
    assert "$['tags']: order," not in shown.output
    assert "not judged" not in shown.output


def test_query_counts_a_row_for_each_exchange_and_build(invoke: Invoke, changed: Path) -> None:
    sql = "SELECT build, role, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1"
    rows = [json.loads(line) for line in invoke("query", changed, sql, "--format", "jsonl").output.splitlines()]
    assert rows == [
        {"build": "candidate", "role": "candidate", "n": 300},
        {"build": "current", "role": "current", "n": 300},
        {"build": "reference", "role": "reference", "n": 300},
    ]


def test_query_knows_the_verdict_of_each_pair(invoke: Invoke, changed: Path) -> None:
    totals = json.loads(_json(invoke, changed))["candidates"]["candidate"]["totals"]
    sql = "SELECT verdict, count(*) AS n FROM events WHERE role = 'candidate' GROUP BY 1"
    rows = [json.loads(line) for line in invoke("query", changed, sql, "--format", "jsonl").output.splitlines()]
    assert {row["verdict"]: row["n"] for row in rows} == {
        name: totals[name] for name in ("same", "noisy", "different") if totals[name]
    }


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM events",
        "DROP TABLE raw",
        "ATTACH 'x' AS y",
        "PRAGMA query_only = OFF",
        "CREATE TABLE x (y)",
        "SELECT load_extension('x')",
        "INSERT INTO fates VALUES (1, 2, 3)",
        "SELEC",
        "SELECT nope FROM events",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_query_that_does_more_than_read_or_is_wrong_ends_with_2(invoke: Invoke, equal: Path, sql: str) -> None:
    result = invoke("query", equal, sql)
    assert result.exit_code == 2, result.output
    assert "the query cannot be run" in str(result.exception)


def test_query_has_a_row_for_what_was_not_sent(invoke: Invoke, tmp_path: Path) -> None:
    performances = run(1, requests=20)
    performances[3] = Performance(3, performances[3].exchange, skipped="unsafe_method")
    path = write_run(tmp_path / "run", performances)
    result = invoke(
        "query", path, "SELECT position, build, skipped FROM events WHERE skipped IS NOT NULL", "--format", "csv"
    )
    assert result.output.split() == ["position,build,skipped", "3,,unsafe_method"]


def test_query_can_look_into_headers(invoke: Invoke, changed: Path) -> None:
    sql = """SELECT json_extract(h.value, '$[1]') AS language, count(*) AS n
             FROM events, json_each(request_headers) AS h
             WHERE lower(json_extract(h.value, '$[0]')) = 'accept-language' GROUP BY 1 ORDER BY 1"""
    result = invoke("query", changed, sql, "--format", "jsonl")
    assert result.exit_code == 0, result.exception
    rows = [json.loads(line) for line in result.output.splitlines()]
    assert [row["language"] for row in rows] == ["de", "en", "fr", "tr"]


def test_query_says_what_its_columns_are(invoke: Invoke, equal: Path) -> None:
    result = invoke("query", equal, "--columns")
    assert "latency_ns            INTEGER  sent to end" in result.output


@pytest.mark.parametrize("quiet", [True, False])
@pytest.mark.parametrize(("name", "code"), [("changed", 1), ("equal", 0)])
def test_the_exit_code_is_that_of_the_verdict_where_nobody_reads_the_output(
    request: pytest.FixtureRequest, name: str, code: int, quiet: bool
) -> None:
    words = [sys.executable, "-m", "understudy", "diff", str(request.getfixturevalue(name)), *["--quiet"][: int(quiet)]]
    assert without_reader(words) == (code, b"")


def without_reader(words: list[str]) -> tuple[int, bytes]:
    """Exit code and stderr of a command whose stdout nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False)
    finally:
        os.close(writing)
    return done.returncode, done.stderr


def test_compare_ends_with_its_answer_too_where_nobody_reads_it(tmp_path: Path) -> None:
    for name, text in (("a.json", "[1]"), ("b.json", "[2]")):
        (tmp_path / name).write_text(text)
    words = [sys.executable, "-m", "understudy", "compare", str(tmp_path / "a.json")]
    assert without_reader([*words, str(tmp_path / "b.json")]) == (1, b"")
    assert without_reader([*words, str(tmp_path / "a.json")]) == (0, b"")
