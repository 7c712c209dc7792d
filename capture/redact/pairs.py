"""Redaction of plain text: `name: value` and `name=value` with the name of a secret, and what detectors know."""

from __future__ import annotations

import re

from capture.redact.detect import may_hold
from capture.redact.found import Found
from capture.redact.graphql import is_document

__all__ = ["redact_pairs", "redact_text"]

_LINE_PAIR = re.compile(
    r"(?<![\w.-])([\"']?)([A-Za-z_][\w.-]{0,63})\1((?:[ \t]is)?[ \t]{0,8}[:=][ \t]{0,8})"
    r"(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s&,;\"'<>{}]+)"
)
_FLAG = re.compile(r"(?<=--)()([A-Za-z][\w-]{1,63})([ \t]{1,8})(\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s\"'-][^\s]*)")
_STEMS_TEXT = """pass pwd secret token jwt key auth ssn cvv cvc credential session sid otp pin iban card sig csrf xsrf
code hmac account routing ticket assertion saml mnemonic seed license licence dsn connection number num tax national mfa
bearer nino csc sort anti access cookie pw magic remember"""
_STEMS = tuple(_STEMS_TEXT.split())
"""What the name of a secret has in it; a text without any of these needs no look at its names."""


def redact_text(text: str, found: Found) -> str:
    """`text` without the secrets that stand in it by name or by form."""
    text = redact_pairs(text, found)
    return found.scrub(text, "body") if may_hold(text.encode("utf-8", "surrogatepass")) else text


def redact_pairs(text: str, found: Found, place: str = "text") -> str:
    """`text` with the values of secret names replaced; places are listed as `place:NAME`."""
    found.spend(len(text) >> 3)
    lower = text.lower()
    if not found.rules.names.extended and not any(stem in lower for stem in _STEMS):
        return text
    if is_document(text):
        return _LINE_PAIR.sub(lambda match: match.group() if _is_name(match) else _pair(match, found, place), text)
    text = _LINE_PAIR.sub(lambda match: _pair(match, found, place), text)
    return _FLAG.sub(lambda match: _pair(match, found, place), text) if "--" in text else text


def _is_name(match: re.Match[str]) -> bool:
    """Whether what stands behind a colon of a GraphQL document is a variable, a type or a field, and no value."""
    return ":" in match.group(3) and (match.group(4)[0] in "$[_" or match.group(4)[0].isalpha())


def _pair(match: re.Match[str], found: Found, place: str) -> str:
    quote, name, mark, value = match.groups()
    if not found.rules.names.field(name) or name in found.rules.keep["form"]:
        return match.group()
    if found.keeps(value) or found.keeps(value.strip("\"'")):
        return match.group()
    if value.lower() in ("true", "false", "null", "none", "bearer", "basic", "digest"):
        return match.group()
    if value[0] in "\"'" and value[-1] == value[0] and len(value) > 1:
        value = value[0] + found.named(name, value[1:-1], f"{place}:{name}") + value[0]
    else:
        value = found.named(name, value, f"{place}:{name}")
    return f"{quote}{name}{quote}{mark}{value}"
