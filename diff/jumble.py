"""Whether a short path segment is made of chance, as 7ty4JiXI is, or of words and numbers, as ipv4Addresses is.

By its runs: of digits, of small letters with at most one capital before them, of capitals. Words are long runs; in what
chance makes hardly two characters in a row are of one kind. Pure.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

__all__ = ["is_jumbled", "is_like_ids", "is_mixed", "stem_of"]

_CHARS_MIN, _CHARS_MAX = 5, 24
_RUNS_MIN = 3
_SURE_CHARS_MIN = 7
_SURE_RUNS_MIN = 5
_SURE_CHARS_A_RUN = 1.75
_CHARS_A_RUN = 2.5
_VERSION = re.compile(r"[vV][0-9]")
_WORD_AND_NUMBER = re.compile(r"[A-Za-z]+(?:[_-]?[vV])?[0-9]{1,2}\Z")
_UNSPOKEN = re.compile(r"[bcdfghjklmnpqrstvwxz]{4}", re.IGNORECASE)
_ALPHABET = re.compile(r"[A-Za-z0-9_-]+={0,2}\Z")
_RUN = re.compile(r"[0-9]+|[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_DIGITS = re.compile(r"[0-9]+")


def is_mixed(segment: str) -> bool:
    """True for letters and digits that change at least twice, and often: three of one length are hardly words."""
    text = _text(segment)
    runs = _runs(text)
    return _CHARS_MIN <= len(text) <= _CHARS_MAX and len(runs) >= _RUNS_MIN and len(text) <= _CHARS_A_RUN * len(runs)


def is_jumbled(segment: str) -> bool:
    """True for what is no word even if it stands alone: seven characters or more in five runs or more, all short.

    Of some 1.6 million names of packages about one in 10,000 is taken for one, of random ones of eight characters a
    third to a half.
    """
    text = _text(segment)
    runs = _runs(text)
    return (
        _SURE_CHARS_MIN <= len(text) <= _CHARS_MAX
        and text.isalnum()
        and not _VERSION.match(text)
        and len(runs) >= _SURE_RUNS_MIN
        and len(text) <= _SURE_CHARS_A_RUN * len(runs)
        and (sum(run.isdigit() for run in runs) > 1 or not (text.islower() or text.isupper()))
    )


def is_like_ids(segment: str) -> bool:
    """True for what may be one more id, beside ids of that length: some have no digit, or but one run of them.

    Not a word with a number behind it, nor letters that could be spoken and written as words are.
    """
    text = _text(segment)
    if not _ALPHABET.match(text) or _VERSION.match(text):
        return False
    if any(map(str.isdigit, text)):
        return any(map(str.isalpha, text)) and not _WORD_AND_NUMBER.match(text)
    runs = _RUN.findall(text)
    return bool(_UNSPOKEN.search(text)) or (len(runs) >= _RUNS_MIN and len(text) <= _CHARS_A_RUN * len(runs))


def stem_of(segment: str) -> str:
    """The same for segments that differ in their numbers alone, as ipv4addr and ipv6addr do."""
    return _DIGITS.sub("0", _text(segment)).lower()


def _text(segment: str) -> str:
    return (unquote(segment) if "%" in segment else segment).rstrip("=")


def _runs(text: str) -> list[str]:
    """Empty where it is not of letters and digits both."""
    if not _ALPHABET.match(text) or not (any(map(str.isdigit, text)) and any(map(str.isalpha, text))):
        return []
    return _RUN.findall(text)
