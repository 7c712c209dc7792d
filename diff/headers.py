"""Compare two lists of header fields: names without case, values by their grammar where it is known.

Grammars: RFC 9110 (lists, parameters, challenges), RFC 9111 (Cache-Control), RFC 8288 (Link), Server Timing, CSP 3.
Where a grammar is not known the field lines are compared as the one comma-separated value they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Final

from capture.exchange import Headers
from diff.collector import Collector
from diff.volatile import FRAMING_HEADERS, is_volatile

__all__ = ["GRAMMARS", "compare_headers", "meaning", "media_type", "split_outside_quotes"]

Meaning = Callable[[str], Hashable]


def compare_headers(left: Headers, right: Headers, collector: Collector, *, lengths: bool = False) -> None:
    """Add the differences of two sets of fields to the collector, whose place is "header" or "trailer".

    Set-Cookie is left to `diff.cookies`, framing and connection fields are left out; Content-Length is compared only
    with `lengths`. Volatile fields are compared for presence and for being empty. One difference a name at most.
    """
    if left == right or _alike(left, right):
        return
    left_values, right_values = _by_name(left, lengths), _by_name(right, lengths)
    for name, lines in left_values.items():
        others = right_values.get(name)
        if others is None:
            collector.add((name,), "missing", ", ".join(lines))
        elif lines != others:
            _compare_lines(name, lines, others, collector)
    for name, others in right_values.items():
        if name not in left_values:
            collector.add((name,), "extra", right=", ".join(others))


def _alike(left: Headers, right: Headers) -> bool:
    """True where both have the same fields line by line, but for the values of volatile ones that both have."""
    if len(left) != len(right):
        return False
    for left_line, right_line in zip(left, right, strict=True):
        if left_line == right_line:
            continue
        name = left_line[0]
        if name != right_line[0] or not _is_ignorable(name) or not left_line[1] or not right_line[1]:
            return False
    return True


@lru_cache(maxsize=1024)
def _is_ignorable(name: str) -> bool:
    lowered = name.lower()
    return is_volatile(lowered) and lowered not in GRAMMARS


def _by_name(headers: Headers, lengths: bool) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered == "set-cookie" or (lowered in FRAMING_HEADERS and not (lengths and lowered == "content-length")):
            continue
        values.setdefault(lowered, []).append(value)
    return values


def _compare_lines(name: str, left: list[str], right: list[str], collector: Collector) -> None:
    left_value, right_value = ", ".join(left), ", ".join(right)
    if left_value == right_value:
        return
    if bool(left_value.strip()) != bool(right_value.strip()):
        collector.add((name,), "value", left_value, right_value)
        return
    if name not in GRAMMARS and is_volatile(name):
        return
    left_meaning, right_meaning = meaning(name, left_value), meaning(name, right_value)
    if left_meaning == right_meaning:
        return
    reordered = sorted(left) == sorted(right) or (
        isinstance(left_meaning, tuple)
        and isinstance(right_meaning, tuple)
        and sorted(map(repr, left_meaning)) == sorted(map(repr, right_meaning))
    )
    collector.add((name,), "order" if reordered else "value", left_value, right_value)


def meaning(name: str, value: str) -> Hashable:
    """What a field value says, equal for two spellings of the same; the value itself where no grammar is known.

    name: lower case. A tuple where the order of the members matters, a frozenset where it does not.
    """
    grammar = GRAMMARS.get(name)
    return value.strip() if grammar is None else grammar(value)


def split_outside_quotes(value: str, separator: str) -> list[str]:
    """The parts between separators that stand in no quoted string and no <URI>; stripped, empty ones left out."""
    parts: list[str] = []
    start = at = 0
    quoted = in_uri = False
    while at < len(value):
        character = value[at]
        if quoted:
            if character == "\\":
                at += 1
            elif character == '"':
                quoted = False
        elif in_uri:
            in_uri = character != ">"
        elif character == '"':
            quoted = True
        elif character == "<":
            in_uri = True
        elif character == separator:
            parts.append(value[start:at].strip())
            start = at + 1
        at += 1
    parts.append(value[start:].strip())
    return [part for part in parts if part]


def _unquoted(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    inner = text[1:-1]
    return inner if "\\" not in inner else _unescaped(inner)


def _unescaped(inner: str) -> str:
    characters: list[str] = []
    at = 0
    while at < len(inner):
        at += inner[at] == "\\" and at + 1 < len(inner)
        characters.append(inner[at])
        at += 1
    return "".join(characters)


def _parameter(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    return name.strip().lower(), _unquoted(value.strip()) if equals else None


def _members(value: str) -> frozenset[str]:
    return frozenset(split_outside_quotes(value, ","))


def _names(value: str) -> frozenset[str]:
    return frozenset(part.lower() for part in split_outside_quotes(value, ","))


def _ordered_names(value: str) -> tuple[str, ...]:
    return tuple(part.lower() for part in split_outside_quotes(value, ","))


def _directives(value: str) -> frozenset[tuple[str, str | None]]:
    return frozenset(_parameter(part) for part in split_outside_quotes(value, ","))


def _semicolon_directives(value: str) -> frozenset[tuple[str, str | None]]:
    return frozenset(_parameter(part) for part in split_outside_quotes(value, ";"))


def _with_parameters(value: str) -> tuple[str, frozenset[tuple[str, str | None]]]:
    """One value with ;parameters; names and the value itself without case, parameter values with it."""
    first, *rest = split_outside_quotes(value, ";") or [""]
    return first.lower(), frozenset(_parameter(part) for part in rest)


def media_type(value: str) -> tuple[str, frozenset[tuple[str, str | None]]]:
    """A Content-Type value: the media type in lower case, and its parameters; a charset is without case."""
    essence, parameters = _with_parameters(value)
    folded = frozenset((name, text.lower() if name == "charset" and text else text) for name, text in parameters)
    return essence, folded


def _media_type_apart_from_boundary(value: str) -> Hashable:
    """The boundary of a multipart body is another one every time, and says nothing about its parts."""
    essence, parameters = media_type(value)
    return essence, frozenset((name, text) for name, text in parameters if name != "boundary")


def _ranges(value: str) -> frozenset[Hashable]:
    """Accept and its kin: members with parameters, in any order; a weight of 1 is the same as none."""
    members: set[Hashable] = set()
    for part in split_outside_quotes(value, ","):
        name, parameters = _with_parameters(part)
        members.add((name, frozenset((key, text) for key, text in parameters if key != "q" or _weight(text) != 1.0)))
    return frozenset(members)


def _weight(text: str | None) -> float:
    try:
        return float(text or "1")
    except ValueError:
        return -1.0


def _links(value: str) -> frozenset[Hashable]:
    links: set[Hashable] = set()
    for part in split_outside_quotes(value, ","):
        target, *parameters = split_outside_quotes(part, ";") or [""]
        pairs = (_parameter(parameter) for parameter in parameters)
        # rel is a space-separated set of types, without case (RFC 8288, section 3.3).
        links.add(
            (target, frozenset((k, frozenset(v.lower().split())) if k == "rel" and v else (k, v) for k, v in pairs))
        )
    return frozenset(links)


def _metrics(value: str) -> frozenset[str]:
    """Names of Server-Timing metrics; their durations are another number every time."""
    return frozenset(part.partition(";")[0].strip() for part in split_outside_quotes(value, ","))


def _policy(value: str) -> frozenset[Hashable]:
    """Content-Security-Policy: directives in any order, each a set of sources; a repeated directive counts once."""
    policies: set[Hashable] = set()
    for policy in value.split(","):
        directives: dict[str, frozenset[str]] = {}
        for directive in policy.split(";"):
            name, *sources = directive.split() or [""]
            if name:
                directives.setdefault(name.lower(), frozenset(sources))
        policies.add(frozenset(directives.items()))
    return frozenset(policies)


def _number(value: str) -> Hashable:
    return int(value) if value.strip().isdecimal() and value.isascii() and len(value) < 20 else value


GRAMMARS: Final[dict[str, Meaning]] = {
    "accept": _ranges,
    "accept-ch": _names,
    "accept-charset": _ranges,
    "accept-encoding": _ranges,
    "accept-language": _ranges,
    "accept-patch": _ranges,
    "accept-post": _ranges,
    "accept-ranges": _names,
    "access-control-allow-headers": _names,
    "access-control-allow-methods": _members,
    "access-control-expose-headers": _names,
    "access-control-max-age": _number,
    "allow": _members,
    "cache-control": _directives,
    "cdn-cache-control": _directives,
    "content-disposition": _with_parameters,
    "content-encoding": _ordered_names,
    "content-language": _ordered_names,
    "content-length": _number,
    "content-security-policy": _policy,
    "content-security-policy-report-only": _policy,
    "content-type": _media_type_apart_from_boundary,
    "link": _links,
    "pragma": _names,
    "server-timing": _metrics,
    "strict-transport-security": _semicolon_directives,
    "surrogate-control": _directives,
    "vary": _names,
}
"""Lower-case field name to what its value means."""
