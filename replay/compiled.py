"""Whether the engine runs compiled (hatch_build.py) or from its sources; what it does is the same."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

__all__ = ["is_compiled"]


def is_compiled() -> bool:
    """True where the modules of the engine are those that mypyc made; they are not imported for it."""
    spec = find_spec("replay.perform")
    return spec is not None and spec.origin is not None and spec.origin.endswith(tuple(EXTENSION_SUFFIXES))
