"""XML bodies: names by namespace whatever the prefix, comments not compared, declarations of entities refused."""

from __future__ import annotations

from typing import Any, Final
from xml.parsers import expat

from diff.body.kinds import parse_content_type
from diff.body.markup import Builder, Element, compare_elements
from diff.body.reading import Unreadable, read_both
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["compare_xml", "parse_xml"]

_SEPARATOR: Final = " "  # cannot stand in a name or, as it is, in a namespace URI
_XML_SPACE: Final = "{http://www.w3.org/XML/1998/namespace}space"


def compare_xml(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Add the differences of two XML documents. Raises Unreadable where one is not well-formed or declares entities."""
    types = {"left": left_type, "right": right_type}
    mine, other = read_both(lambda body, side: parse_xml(body, types[side], options.depth_max), left, right)
    compare_elements(mine, other, collector, options)


def parse_xml(body: bytes, content_type: str | None, depth_max: int) -> Element:
    """The root element; names are "{namespace}local" or "local".

    White space between elements is dropped and text beside elements trimmed, but within xml:space="preserve"; text that
    stands alone in its element is kept as it is. Raises Unreadable.
    """
    charset = parse_content_type(content_type).charset
    # A byte order mark and the declaration in the document are expat's own business (RFC 7303, section 3).
    marked = body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))
    try:
        parser = expat.ParserCreate(None if marked else charset, _SEPARATOR)
    except (ValueError, LookupError):
        parser = expat.ParserCreate(None, _SEPARATOR)
    handlers = _Handlers(depth_max)
    parser.buffer_text = True
    parser.StartElementHandler = handlers.start
    parser.EndElementHandler = handlers.end
    parser.CharacterDataHandler = handlers.builder.text
    parser.EntityDeclHandler = handlers.entity
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise Unreadable(
            f"not well-formed XML at line {error.lineno}, column {error.offset}: {expat.ErrorString(error.code)}"
        ) from None
    except (LookupError, ValueError) as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"XML in an encoding that cannot be read: {error}") from None
    assert handlers.builder.root is not None
    return handlers.builder.root


class _Handlers:
    __slots__ = ("_preserved", "builder")

    def __init__(self, depth_max: int) -> None:
        self.builder = Builder(depth_max)
        self._preserved: list[bool] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        named = {_name(key): value for key, value in attributes.items()}
        outer = bool(self._preserved) and self._preserved[-1]
        space = named.get(_XML_SPACE)
        self.builder.start(_name(name), named)
        self._preserved.append(space == "preserve" or (outer and space != "default"))

    def end(self, _name: str) -> None:
        element = self.builder.end()
        if not self._preserved.pop() and any(isinstance(child, Element) for child in element.children):
            texts = (child if isinstance(child, Element) else child.strip(" \t\r\n") for child in element.children)
            element.children = [child for child in texts if child]
        element.close()

    def entity(self, *_declaration: Any) -> None:
        raise Unreadable("XML that declares entities, which is refused")


def _name(name: str) -> str:
    namespace, separator, local = name.rpartition(_SEPARATOR)
    return f"{{{namespace}}}{local}" if separator else name
