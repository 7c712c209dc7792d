"""Captured content made harmless for every place where it is shown: what is acted on, what is not seen, and length."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

__all__ = ["shown", "shown_pair", "visible", "visible_path"]

_MARKS_MAX = 3
_COMPARED_CHARS_MAX = 1 << 16
_BEFORE_CHARS = 12
# Letters and marks that leave nothing, or a blank, on the page: fillers, variation selectors beyond those of emoji.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0d\uffa0\U000e0100-\U000e01ef]"
)
_FOREIGN = re.compile(r"[^\x00-\x7f]")
_NAMESPACE = re.compile(r"\{[^{}]*\}")


def visible(text: str, chars_max: int = 200) -> str:
    """`text` on one line without anything a terminal or a page would act on.

    Control characters, escape sequences, line ends, direction overrides, unassigned and private characters, letters
    that cannot be seen and lone surrogates are written as \\xNN or \\uNNNN, and so are marks that would stand on what
    is not theirs: those without a letter before them, and piles of more than three. Longer text is cut, and the cut
    is marked.
    """
    cut = text[:chars_max]
    safe = _without_piles(cut) if not cut.isascii() else cut
    safe = "".join(character if _harmless(character) else _escaped(character) for character in safe)
    return safe + "…" if len(text) > chars_max else safe


def _without_piles(text: str) -> str:
    pieces = []
    marks = _MARKS_MAX
    for character in text:
        if unicodedata.category(character)[0] == "M":
            marks += 1
            pieces.append(character if marks <= _MARKS_MAX else _escaped(character))
        else:
            marks = 0 if character.isalnum() or not character.isascii() else _MARKS_MAX
            pieces.append(character)
    return "".join(pieces)


def visible_path(path: str, chars_max: int = 80) -> str:
    """A path like `visible`, but a long one loses XML namespaces first and then its beginning: its end says most."""
    if len(path) > chars_max:
        path = _NAMESPACE.sub("{…}", path)
    return visible(path, chars_max) if len(path) <= chars_max else "…" + visible(path[-chars_max:], chars_max)


def shown(value: Any, chars_max: int = 80) -> str:
    """A value of an example on one line: text in quotes, everything else as JSON; None is null."""
    return visible(_spelt(value), chars_max)


def shown_pair(left: Any, right: Any, chars_max: int = 80) -> tuple[str, str]:
    """Both values of an example like `shown`, so that it can be seen what differs.

    Where the first difference lies beyond the cut, both begin shortly before it; where both look the same (a letter
    composed or with its mark apart, wide and narrow forms), what is not ASCII is written as \\uNNNN.
    """
    texts = [_spelt(left), _spelt(right)]
    if texts[0] == texts[1]:
        return shown(left, chars_max), shown(right, chars_max)
    heads = [text[:_COMPARED_CHARS_MAX] for text in texts]
    if len(set(heads)) == 2 and len({unicodedata.normalize("NFKC", head) for head in heads}) == 1:
        texts = [_FOREIGN.sub(lambda found: _escaped(found[0]), head) for head in heads]
    parted = (at for at, (mine, other) in enumerate(zip(*texts, strict=False)) if mine != other)
    start = max(0, next(parted, min(map(len, texts))) - _BEFORE_CHARS)
    if not start or start + 2 * _BEFORE_CHARS <= chars_max or max(map(len, texts)) <= chars_max:
        return visible(texts[0], chars_max), visible(texts[1], chars_max)
    return "…" + visible(texts[0][start:], chars_max - 1), "…" + visible(texts[1][start:], chars_max - 1)


def _spelt(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        return "(cannot be shown)"


def _harmless(character: str) -> bool:
    return character.isprintable() and unicodedata.category(character)[0] != "C" and not _UNSEEN.match(character)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
