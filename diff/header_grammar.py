"""What the values of header fields say, field by field: equal for two spellings of the same, whatever makes them anew.

Grammars: RFC 9110 (lists, parameters, challenges, dates), RFC 9111 (Cache-Control), RFC 8288 (Link), RFC 9651
(structured fields, as far as Permissions-Policy, Content-Digest and their like need it), RFC 7838 (Alt-Svc), Server
Timing, CSP 3. A nonce is another one in every answer, so of a nonce only its presence counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from email.utils import parsedate_to_datetime
from typing import Final

import msgspec

__all__ = ["GRAMMARS", "meaning", "media_type", "split_outside_quotes"]

Meaning = Callable[[str], Hashable]


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


# CSP 3, section 2.3.1: the value of a nonce is base64 and is to be another one each time.
_NONCE: Final = re.compile(r"'nonce-[A-Za-z0-9+/_=-]+'", re.IGNORECASE)


def _policy(value: str) -> frozenset[Hashable]:
    """Content-Security-Policy: directives in any order, each a set of sources; a repeated directive counts once."""
    policies: set[Hashable] = set()
    for policy in value.split(","):
        directives: dict[str, frozenset[str]] = {}
        for directive in policy.split(";"):
            name, *sources = directive.split() or [""]
            if name:
                directives.setdefault(name.lower(), frozenset(_NONCE.sub("'nonce'", source) for source in sources))
        policies.add(frozenset(directives.items()))
    return frozenset(policies)


# token68 of RFC 9110, section 11.2, which stands alone after its scheme; an auth-param has something after its "=".
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
_SCHEME: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?: +|\Z)(?!=)")
_MADE_ANEW: Final = frozenset({"nonce", "opaque"})


def _challenges(value: str) -> Hashable:
    """WWW-Authenticate: each challenge by its scheme, without case, and its parameters; clients choose among them, so
    their order says nothing. Of nonce and opaque (RFC 7616) only the presence counts."""
    found: list[tuple[str, list[Hashable]]] = []
    for part in split_outside_quotes(value, ","):
        scheme = _SCHEME.match(part)
        if scheme is not None:
            found.append((scheme[1].lower(), []))
            part = part[scheme.end() :]
        if not found:
            return value.strip()
        if _TOKEN68.match(part):
            found[-1][1].append(part)
        elif part:
            name, text = _parameter(part)
            found[-1][1].append((name, "(anew)" if name in _MADE_ANEW and text else text))
    return frozenset((scheme, frozenset(parameters)) for scheme, parameters in found)


def _outside_parentheses(value: str) -> Iterator[str]:
    """The members of a structured dictionary, between commas that stand in no quotes and no inner list."""
    depth = 0
    gathered: list[str] = []
    for part in split_outside_quotes(value, ","):
        gathered.append(part)
        depth += part.count("(") - part.count(")")
        if depth <= 0:
            yield ",".join(gathered)
            gathered, depth = [], 0
    if gathered:
        yield ",".join(gathered)


def _permissions(value: str) -> Hashable:
    """Permissions-Policy: features in any order, each with a set of origins; of a repeated one the last counts."""
    features: dict[str, frozenset[str]] = {}
    for member in _outside_parentheses(value):
        name, _, allowed = member.partition("=")
        features[name.strip().lower()] = frozenset(allowed.strip().strip("()").split())
    return frozenset(features.items())


def _services(value: str) -> tuple[Hashable, ...]:
    """Alt-Svc: alternatives in the order in which they are preferred, parameters in any."""
    return tuple(_with_parameters(part) for part in split_outside_quotes(value, ","))


def _documents(value: str) -> Hashable:
    """A list of JSON objects (Report-To, NEL), by value."""
    try:
        return msgspec.json.encode(msgspec.json.decode(f"[{value}]"), order="sorted")
    except (msgspec.DecodeError, RecursionError):
        return value.strip()


def _date(value: str) -> Hashable:
    """A date in any form of RFC 9110, section 5.6.7; what is none is compared as it is."""
    try:
        return "date", parsedate_to_datetime(value.strip()).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return _number(value)


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
    "alt-svc": _services,
    "cache-control": _directives,
    "cdn-cache-control": _directives,
    "clear-site-data": _members,
    "content-digest": _directives,
    "content-disposition": _with_parameters,
    "content-encoding": _ordered_names,
    "content-language": _ordered_names,
    "content-length": _number,
    "content-security-policy": _policy,
    "content-security-policy-report-only": _policy,
    "content-type": _media_type_apart_from_boundary,
    "critical-ch": _names,
    "expires": _date,
    "feature-policy": _policy,
    "last-modified": _date,
    "link": _links,
    "nel": _documents,
    "permissions-policy": _permissions,
    "permissions-policy-report-only": _permissions,
    "pragma": _names,
    "preference-applied": _names,
    "proxy-authenticate": _challenges,
    "report-to": _documents,
    "reporting-endpoints": _directives,
    "repr-digest": _directives,
    "retry-after": _date,
    "server-timing": _metrics,
    "strict-transport-security": _semicolon_directives,
    "sunset": _date,
    "surrogate-control": _directives,
    "timing-allow-origin": _members,
    "vary": _names,
    "www-authenticate": _challenges,
}
"""Lower-case field name to what its value means."""
