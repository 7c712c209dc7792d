"""Redaction of what stands outside the body: header fields, cookies, and the request target."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, quote_plus, unquote

from capture.exchange import Headers
from capture.redact.detect import has_path_token, may_hold
from capture.redact.found import Found
from capture.redact.json_text import redact_json
from capture.redact.names import LOCATION_HEADERS, PLAIN_HEADERS, STRICT_HEADERS

__all__ = [
    "HARMLESS_VALUE",
    "is_coded",
    "is_ordinary",
    "redact_form",
    "redact_header",
    "redact_headers",
    "redact_target",
]

_OPEN_COOKIE = re.compile(
    r"[0-9]{1,2}|true|false|yes|no|on|off|null|none|all|dark|light|auto|accepted|denied|granted|asc|desc|grid|list|"
    r"[a-z]{2}(?:[-_][A-Za-z]{2})?|[A-Z]{2,3}"
)
_OPEN_LENGTH_MAX = 8
HARMLESS_VALUE = re.compile(
    r"[^@%=]{0,8}|(?:[0-9]{0,12}[a-f])*+[0-9]{0,12}"
    r"|[0-9a-f]{8}-(?!\d{4}-\d{4}-)[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\d{1,3}(?:\.\d{1,3}){3}",
    re.ASCII,
)
"""A header value in which nothing can be a secret, unless its name says that it is one: short, hexadecimal digits
without room for the number of a card, a UUID, an address."""
_LONG_PROTOCOL = re.compile(r"(?=[^\s,]*\d)(?=[^\s,]*[A-Za-z])[^\s,]{12,}")
_LINK_TARGET = re.compile(r"(?<=<)[^<>]*\?[^<>]*(?=>)")
"""Of a Link header, which may have several (RFC 8288 section 3)."""
_CODED = re.compile(r"[%+{]")
_SHORT_PARTS = re.compile(
    r"(?:/[\w.-]{0,12})*(?:\?[\w.-]{0,12}(?:=[\w.-]{0,12})?(?:&[\w.-]{0,12}(?:=[\w.-]{0,12})?)*)?", re.ASCII
)
"""A target of parts so short that no detector finds anything in them: a card has 13 digits, a key a word of 15."""
_PATH_WORD = re.compile(r"[A-Za-z][A-Za-z_.~-]{0,31}|v\d{1,3}|\d{1,3}|")
_PATH_PARAMETER = re.compile(r"(?<=;)([\w.-]{1,64})=([^;/]*)")


def redact_headers(headers: Headers, found: Found) -> Headers:
    """The fields with secret values replaced; names, order and repetition stay."""
    return tuple([(name, redact_header(name, value, found)) for name, value in headers])


def is_ordinary(lower: str, found: Found) -> bool:
    """True for a header, in lower case, that is nothing special to `redact_header`: a harmless value passes."""
    rules = found.rules
    if lower in ("cookie", "set-cookie", "sec-websocket-protocol") or lower in rules.keep["header"]:
        return False
    return not rules.names.header(lower) and (not rules.strict or lower in STRICT_HEADERS)


def redact_header(name: str, value: str, found: Found) -> str:
    """The value of one header field without its secrets."""
    lower = name.lower()
    rules = found.rules
    if not value or (lower in rules.keep["header"]):
        if value:
            found.keep(value)
            found.keep(value.partition(" ")[2])
        return value
    if lower == "cookie":
        return _cookies(value, found)
    if lower == "set-cookie":
        return _set_cookie(value, found)
    place = f"header:{lower}"
    if lower == "sec-websocket-protocol":
        return _LONG_PROTOCOL.sub(lambda match: found.replace(match.group(), place), value)
    if rules.names.header(lower):
        return found.credentials(value, place)
    if rules.strict and lower not in STRICT_HEADERS:
        return found.replace(value, place)
    if lower in PLAIN_HEADERS:
        return value
    if lower == "link":
        value = _LINK_TARGET.sub(lambda match: _address(match.group(), place, found), value)
    elif lower in LOCATION_HEADERS and "?" in value:
        value = _address(value, place, found)
    if value[0] in "{[" and '"' in value:
        return redact_json(value, found, place)
    if HARMLESS_VALUE.fullmatch(value) is None and _may_hold(value):
        return found.scrub(value, place)
    return value


def _address(address: str, place: str, found: Found) -> str:
    """An address whose query fields count by name; the rest of it as it is."""
    before, mark, query = address.partition("?")
    query, sign, fragment = query.partition("#")
    return before + mark + redact_form(query, found, "query", place) + sign + fragment


def _may_hold(value: str) -> bool:
    """False where no detector can find anything in a header's value, which may have parameters in quotes."""
    return '="' in value or may_hold(value.encode("utf-8", "surrogatepass")) or has_path_token(value)


def _cookies(value: str, found: Found) -> str:
    """Cookie: every value is a secret but those that cannot hold one (RFC 6265 section 4.2)."""
    parts = []
    for pair in value.split(";"):
        name, equals, text = pair.partition("=")
        if equals:
            parts.append(_cookie_name(name, found) + equals + _cookie(name.strip(), text, found))
        else:
            parts.append(_cookie("", pair, found))  # a cookie without a name (RFC 6265bis section 5.6)
    return ";".join(parts)


def _set_cookie(value: str, found: Found) -> str:
    """Set-Cookie: the value, not the attributes; what a detector knows is replaced in them, too."""
    pair, semicolon, attributes = value.partition(";")
    name, equals, text = pair.partition("=")
    if not equals:
        return _cookie("", pair, found) + semicolon + attributes
    if may_hold(attributes.encode("utf-8", "surrogatepass"), pairs=False):
        attributes = found.scrub(attributes, f"cookie:{shown(name, found)}")
    return _cookie_name(name, found) + equals + _cookie(name.strip(), text, found) + semicolon + attributes


