"""Redaction of XML and HTML in place: elements, attributes and form fields with the name of a secret, by one scan."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from capture.redact.found import Found
from capture.redact.pairs import redact_text

__all__ = ["redact_markup"]

_SCRIPT = re.compile(r"(<(script|style)\b[^>]*>)(.*?)(?=</\2\b|\Z)", re.DOTALL | re.IGNORECASE)
_TOKEN = re.compile(r"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<[!?/]?[^<>]*>?|[^<]+", re.DOTALL)
_NAME = re.compile(r"</?\s*([^\s/>]+)")
_ATTRIBUTE = re.compile(r"([^\s=/<>\"']+)(\s*=\s*)(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_DEPTH_MAX = 256


def redact_markup(text: str, found: Found, kind: str) -> str:
    """`text` with secret values replaced; kind is "xml" or "html", under which places are listed.

    Secret by name are: the text of an element, an attribute, and in an element that has a `name` (or `id`, `property`,
    `key`) attribute with such a name also its `value` and `content` and its text. Everything else is searched.
    """
    if kind != "html":
        return "".join(_pieces(text, found, kind))
    parts: list[str] = []
    end = 0
    for match in _SCRIPT.finditer(text):
        parts += _pieces(text[end : match.end(1)], found, kind)
        parts.append(redact_text(match.group(3), found))
        end = match.end()
    parts += _pieces(text[end:], found, kind)
    return "".join(parts)


def _pieces(text: str, found: Found, kind: str) -> Iterator[str]:
    open_names: list[tuple[str, str]] = []
    named = ""  # <name>password</name><value>...: the next text is that secret
    for match in _TOKEN.finditer(text):
        token = match.group()
        found.spend(4 + (len(token) >> 2 if token.startswith("<") else 0))
        if token.startswith("<") and not token.startswith(("<!--", "<![CDATA[")):
            yield _tag(token, open_names, found, kind)
            continue
        inside, before, after = token, "", ""
        if token.startswith("<![CDATA["):
            before, after = "<![CDATA[", "]]>" if token.endswith("]]>") else ""
            inside = token[9 : len(token) - len(after)]
        if named and kind == "xml" and inside.strip() and not token.startswith("<!--"):
            made = found.replace(inside.strip(), f"xml:{named}")
            yield token.replace(inside.strip(), made)
            named = ""
            continue
        if open_names and open_names[-1][0].lower() in ("name", "key") and found.rules.names.query(inside.strip()):
            named = inside.strip()[:64]
        yield before + _content(inside, open_names, found, kind, not before) + after


def _tag(token: str, open_names: list[tuple[str, str]], found: Found, kind: str) -> str:
    keep = found.rules.keep["xml"]
    named = _NAME.match(token)
    name = named.group(1).rpartition(":")[2] if named else ""
    if token.startswith("</"):
        while open_names:
            if open_names.pop()[0] == name:
                break
        return token
    label = ""
    attributes: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(token):
        attributes.setdefault(match.group(1).lower(), match.group(3) or match.group(4) or match.group(5) or "")
    for by in ("name", "id", "property", "key", "http-equiv"):
        if by in attributes and found.rules.names.query(attributes[by]) and attributes[by] not in keep:
            label = attributes[by]
            break
    if not label and attributes.get("type", "").lower() == "password":
        label = attributes.get("name", "password")

    def attribute(match: re.Match[str]) -> str:
        raw = match.group(3) or match.group(4) or match.group(5) or ""
        local = match.group(1).rpartition(":")[2]
        lower = local.lower()
        if not raw or local in keep:
            return match.group()
        if lower in ("value", "content", "data-value") and label:
            made = found.named(label, html.unescape(raw), f"{kind}:{label}")
        elif lower not in ("name", "id", "type", "for", "class") and found.rules.names.field(local):
            made = found.replace(html.unescape(raw), f"{kind}:{name}/@{local}")
        else:
            made = _searched(html.unescape(raw), found, f"{kind}:{name}/@{local}")
        if made == html.unescape(raw):
            return match.group()
        start, end = match.span(match.lastindex or 0)
        offset = match.start()
        return match.group()[: start - offset] + html.escape(made) + match.group()[end - offset :]

    made = _ATTRIBUTE.sub(attribute, token)
    opens = named and name.lower() not in _VOID and not token.endswith("/>") and token[1:2] not in "!?"
    if opens and len(open_names) < _DEPTH_MAX:
        open_names.append((name, label))
    return made


def _content(text: str, open_names: list[tuple[str, str]], found: Found, kind: str, escaped: bool) -> str:
    """The text of the innermost element that is open."""
    if not text.strip():
        return text
    value = html.unescape(text) if escaped else text
    name, label = open_names[-1] if open_names else ("", "")
    path = "/" + "/".join(open_name for open_name, _ in open_names[-8:])
    if name in found.rules.keep["xml"]:
        found.keep(value.strip())
        return text
    parent = open_names[-2][0] if len(open_names) > 1 else ""
    if kind == "xml" and (found.rules.strict or label or found.rules.names.field(name, parent)):
        made = found.replace(value, f"{kind}:{path}")
    else:
        made = _searched(value, found, f"{kind}:{path}")
    if made == value:
        return text
    return html.escape(made, quote=False) if escaped else made


def _searched(value: str, found: Found, place: str) -> str:
    """What is secret by no name of markup: read as JSON where it is some."""
    if value.lstrip()[:1] in ("{", "[") and '"' in value:
        return found.json_reader(value, found, place)
    return found.scrub(value, place)
