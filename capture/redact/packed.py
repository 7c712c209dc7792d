"""Redaction of MessagePack and CBOR in place: what has the name of a secret is replaced, all else searched by form."""

from __future__ import annotations

from capture.packed.items import Format, Item, Kind, find_items, write_item
from capture.redact.found import Found
from capture.redact.json_text import redact_json
from capture.redact.rules import json_place

__all__ = ["redact_packed"]

_SEARCHED_MIN = 8
_SCHEMES = ("bearer", "basic", "digest")


def redact_packed(body: bytes, form: Format, found: Found) -> bytes:
    """`body` with its secret values replaced by pseudonyms, heads saying the new lengths; places as those of JSON.

    Keys of maps, long byte strings and what is not of the format are searched by form. Not for strict mode, which keeps
    no such body.
    """
    made: list[bytes] = []
    at = 0
    for item in find_items(body, form):
        made.append(_searched(body[at : item.start], found))
        new = _value(item, found)
        made.append(body[item.start : item.end] if new == item.value else write_item(body, item, form, new))
        at = item.end
    made.append(_searched(body[at:], found))
    return b"".join(made)


def _searched(data: bytes, found: Found) -> bytes:
    if len(data) < _SEARCHED_MIN:
        return data
    text = data.decode("utf-8", "surrogateescape")
    made = found.scrub(text, "body")
    return data if made == text else made.encode("utf-8", "surrogateescape")


def _value(item: Item, found: Found) -> str:
    found.spend(1)
    rules = found.rules
    if rules.json_keep and rules.keeps_json(item.path):
        found.keep(item.value)
        return item.value
    place = f"json:{json_place(item.path)}"
    secret = _is_named(item, found) or (bool(rules.json_secret) and rules.hides_json(item.path))
    if item.kind is Kind.INTEGER:
        counts = str(item.path[-1]).lower().endswith("tokens") if item.path else False
        return found.number(item.value, place) if secret and not counts else item.value
    if not secret:
        if item.is_hex or len(item.value) < _SEARCHED_MIN:
            return item.value
        if item.value[0] in "{[" and '"' in item.value:
            return redact_json(item.value, found, nested=1)
        return found.scrub(item.value, place)
    if item.value.partition(" ")[0].lower() in _SCHEMES:
        return found.credentials(item.value, place)
    return found.named(str(item.path[-1]) if item.path else "", item.value, place)


def _is_named(item: Item, found: Found) -> bool:
    """True where the value, or what it stands in, has the name of a secret."""
    outer = ""
    for step in item.path:
        if isinstance(step, str):
            if found.rules.names.field(step, outer):
                return True
            outer = step
    return False
