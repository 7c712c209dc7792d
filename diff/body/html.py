"""HTML bodies, parsed as browsers do: structure, attributes and text are compared, white space and comments are not."""

from __future__ import annotations

import re
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from diff.body.kinds import parse_content_type
from diff.body.markup import ELEMENTS_MAX, Builder, Element, compare_elements
from diff.body.reading import Unreadable, read_both
from diff.body.text import decode_text
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["compare_html", "parse_html"]

# The parser takes time that grows with the square of these; pages that people write stay far below.
_OPEN_TAGS_MAX: Final = 10_000
_ATTRIBUTES_MAX: Final = 500
_HTML_BYTES_MAX: Final = 4 << 20

_TAG: Final = re.compile(r"<(/?)([a-zA-Z][^\s/>]*)([^>]*)")
_VOID: Final = frozenset(
    {
        *(
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "param",
            "source",
            "track",
            "wbr",
        ),
    }
)
_VERBATIM: Final = frozenset({"pre", "textarea", "listing", "plaintext"})
_LINES: Final = frozenset({"script", "style", "noscript", "template"})
_WHITE: Final = re.compile(r"[ \t\n\f\r]+")
_META_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}?charset=[\"']?([A-Za-z0-9_-]{1,40})", re.IGNORECASE)
_DOCTYPE: Final = re.compile(r"\A\s*(?:<!--(?:[^-]|-(?!->))*+-->\s*)*+<!doctype([^>]{0,500})>", re.IGNORECASE)


# HTML Standard, section 2.3.2: that such an attribute is there is all it says, whatever its value.
_BOOLEAN: Final = frozenset(
    {
        "allowfullscreen", "async", "autofocus", "autoplay", "checked", "controls", "default", "defer", "disabled",
        "formnovalidate", "inert", "ismap", "itemscope", "loop", "multiple", "muted", "nomodule", "novalidate", "open",
        "playsinline", "readonly", "required", "reversed", "selected",
    }
)  # fmt: skip


def compare_html(
    left: bytes,
    right: bytes,
    left_type: str | None,
    right_type: str | None,
    collector: Collector,
    options: CompareOptions,
) -> None:
    """Add the differences of two HTML documents or fragments. Raises Unreadable where a bound is met."""
    types = {"left": left_type, "right": right_type}
    (mine, doctype), (other, other_doctype) = read_both(
        lambda body, side: parse_html(body, types[side], options.depth_max), left, right
    )
    if doctype != other_doctype:
        collector.add(("#doctype",), "value", doctype, other_doctype)
    compare_elements(mine, other, collector, options)


def parse_html(body: bytes, content_type: str | None, depth_max: int) -> tuple[Element, str]:
    """The html element of a document, and its doctype, "" where there is none, which decides on quirks mode.

    The encoding is that of a byte order mark, the Content-Type or a meta element. Text is trimmed and its white space
    folded, but within pre and textarea; of scripts and styles the lines are trimmed. Raises Unreadable.
    """
    charset = parse_content_type(content_type).charset
    if charset is None and (declared := _META_CHARSET.search(body[:1024])) is not None:
        charset = declared.group(1).decode("ascii")
    if len(body) > _HTML_BYTES_MAX:
        raise Unreadable(f"HTML of more than {_HTML_BYTES_MAX} bytes")
    text = decode_text(body, charset)[0]
    _check_bounds(text)
    doctype = _DOCTYPE.match(text)
    # Lone surrogates, which the parser cannot take, come from no HTML encoding; NUL it would drop or replace.
    root = LexborHTMLParser(text.encode("utf-8", "replace")).root
    if root is None:
        raise Unreadable("HTML without a root element")
    return _built(root, depth_max), _folded(doctype.group(1)).lower() if doctype else ""


def _check_bounds(text: str) -> None:
    opened = deepest = tags = 0
    for found in _TAG.finditer(text):
        closing, tag, rest = found.groups()
        if len(rest) > 1000 and len(rest.split()) > _ATTRIBUTES_MAX:
            raise Unreadable(f"an HTML tag of more than {_ATTRIBUTES_MAX} attributes")
        tags += not closing
        if closing:
            opened = max(opened - 1, 0)
        elif tag.lower() not in _VOID and not rest.endswith("/"):
            opened += 1
            deepest = max(deepest, opened)
    if tags > ELEMENTS_MAX:
        raise Unreadable(f"HTML of more than {ELEMENTS_MAX} tags")
    if deepest > _OPEN_TAGS_MAX:
        raise Unreadable(f"HTML with more than {_OPEN_TAGS_MAX} tags open at once")


def _built(root: LexborNode, depth_max: int) -> Element:
    """Our own tree of a parsed document, without recursion; what lies too deep stays markup."""
    builder = Builder(depth_max)
    verbatim: list[bool] = []
    node = root
    while True:
        inner = _opened(node, builder, verbatim, depth_max)
        if inner is not None:
            node = inner
            continue
        following = None if builder.depth == 0 else node.next
        while following is None:
            if builder.depth == 0 or node.parent is None:
                assert builder.root is not None
                return builder.root
            node = node.parent
            _close(builder, verbatim)
            following = node.next
        node = following


def _opened(node: LexborNode, builder: Builder, verbatim: list[bool], depth_max: int) -> LexborNode | None:
    """Take a node into the tree; its first child where there is one to go on with, after which it must be closed."""
    if node.is_text_node:
        builder.text(node.text_content or "")
    elif node.is_element_node:
        if builder.depth >= depth_max - 1:
            builder.text(node.html or "")
            return None
        tag = node.tag or ""
        attributes = node.attributes.items()
        builder.start(tag, {name: "" if name in _BOOLEAN else value or "" for name, value in attributes})
        verbatim.append(tag in _VERBATIM or (bool(verbatim) and verbatim[-1]))
        if tag == "template":
            builder.text("".join(part.html or "" for part in node.template_fragments()[:1]))
        if node.first_child is not None:
            return node.first_child
        _close(builder, verbatim)
    return None


def _close(builder: Builder, verbatim: list[bool]) -> None:
    element = builder.end()
    if not verbatim.pop():
        tidy = _lines if element.tag in _LINES else _folded
        texts = ((child if isinstance(child, Element) else tidy(child)) for child in element.children)
        element.children = [child for child in texts if child]
    element.close()


def _folded(text: str) -> str:
    return _WHITE.sub(" ", text).strip(" ")


def _lines(text: str) -> str:
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)