def _cookie_name(name: str, found: Found) -> str:
    return found.scrub(name, "cookie:") if len(name) > 12 else name


def _cookie(name: str, text: str, found: Found) -> str:
    rules = found.rules
    plain = text.strip()
    quoted = len(plain) >= 2 and plain[0] == plain[-1] == '"'
    inner = plain[1:-1] if quoted else plain
    if not inner:
        return text
    if name in rules.keep["cookie"]:
        found.keep(inner)
        return text
    short = len(inner) <= _OPEN_LENGTH_MAX and not rules.strict
    if short and not rules.names.field(name) and _OPEN_COOKIE.fullmatch(inner):
        return text
    start = text.index(inner)
    return text[:start] + found.replace(inner, f"cookie:{shown(name, found)}") + text[start + len(inner) :]


def shown(name: str, found: Found) -> str:
    """A name as it may be listed: without secrets that stand in it, and not too long."""
    name = name[:64]
    return name if _is_plain_name(name) else found.scrub(name, "name")


@lru_cache(maxsize=1024)
def _is_plain_name(name: str) -> bool:
    """False where a detector may find something in a name; most come again and again."""
    return not may_hold(name.encode("utf-8", "surrogatepass"))


def is_coded(target: str) -> bool:
    """True for a target with coded parts, or with parameters or pairs in its path."""
    return ";" in target or _CODED.search(target) is not None or "=" in target.partition("?")[0]


def redact_target(target: str, found: Found) -> str:
    """The request target (RFC 9112 section 3.2): query fields by name and form, path segments by form."""
    path, mark, query = target.partition("?")
    if not found.rules.strict and has_path_token(target):
        target = found.path_tokens(target, "path")
    if not found.rules.strict and _SHORT_PARTS.fullmatch(target) is not None:
        return path + mark + redact_form(query, found, "query", search=False) if query else target
    plain = not found.rules.strict and ";" not in path and "=" not in path and not _CODED.search(target)
    if plain and not may_hold(target.encode("utf-8", "surrogatepass"), pairs=False):
        return path + mark + redact_form(query, found, "query", search=False) if mark else target
    if ";" in path:
        path = _PATH_PARAMETER.sub(lambda match: _path_parameter(match, found), path)
    if found.rules.strict:
        path = "/".join([_path_segment(part, n, found) for n, part in enumerate(path.split("/"))])
    elif may_hold(path.encode("utf-8", "surrogatepass")):
        if "://" in path:
            path = found.scrub(path, "target")
        else:
            path = "/".join([found.scrub(part, f"path[{n}]") for n, part in enumerate(path.split("/"))])
    return path + mark + redact_form(query, found, "query") if mark else path


def _path_parameter(match: re.Match[str], found: Found) -> str:
    name, value = match.groups()
    if name in found.rules.keep["path"] or not found.rules.names.query(name):
        return match.group()
    return f"{name}={found.replace(value, f'path;{name}')}"


def _path_segment(part: str, n: int, found: Found) -> str:
    """Strict mode: words stay, identifiers do not, unless `path:N` keeps the N-th segment."""
    if str(n) in found.rules.keep["path"] or _PATH_WORD.fullmatch(part):
        return part
    return found.replace(part, f"path[{n}]")


def redact_form(text: str, found: Found, kind: str, place: str = "", search: bool = True) -> str:
    """`name=value&name=value` with secret values replaced; kind is "query" or "form". Spelling of the rest stays.

    place: how the places are listed; "" for `kind:NAME`. search: False where no detector can find anything.
    """
    rules = found.rules
    names, keep = rules.names, rules.keep[kind]
    if search:
        decoded = unquote(text.replace("+", " ")) if "%" in text or "+" in text else text
        search = "{" in decoded or may_hold(decoded.encode("utf-8", "surrogatepass"), pairs=decoded is not text)
    parts = text.split("&")
    found.spend(len(parts) + (len(text) >> 6))
    for n, pair in enumerate(parts):
        name, equals, value = pair.partition("=")
        if "%" in name or "+" in name:
            name = unquote(name.replace("+", " "))
        if not equals:
            if search:
                parts[n] = found.scrub(pair, place or f"{kind}:")
        elif name in keep:
            found.keep(value)
            found.keep(unquote(value))
        elif value and (rules.strict or names.query(name)):
            made = found.named(name, value.replace("+", "%20"), place or f"{kind}:{shown(name, found)}")
            head = pair[: len(pair) - len(value) - 1]
            head = found.scrub(head, f"{kind}:") if search else head
            parts[n] = f"{head}={made.replace('%20', '+') if '+' in value else made}"
        elif search or "=" in value:  # a pair inside a value, as `q=password=...` has one
            parts[n] = _searched(pair, value, place or f"{kind}:{shown(name, found)}", found)
    return "&".join(parts)


def _searched(pair: str, value: str, place: str, found: Found) -> str:
    """A pair whose name is harmless, with the secrets that its name and value hold replaced."""
    name = found.scrub(pair[: len(pair) - len(value) - 1], place)
    text = unquote(value.replace("+", " ")) if "%" in value or "+" in value else value
    made = redact_json(text, found, place) if text[:1] in ("{", "[") else found.scrub(text, place)
    if made == text:
        return f"{name}={value}"
    if text == value:
        return f"{name}={made}"
    return f"{name}={quote_plus(made) if '+' in value else quote(made, safe='')}"
