"""How a value that is new every time is written: the version of a uuid, the digits of a second, the case of a token.

Two values of one class that tell nothing by themselves still tell that they are no longer written alike.
"""

from __future__ import annotations

from typing import Any

__all__ = ["form_of"]

_HOST_CHARS_MAX = 80


def form_of(value: Any, name: str) -> str:
    """The form of a text of that class (`class_of`) in a few words; "" where the class has no forms."""
    if not isinstance(value, str):
        return ""
    kind = name.partition(":")[0].partition(".")[0]
    if kind == "uuid":
        return f"version {value[14]}{_case(value)}"
    if kind == "rfc3339":
        fraction = value.replace(",", ".").partition(".")[2]
        digits = len(fraction) - len(fraction.lstrip("0123456789"))
        return f"{digits} digits of a second, {'T' if value[10:11] in 'Tt' else 'blank'}"
    if kind == "etag":
        return f"{len(value)} characters{_case(value)}"
    if kind in ("token", "objectid"):
        return _case(value).removeprefix(", ")
    if kind == "jwt":
        return f"header {value.partition('.')[0][:_HOST_CHARS_MAX]}"
    if kind == "url":
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{rest.partition('/')[0][:_HOST_CHARS_MAX]}"
    return ""


def _case(value: str) -> str:
    return ", upper case" if value != value.lower() and value == value.upper() else ""
