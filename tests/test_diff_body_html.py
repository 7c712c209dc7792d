"""HTML bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.html import parse_html
from diff.body.reading import Unreadable
from diff.difference import MISSING
from tests.support.bodies import compare, found

HTML = "text/html; charset=utf-8"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('<p class="b a" id=x>one  <b>two</b></p>', "<P ID='x' CLASS='a  b b'>\n one<b> two\n</b></P>"),
        ("<p>x</p><!-- build 1 -->", "<p>x<!-- build 2 --></p>"),
        ("<ul><li>1<li>2</ul>", "<ul>\n  <li>1</li>\n  <li>2</li>\n</ul>"),
        ("<p>&eacute;&amp;&#33;", "<p>é&amp;!"),
        ("<input disabled>", '<input disabled="">'),
        ("<input checked required=true>", '<input required="required" checked="checked">'),
        ("<script>\n  go()\n</script>", "<script>go()</script>"),
        ("<html><head></head><body>x</body></html>", "x"),
    ],
)
def test_another_spelling_of_the_same_page_is_equal(left: str, right: str) -> None:
    assert found(left, right, HTML) == []


def test_text_is_found_at_its_place() -> None:
    page = "<body><h1>Shop</h1><p>Price: <b>%s</b> each</p></body>"
    assert found(page % "9.50", page % "9.5", HTML) == [
        (("html", "body", 0, "p", 0, "b", 0, "#text", 0), "value", "9.50", "9.5")
    ]
    assert found("<p>a<br>b</p>", "<p>a<br>c</p>", HTML) == [
        (("html", "body", 0, "p", 0, "#text", 1), "value", "b", "c")
    ]


def test_attributes_are_compared_one_by_one() -> None:
    assert found('<a href="/1" title=t class="x y">', '<a href="/2" rel=next class="y z">', HTML) == [
        (("html", "body", 0, "a", 0, "@href"), "value", "/1", "/2"),
        (("html", "body", 0, "a", 0, "@title"), "missing", "t", MISSING),
        (("html", "body", 0, "a", 0, "@class"), "value", "x y", "y z"),
        (("html", "body", 0, "a", 0, "@rel"), "extra", MISSING, "next"),
    ]


def test_one_inserted_or_lost_element_is_one_difference() -> None:
    rows = [f"<li>{n}</li>" for n in range(100)]
    whole = f"<ul>{''.join(rows)}</ul>"
    inserted = f"<ul><li>new</li>{''.join(rows)}</ul>"
    lost = f"<ul>{''.join(rows[:50] + rows[51:])}</ul>"
    at = ("html", "body", 0, "ul", 0, "li")
    assert found(whole, inserted, HTML) == [((*at, 0), "extra", MISSING, "<li>new</li>")]
    assert found(whole, lost, HTML) == [((*at, 50), "missing", "<li>50</li>", MISSING)]


def test_elements_in_another_order_are_one_difference() -> None:
    assert [
        (path, kind) for path, kind, _, _ in found("<p>1</p><p>2</p><p>3</p>", "<p>3</p><p>1</p><p>2</p>", HTML)
    ] == [(("html", "body", 0), "order")]


def test_elements_with_an_id_are_compared_with_their_namesakes() -> None:
    left = '<div id="a">1</div><div id="b">2</div><div id="c">3</div>'
    right = '<div id="c">3</div><div id="a">9</div><div id="b">2</div>'
    assert [(path, kind) for path, kind, _, _ in found(left, right, HTML)] == [
        (("html", "body", 0), "order"),
        (("html", "body", 0, "div", 0, "#text", 0), "value"),
    ]


def test_an_element_of_another_tag_in_its_place_is_a_difference_of_type() -> None:
    assert found("<p><b>x</b></p>", "<p><i>x</i></p>", HTML) == [
        (("html", "body", 0, "p", 0, "#child", 0), "type", "<b>x</b>", "<i>x</i>")
    ]


def test_white_space_counts_in_preformatted_text() -> None:
    assert found("<pre>a  b</pre>", "<pre>a b</pre>", HTML) == [
        (("html", "body", 0, "pre", 0, "#text", 0), "value", "a  b", "a b")
    ]


def test_the_content_of_templates_and_scripts_is_compared() -> None:
    assert len(found("<template><i>x</i></template>", "<template><i>y</i></template>", HTML)) == 1
    assert found("<script>a = 1</script>", "<script>a = 2</script>", HTML) == [
        (("html", "head", 0, "script", 0, "#text", 0), "value", "a = 1", "a = 2")
    ]


def test_the_doctype_decides_on_quirks_mode() -> None:
    assert found("<!DOCTYPE html><p>", "<p>", HTML) == [(("#doctype",), "value", "html", "")]
    assert found("<!DOCTYPE html><p>", "<!-- c -->\n<!doctype  HTML ><p>", HTML) == []


def test_the_encoding_may_be_told_within_the_page() -> None:
    left, right = '<meta charset="iso-8859-1">grün'.encode("latin-1"), b'<meta charset="iso-8859-1">gr&uuml;n'
    assert found(left, right, "text/html") == []


def test_json_that_is_labelled_as_html_is_compared_as_json() -> None:
    comparison = compare('{"a":1}', '{"a":2}', HTML)
    assert [d.path for d in comparison.differences] == [("a",)]
    assert comparison.notes == ("declared as html, compared as json",)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("<select>" + "<option>" * 20_000, "more than 10000 tags open at once"),
        ("<div>" * 100_000, "more than 10000 tags open at once"),
        ("<a " + " ".join(f"a{n}=1" for n in range(1000)) + ">", "a tag of more than 500 attributes"),
        ("x" * (5 << 20), "HTML of more than 4194304 bytes"),
    ],
)
def test_a_page_made_to_cost_time_is_compared_as_text_and_says_so(body: str, reason: str) -> None:
    with pytest.raises(Unreadable):
        parse_html(body.encode(), HTML, 200)
    comparison = compare(body, body + "!", HTML)
    assert comparison.verdict == "different"
    assert reason.replace("a tag", "an HTML tag") in comparison.notes[0]


def test_nesting_below_the_bound_is_compared_as_markup() -> None:
    comparison = compare("<div>" * 3000 + "x", "<div>" * 3000 + "y", HTML)
    assert [(len(d.path), d.kind) for d in comparison.differences] == [(399, "value")]


@given(st.text("<>/ab =\"'&;!-\n\x00é", max_size=60), st.text("<>/ab =\"'&;!-\n", max_size=60))
def test_tag_soup_is_compared_without_complaint(left: str, right: str) -> None:
    compare("<p>" + left, "<p>" + right, HTML)
