"""Values in an HTML page that its reader sends back: fields, links, tokens, what its scripts and attributes hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from replay.place import Place
from replay.script_leaves import script_leaves

__all__ = ["HtmlLeaf", "html_leaves"]

_FIELDS = "input[value], option[value], button[value], textarea, meta[content]"
_LINKS = {
    "a": "href", "area": "href", "link": "href", "form": "action", "img": "src", "script": "src", "iframe": "src",
    "source": "src", "video": "src", "audio": "src", "embed": "src", "object": "data",
}  # fmt: skip
_LINKED = ", ".join((*(f"{tag}[{name}]" for tag, name in _LINKS.items()), "[formaction]"))
_HELD = ("data-", "hx-")
_VALUE_MAX = 64 << 10


class HtmlLeaf(NamedTuple):
    """One value and its place. is_link: it is an address, possibly relative, that says nothing but by its parts."""

    place: Place
    value: str
    is_link: bool = False


def html_leaves(body: bytes) -> Iterator[HtmlLeaf]:
    """What a browser or a script on the page may send, forms before links, attributes and scripts."""
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(body)
    seen: Counter[tuple[str, str]] = Counter()

    def place(tag: str, name: str) -> Place:
        nth = seen[(tag, name)]
        seen[(tag, name)] += 1
        return Place("html", (tag, name, nth))

    for node in tree.css(_FIELDS):
        attributes, tag = node.attributes, node.tag or ""
        name = attributes.get("name") or attributes.get("property") or ""
        if tag == "meta":
            content = attributes.get("content") or ""
            if (attributes.get("http-equiv") or "").lower() == "refresh":
                yield HtmlLeaf(place(tag, "refresh"), content.partition("=")[2].strip(" '\""), is_link=True)
            elif name:
                yield HtmlLeaf(place(tag, name), content)
        elif tag == "textarea":
            yield HtmlLeaf(place(tag, name), (node.text() or "").removeprefix("\n"))
        else:
            yield HtmlLeaf(place(tag, name), attributes.get("value") or "")
    for node in tree.css(_LINKED):
        attributes, tag = node.attributes, node.tag or ""
        attribute = _LINKS.get(tag, "formaction")
        link = attributes.get(attribute) or attributes.get("formaction") or ""
        yield HtmlLeaf(place(tag, ""), link, is_link=True)
    if any(name.encode() in body for name in _HELD):
        for node in tree.root.traverse() if tree.root is not None else ():
            for name, value in node.attributes.items():
                if name.startswith(_HELD) and value:
                    yield HtmlLeaf(place(node.tag or "", name), value)
    if b"<script" in body or b"<SCRIPT" in body:
        for node in tree.css("script"):
            yield from _script(node, place)


def _script(node: Any, place: Any) -> Iterator[HtmlLeaf]:
    """JSON in a script element is one value, called by its id; JavaScript has values by the names in it."""
    text = node.text() or ""
    if not text.strip():
        return
    attributes = node.attributes
    if "json" in (attributes.get("type") or "").lower():
        yield HtmlLeaf(place("script", attributes.get("id") or ""), text.strip())
        return
    nth: tuple[str, int] | None = None
    at = None
    for leaf in script_leaves(text):
        if at is None or nth != (leaf.name, leaf.nth):
            nth, at = (leaf.name, leaf.nth), place("script", leaf.name)
        inner = () if leaf.path is None else ("json", *leaf.path)
        yield HtmlLeaf(at._replace(inner=inner), leaf.value)
