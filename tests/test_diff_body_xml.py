"""XML bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.body.reading import Unreadable
from diff.body.xml import parse_xml
from diff.difference import MISSING
from tests.support.bodies import compare, found

XML = "application/xml"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (
            '<a xmlns="u"><b i="1" j="2"/></a>',
            "<?xml version='1.0'?>\n<p:a xmlns:p='u'>\n <p:b j='2' i='1'></p:b>\n</p:a>",
        ),
        ("<a><!-- c -->x&amp;y</a>", "<a>x<![CDATA[&]]>y</a>"),
        ("<a>é</a>", '<?xml version="1.0" encoding="UTF-8"?><a>&#233;</a>'),
        ("<a><b>x</b> tail </a>", "<a>\n\t<b>x</b>\n\ttail\n</a>"),
        ("<!DOCTYPE a><a/>", "<a></a>"),
    ],
)
def test_another_spelling_of_the_same_document_is_equal(left: str, right: str) -> None:
    assert found(left, right, XML) == []


def test_the_declared_encoding_is_honoured() -> None:
    left = '<?xml version="1.0" encoding="ISO-8859-1"?><a>ü</a>'.encode("latin-1")
    assert found(left, "<a>ü</a>", XML) == []
    assert found("<a>ü</a>".encode("utf-16"), "<a>ü</a>", XML) == []


def test_a_namespace_is_part_of_a_name_and_a_prefix_is_not() -> None:
    assert found('<p:a xmlns:p="u"><p:b>1</p:b></p:a>', '<q:a xmlns:q="u"><q:b>2</q:b></q:a>', XML) == [
        (("{u}a", "{u}b", 0, "#text", 0), "value", "1", "2")
    ]
    assert found('<a xmlns="u"/>', '<a xmlns="v"/>', XML) == [((), "type", "<{u}a></{u}a>", "<{v}a></{v}a>")]
    assert found('<a xmlns:x="u" x:i="1"/>', '<a xmlns:x="v" x:i="1"/>', XML) == [
        (("a", "@{u}i"), "missing", "1", MISSING),
        (("a", "@{v}i"), "extra", MISSING, "1"),
    ]


def test_text_that_stands_alone_is_exact() -> None:
    assert found("<a><b> x</b></a>", "<a><b>x</b></a>", XML) == [(("a", "b", 0, "#text", 0), "value", " x", "x")]
    assert len(found('<a xml:space="preserve"> <b/></a>', '<a xml:space="preserve"><b/></a>', XML)) == 1


def test_an_element_that_moved_and_changed_is_not_one_gone_and_another_come() -> None:
    left = "<l><n>b</n><p/><m>10</m><c><k>a/0</k><s>180</s></c><c><k>a/1</k><s>181</s></c></l>"
    right = "<l><c><k>a/0</k><s>180</s></c><c><k>a/1</k><s>180</s></c><n>b</n><p/><m>10</m></l>"
    for one, other in ((left, right), (right, left)):
        differences = [(path, kind) for path, kind, _, _ in found(one, other, XML)]
        assert differences == [(("l",), "order"), (("l", "c", 1, "s", 0, "#text", 0), "value")]


def test_rows_are_named_by_an_attribute_or_a_child() -> None:
    by_child = "<r><i><id>1</id><v>a</v></i><i><id>2</id><v>b</v></i></r>"
    changed = "<r><i><id>0</id><v>z</v></i><i><id>1</id><v>A</v></i><i><id>2</id><v>b</v></i></r>"
    assert found(by_child, changed, XML) == [
        (("r", "i", 0, "v", 0, "#text", 0), "value", "a", "A"),
        (("r", "i", 0), "extra", MISSING, "<i><id>0</id><v>z</v></i>"),
    ]


def test_declared_entities_are_refused_and_the_rest_compared_as_text() -> None:
    bomb = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><a>%s</a>'
    comparison = compare(bomb % "&y;", bomb % "&x;", XML)
    assert comparison.notes == ("XML that declares entities, which is refused; compared as text",)
    assert comparison.verdict == "different"
    one_side = compare(bomb % "&y;", "<a>hahaha</a>", XML)
    assert [(d.path, d.kind) for d in one_side.differences] == [((), "type")]


def test_external_parts_are_never_fetched() -> None:
    document = '<!DOCTYPE a SYSTEM "file:///etc/passwd" [<!ENTITY %% p SYSTEM "file:///etc/passwd"> %%p;]><a>%s</a>'
    assert compare(document % 1, document % 2, XML).notes == (
        "XML that declares entities, which is refused; compared as text",
    )


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("<a>", "not well-formed XML at line 1, column 3: no element found"),
        ("<a/><b/>", "junk after document element"),
        ("<a>&b;</a>", "undefined entity"),
        ("<a>" * 201 + "</a>" * 201, "elements nested deeper than 200"),
        ('<?xml version="1.0" encoding="klingon"?><a/>', "unknown encoding"),
        ("", "no element found"),
    ],
)
def test_what_is_not_read_says_why(document: str, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        parse_xml(document.encode(), XML, 200)


def test_a_document_of_very_many_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diff.body.markup.ELEMENTS_MAX", 1000)
    with pytest.raises(Unreadable, match="more than 1000 elements"):
        parse_xml(b"<a>" + b"<b/>" * 1000 + b"</a>", XML, 200)


@given(st.text("<>/ab =\"'&;!-?[]\n", max_size=40))
def test_garbage_is_read_or_refused(garbage: str) -> None:
    for document in (garbage, f"<a>{garbage}</a>"):
        try:
            parse_xml(document.encode(), XML, 200)
        except Unreadable:
            pass
