"""Random JSON values, and one change made to them at a place that is known exactly."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(10**25), 10**25),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=6),
)
KEYS = st.one_of(st.sampled_from(["id", "name", "items", "a", "b", "it's", "x.y"]), st.text(max_size=4))


def json_values(max_leaves: int = 25) -> st.SearchStrategy[Any]:
    """Any JSON value; strings without lone surrogates."""
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=5)),
        max_leaves=max_leaves,
    )


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of every part of a value, the value itself first."""
    found = [path]
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, part in steps:
        found += places(part, (*path, step))
    return found


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    """The part of a value at a path."""
    for step in path:
        value = value[step]
    return value


def replaced(value: Any, path: tuple[str | int, ...], part: Any) -> Any:
    """A copy of a value with another part at a path."""
    if not path:
        return part
    changed = copy.deepcopy(value)
    at(changed, path[:-1])[path[-1]] = part
    return changed
