"""Whether a value by itself says where it came from: a token does, a word or a short number does not."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

__all__ = ["is_strong"]

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?\Z|\w{3}, \d{2} \w{3} \d{4}")
# In one way only, or it would take a time that doubles with each letter of a value that is none in the end.
_WORDY = re.compile(r"[A-Za-z]+(?:[ _./:+-][A-Za-z]+)*\Z")


@lru_cache(maxsize=8192)
def is_strong(value: str) -> bool:
    """True for a value that two places do not share by accident: a token, a UUID, a long number.

    Words, dates, short numbers and money are weak: they are bound only between places of the same name.
    """
    length = len(value)
    if length < 8 or " " in value or _DATE.match(value):
        return False
    if value.isdigit():
        # Ten digits that begin with 1 or thirteen of them are most likely a time.
        return length >= 9 and not (length in (10, 13) and value[0] == "1")
    distinct = len(set(value))
    if _WORDY.match(value) and not (distinct >= 10 and value.isalpha() and (length >= 20 or _is_jumbled(value))):
        return False
    return distinct >= 5 and any(c.isalnum() for c in value) and not re.fullmatch(r"[\d.,:eE+-]+", value)


def _is_jumbled(letters: str) -> bool:
    """True where upper and lower case change more often than in words that were written together (camelCase)."""
    changes = sum(left.islower() != right.islower() for left, right in pairwise(letters))
    return len(letters) >= 12 and changes * 3 >= len(letters)
