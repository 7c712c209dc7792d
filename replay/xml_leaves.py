"""The texts of an XML document with their places, and where they stand in its bytes, so that one can be replaced."""

from __future__ import annotations

from typing import Final, NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape

from replay.place import Place, Step

__all__ = ["Leaf", "looks_like_xml", "splice_xml", "xml_leaves"]

_LEAVES_MAX: Final = 5000
_DEPTH_MAX: Final = 64


class Leaf(NamedTuple):
    """An element that holds text alone, or an attribute. start, end: bytes of the text, -1 where it stays as it is."""

    place: Place
    text: str
    start: int = -1
    end: int = -1


def looks_like_xml(content_type: str, body: bytes) -> bool:
    """By the Content-Type in lower case, or by how it begins."""
    return "xml" in content_type or body[:5] == b"<?xml"


def xml_leaves(body: bytes) -> list[Leaf]:
    """The leaves in document order, at most 5,000; nothing where it is not well-formed or declares entities.

    A place is the names from the root on, each below it with its number among its like: ("Envelope", "Body", 0, "Id",
    0), and "@name" for an attribute; namespaces and prefixes left out. Never raises.
    """
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = lambda name, attributes: reader.start(name, attributes)
    parser.EndElementHandler = lambda _name: reader.end(parser.CurrentByteIndex)
    parser.CharacterDataHandler = lambda text: reader.text(text, parser.CurrentByteIndex)
    parser.StartCdataSectionHandler = reader.cdata
    parser.EntityDeclHandler = reader.entity
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(body, True)
    except _Enough:
        pass
    except (expat.ExpatError, LookupError, ValueError):
        return []
    return reader.leaves


def splice_xml(body: bytes, values: dict[Place, str]) -> bytes:
    """The document with other texts at some places, every other byte as it was; UTF-16 stays as it is."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return body
    for leaf in reversed(xml_leaves(body)):
        if leaf.place in values and leaf.start >= 0:
            new = escape(values[leaf.place]).encode("ascii", "xmlcharrefreplace")
            body = body[: leaf.start] + new + body[leaf.end :]
    return body


class _Enough(Exception):
    """More leaves than are looked at."""


class _Open:
    """An element that is open: what was seen of it so far."""

    __slots__ = ("counts", "parts", "path", "simple", "start")

    def __init__(self, path: tuple[Step, ...]) -> None:
        self.path = path
        self.counts: dict[str, int] = {}
        self.parts: list[str] = []
        self.start = -1
        self.simple = True


class _Reader:
    __slots__ = ("_open", "_plain", "leaves")

    def __init__(self) -> None:
        self.leaves: list[Leaf] = []
        self._open: list[_Open] = []
        self._plain = True

    def start(self, name: str, attributes: dict[str, str]) -> None:
        local = name.rpartition(":")[2]
        if not self._open:
            path: tuple[Step, ...] = (local,)
        else:
            if len(self._open) >= _DEPTH_MAX:
                raise ValueError("nested too deep")
            outer = self._open[-1]
            outer.simple = False
            number = outer.counts.get(local, 0)
            outer.counts[local] = number + 1
            path = (*outer.path, local, number)
        self._open.append(_Open(path))
        self._plain = True
        for key, value in attributes.items():
            if not key.startswith("xmlns"):
                self._add(Leaf(Place("xml", (*path, f"@{key.rpartition(':')[2]}")), value))

    def text(self, text: str, at: int) -> None:
        element = self._open[-1]
        if element.start < 0:
            element.start = at
        element.parts.append(text)

    def cdata(self) -> None:
        self._plain = False

    def end(self, at: int) -> None:
        element = self._open.pop()
        if element.simple and element.parts:
            start, end = (element.start, at) if self._plain else (-1, -1)
            self._add(Leaf(Place("xml", element.path), "".join(element.parts), start, end))
        self._plain = True

    def entity(self, *_declaration: object) -> None:
        raise ValueError("entities are not declared in what is bound")

    def _add(self, leaf: Leaf) -> None:
        if len(self.leaves) >= _LEAVES_MAX:
            raise _Enough
        self.leaves.append(leaf)
