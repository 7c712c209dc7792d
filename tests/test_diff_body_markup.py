"""Trees of elements."""

from __future__ import annotations

import pytest

from diff.body.markup import Builder, Element
from diff.body.reading import Unreadable


def closed(tag: str, attributes: dict[str, str] | None = None, *children: Element | str) -> Element:
    element = Element(tag, attributes or {})
    element.children = list(children)
    element.close()
    return element


def test_keys_are_equal_exactly_where_what_is_compared_is() -> None:
    one = closed("a", {"class": "x y", "href": "/"}, "text", closed("b"))
    assert one.key == closed("a", {"href": "/", "class": "y  x"}, "text", closed("b")).key
    others = [
        closed("a", {"class": "x y", "href": "/"}, "text"),
        closed("a", {"class": "x y", "href": "/"}, closed("b"), "text"),
        closed("a", {"class": "x", "href": "/"}, "text", closed("b")),
        closed("i", {"class": "x y", "href": "/"}, "text", closed("b")),
        closed("a", {"class": "x yhref", "": "/"}, "text", closed("b")),
    ]
    assert one.key not in {other.key for other in others}


def test_markup_is_cut_to_what_a_person_reads() -> None:
    assert closed("a", {"b": "1"}, "x", closed("c")).markup() == '<a b="1">x<c></c></a>'
    assert len(closed("a", {}, *(closed("b", {}, "y" * 100) for _ in range(100))).markup()) < 2200


def test_text_in_pieces_is_one_run_and_depth_is_bounded() -> None:
    builder = Builder(2)
    builder.text("before the root is nothing")
    builder.start("a", {})
    builder.text("x")
    builder.text("y")
    builder.start("b", {})
    with pytest.raises(Unreadable, match="elements nested deeper than 2"):
        builder.start("c", {})
    builder.end().close()
    assert builder.end().children[0] == "xy"
