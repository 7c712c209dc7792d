"""GraphQL: which variables are given to secret arguments, and what in a document is no value (October 2021)."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["is_document", "secret_variables"]

_DOCUMENT = re.compile(r"\s*(?:(?:query|mutation|subscription)\b(?:\s+\w+)?\s*[({@]|fragment\s+\w+\s+on\s)")
_GIVEN = re.compile(r"([A-Za-z_]\w{0,63})\s{0,8}:\s{0,8}\$([A-Za-z_]\w{0,63})")


def is_document(text: str) -> bool:
    """Whether the text begins as an operation or a fragment and ends as one, with all brackets closed.

    In a document only what is quoted, and numbers, are values; types (`String!`), variables and aliases have names of
    secrets before their colon as well, and without them no server could read it.
    """
    if _DOCUMENT.match(text) is None or not text.rstrip().endswith("}"):
        return False
    return text.count("{") == text.count("}") and text.count("(") == text.count(")")


def secret_variables(text: str, is_secret: Callable[[str], bool]) -> frozenset[str]:
    """The variables that are given to arguments with the name of a secret: `p` of `login(password: $p)`.

    text: anything that may hold a document, such as the JSON around it, before or behind which the variables stand.
    """
    if ": $" not in text and ":$" not in text:
        return frozenset()
    return frozenset(variable for name, variable in _GIVEN.findall(text) if is_secret(name))
