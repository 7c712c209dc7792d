"""How two bodies are compared, and what happens where one is not what it should be."""

from __future__ import annotations

from diff.body.dispatch import compare_content
from diff.collector import Collector
from diff.options import CompareOptions


def compared(left: bytes, right: bytes, left_type: str | None, right_type: str | None) -> Collector:
    collector = Collector(100, "header")
    compare_content(left, right, left_type, right_type, collector, CompareOptions())
    return collector


def test_differences_are_placed_in_the_body_whatever_came_before() -> None:
    assert [d.place for d in compared(b"[1]", b"[2]", None, None).differences] == ["body"]


def test_labels_that_disagree_give_way_to_contents_that_agree() -> None:
    collector = compared(
        b"<?xml version='1.0'?><a>1</a>", b"<?xml version='1.0'?><a>2</a>", "text/css", "application/xml"
    )
    assert [d.path for d in collector.differences] == [("a", "#text", 0)]
    assert collector.notes == ["declared as text and xml, compared as xml"]


def test_contents_of_different_kinds_are_one_difference_of_type() -> None:
    collector = compared(b'{"a":1}', b"<p>", "application/json", "text/html")
    assert [(d.path, d.kind, d.left, d.right) for d in collector.differences] == [((), "type", '{"a":1}', "<p>")]
    assert collector.notes == ["json against html: the contents are not compared"]


def test_a_large_or_binary_body_is_described_and_not_carried() -> None:
    large = compared(b'"%s"' % (b"x" * 70_000), b"", "application/json", None).differences[0]
    assert large.kind == "missing"
    assert large.left["bytes"] == 70_002
    assert compared(b"", b"\x08\x01", None, "application/x-protobuf").differences[0].right["bytes"] == 2


def test_what_is_unreadable_on_both_sides_is_compared_in_a_plainer_way() -> None:
    assert compared(b"<a>", b"<b>", "application/xml", "application/xml").notes[0].endswith("compared as text")
    assert compared(b"\xc1", b"\xc1\xc1", "application/msgpack", "application/msgpack").notes[0].endswith("as binary")


PAGES = (
    "<title>Größe</title><p>1</p>".encode(),
    "<title>Größe</title><p>2</p>".encode(),
    "<title>Größe</title><p>2</p>".encode("latin-1"),
)


def test_another_charset_of_the_same_bytes_is_no_difference_of_every_text_with_an_umlaut() -> None:
    utf_8, latin_1 = "text/html; charset=utf-8", "text/html; charset=iso-8859-1"
    one, two, encoded = PAGES
    for collector in (compared(one, two, utf_8, latin_1), compared(one, two, "text/html", latin_1)):
        assert [(d.left, d.right) for d in collector.differences] == [("1", "2")]
        assert collector.notes == ["other charsets are declared, but these are the same bytes; read in one"]
    # A page that is really encoded otherwise is read as it says.
    assert [(d.left, d.right) for d in compared(one, encoded, utf_8, latin_1).differences] == [("1", "2")]
    assert compared(two, encoded, utf_8, latin_1).differences == []
    plain = compared("a\nGrün".encode(), "b\nGrün".encode(), "text/plain; charset=utf-8", "text/plain; charset=cp1252")
    assert [d.path for d in plain.differences] == [(0,)]


def test_bytes_that_mean_another_text_in_the_declared_charset_differ() -> None:
    one = compared(PAGES[0], PAGES[2], "text/html; charset=utf-8", "text/html; charset=utf-8")
    assert len(one.differences) == 1
