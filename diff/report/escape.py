"""Captured content made harmless for every place where it is shown: control characters, direction marks, length."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

__all__ = ["shown", "visible", "visible_path"]

_NAMESPACE = re.compile(r"\{[^{}]*\}")


def visible(text: str, chars_max: int = 200) -> str:
    """`text` on one line without anything a terminal or a page would act on.

    Control characters, escape sequences, line ends, direction overrides, unassigned and private characters and lone
    surrogates are written as \\xNN or \\uNNNN; longer text is cut, and the cut is marked.
    """
    cut = text[: chars_max + 1]
    safe = "".join(character if _harmless(character) else _escaped(character) for character in cut[:chars_max])
    return safe + "…" if len(text) > chars_max else safe


def visible_path(path: str, chars_max: int = 80) -> str:
    """A path like `visible`, but a long one loses XML namespaces first and then its beginning: its end says most."""
    if len(path) > chars_max:
        path = _NAMESPACE.sub("{…}", path)
    return visible(path, chars_max) if len(path) <= chars_max else "…" + visible(path[-chars_max:], chars_max)


def shown(value: Any, chars_max: int = 80) -> str:
    """A value of an example on one line: text in quotes, everything else as JSON; None is null."""
    if isinstance(value, str):
        return visible(json.dumps(value, ensure_ascii=False), chars_max)
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = "(cannot be shown)"
    return visible(text, chars_max)


def _harmless(character: str) -> bool:
    return character.isprintable() and unicodedata.category(character)[0] != "C"


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
