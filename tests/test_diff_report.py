from __future__ import annotations

import dataclasses
import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.report.escape import shown, shown_pair, visible, visible_path
from diff.report.html import as_html
from diff.report.json import as_json
from diff.report.junit import as_junit
from diff.report.markdown import as_markdown
from diff.report.terminal import as_text
from tests.support.defects import DEFECTS, on, put
from tests.support.judging import judged
from tests.support.service import run


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\r\nb\tc", "a\\x0d\\x0ab\\x09c"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u200b", "\\u200b"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
        ("grüße 漢字", "grüße 漢字"),
        ("\x9b31m", "\\x9b31m"),
        ("\u3164\u2800", "\\u3164\\u2800"),
        ("a\U000e0100b\ufe00", "a\\U000e0100b\\ufe00"),
        ("❤\ufe0f 1\ufe0f\u20e3", "❤\ufe0f 1\ufe0f\u20e3"),
        ("\u0301a", "\\u0301a"),
        ("'\u0301", "'\\u0301"),
        ("e\u0301", "e\u0301"),
        ("हिन्दी ภาษาไทย", "हिन्दी ภาษาไทย"),
        ("Z" + "\u0300" * 5, "Z" + "\u0300" * 3 + "\\u0300" * 2),
    ],
)
def test_nothing_that_a_terminal_acts_on_gets_through(text: str, expected: str) -> None:
    assert visible(text) == expected


def test_a_long_text_is_cut_and_the_cut_is_marked() -> None:
    assert visible("a" * 300, 10) == "a" * 10 + "…"


def test_of_two_values_that_look_the_same_it_is_written_what_differs() -> None:
    assert shown_pair("caf\u00e9", "cafe\u0301") == ('"caf\\xe9"', '"cafe\\u0301"')
    assert shown_pair("\uff11", "1") == ('"\\uff11"', '"1"')
    assert shown_pair("grün", "grau") == ('"grün"', '"grau"')
    assert shown_pair(1, "1") == ("1", '"1"')
    assert shown_pair("é", "é") == ('"é"', '"é"')


def test_of_two_long_values_is_shown_where_they_part() -> None:
    left, right = shown_pair("x" * 500 + "one", "x" * 500 + "other", 40)
    assert (left, right) == ("…" + "x" * 11 + 'one"', "…" + "x" * 11 + 'other"')
    assert shown_pair("x" * 30, "x" * 31, 40) == (f'"{"x" * 30}"', f'"{"x" * 31}"')
    assert shown_pair(["a" * 100], None, 20) == ('["' + "a" * 18 + "…", "null")


def test_a_long_path_keeps_its_end_and_loses_namespaces_first() -> None:
    path = "$['{http://s3.example/doc/}List']['{http://s3.example/doc/}Owner']"
    assert visible_path(path, 80) == path
    assert visible_path(path, 40) == "$['{…}List']['{…}Owner']"
    assert visible_path(path, 15) == "…t']['{…}Owner']"
    assert visible_path("header:\x1b[31m") == "header:\\x1b[31m"


@given(st.text())
def test_whatever_is_shown_is_one_line_of_printable_characters(text: str) -> None:
    assert all(character.isprintable() for character in visible(text))
    assert all(character.isprintable() for character in shown(text))
    assert all(character.isprintable() for side in shown_pair(text, text[::-1], 20) for character in side)


def test_hostile_content_stays_text_on_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07[bold red]x[/bold red]\r\n"
    text = as_text(judged(run(1, requests=300, defect=on("/products/{}", put("currency", hostile)))), "run")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\r" not in text
    assert "[bold red]x[/bold red]" in text


def test_the_first_lines_say_verdict_and_reason() -> None:
    report = judged(run(1, requests=300, defect=DEFECTS[0].defect))
    lines = as_text(report, "runs/one").splitlines()
    assert lines[0].strip() == "HOLD"
    assert lines[1].strip() == "candidate: 1 finding, 0 breaking"
    text = "\n".join(lines)
    assert "GET /products/{id}  $['currency']" in text
    assert '"EUR" -> "USD"' in text
    assert "understudy show runs/one x" in text


def test_facts_that_explain_together_are_one_sentence_in_every_report() -> None:
    defect = on("/search", put("internal", 1), when=lambda call: call.language == "tr" and "page=" in call.target)
    report = judged(run(1, requests=3000, defect=defect, pages=3))
    sentence = "100 % of them have header:accept-language: tr and query:page present, 0.0 % of the rest"
    assert sentence in " ".join(as_text(report, "run").split())
    assert "100% have `header:accept-language: tr` and `query:page present`, 0% of the rest" in as_markdown(
        report, "run"
    )
    assert "<code>header:accept-language: tr</code> and <code>query:page present</code>, 0% of the rest" in as_html(
        report, "run"
    )
    (finding,) = json.loads(as_json(report))["candidates"]["candidate"]["findings"]
    assert finding["explained_by"][0] == {
        "dimension": "header:accept-language and query:page",
        "value": "tr and (present)",
        "inside": 1.0,
        "outside": 0.0,
        "and": [
            {"dimension": "header:accept-language", "value": "tr"},
            {"dimension": "query:page", "value": "(present)"},
        ],
    }


def test_the_json_report_has_the_documented_keys() -> None:
    report = json.loads(as_json(judged(run(1, requests=300, defect=DEFECTS[0].defect))))
    assert list(report) == ["version", "verdict", "reasons", "ledger", "candidates"]
    assert report["version"] == 1
    candidate = report["candidates"]["candidate"]
    assert {"verdict", "totals", "findings", "suppressed", "expected", "timing", "coverage"} <= set(candidate)
    assert set(candidate["totals"]) == {"same", "expected", "noisy", "different", "not_comparable"}
    (finding,) = candidate["findings"]
    assert {
        "id", "route", "path", "kind", "from", "to", "severity", "count", "pairs", "share", "share_low", "share_high",
        "examples", "explained_by", "caused_by",
    } <= set(finding)  # fmt: skip
    assert {"route", "path", "kind", "count", "why"} <= set(candidate["suppressed"][0])
    assert {"route", "quantile", "pairs", "ratio", "low", "high", "detectable", "verdict"} <= set(
        candidate["timing"][0]
    )
    assert {"behaviours_seen", "behaviours_performed", "unseen_probability", "low", "high"} == set(
        candidate["coverage"]
    )


HOSTILE = "</code></script><script>alert(1)</script><img src=x onerror=alert(1)> `|\n| \x1b[31m \u202e ]]> & \"'"


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_the_state_of_a_rule_is_one_of_the_documented_three_and_the_detail_says_more() -> None:
    rules = {
        "ignore": [{"path": "$.never", "reason": "r"}, {"path": "$.x", "reason": "r", "expires": "2020-01-01"}],
        "expect": [{"path": "$..views", "max": 1, "reason": "r"}, {"path": "$.nothing", "reason": "r"}],
    }
    report = json.loads(as_json(judged(run(1, requests=200, sessions=20), tables=rules)))
    rows = report["candidates"]["candidate"]["expected"]
    assert [(row["state"], row["detail"]) for row in rows] == [
        ("missing", "unused"), ("expired", "expired"), ("seen", "exceeded"), ("missing", "missing"),
    ]  # fmt: skip


def test_hostile_content_stays_text_in_html_and_nothing_can_be_loaded() -> None:
    page = as_html(judged(run(1, requests=300, defect=on("/products/{}", put("currency", HOSTILE)))), HOSTILE)
    tags = _Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "img", "link", "iframe", "object", "a"}
    assert not {name for name in tags.attributes if name.startswith("on")} | (
        tags.attributes & {"src", "href", "style"}
    )
    assert "default-src 'none'; style-src 'sha256-" in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_anchors_of_findings_are_their_own_also_where_candidates_share_a_finding() -> None:
    defect = next(one for one in DEFECTS if one.name == "a field missing in every row").defect
    report = judged(run(1, requests=200, sessions=20, defect=defect))
    (one,) = report.candidates.values()
    identity = one.findings[0].id
    assert f'<details id="{identity}"' in as_html(report, "run")
    page = as_html(dataclasses.replace(report, candidates={"a": one, "b": one}), "run")
    for anchor in ("c1-", "c2-", f"c1-{identity}", f"c2-{identity}"):
        assert page.count(f'id="{anchor}"') == 1
    assert '<a href="#c2-">b</a>' in page


def test_hostile_content_stays_in_its_cell_in_markdown() -> None:
    text = as_markdown(judged(run(1, requests=300, defect=on("/products/{}", put("currency", HOSTILE)))), "run")
    (row,) = (line for line in text.splitlines() if "$['currency']" in line)
    assert row.replace("\\|", "").count("|") == 8
    assert row.count("`") % 2 == 0
    assert "\x1b" not in text


def test_hostile_content_leaves_junit_well_formed() -> None:
    report = as_junit(judged(run(1, requests=300, defect=on("/products/{}", put("currency", HOSTILE)))))
    (suite,) = ElementTree.fromstring(report)
    assert (suite.get("failures"), suite.get("errors")) == ("2", "0")
    names = [case.get("name") for case in suite]
    assert names[:2] == ["verdict", "GET /products/{id} $['currency'] value"]


def test_an_inconclusive_run_is_an_error_in_junit() -> None:
    (suite,) = ElementTree.fromstring(as_junit(judged([])))
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
