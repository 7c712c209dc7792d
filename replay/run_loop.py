"""The event loop of a replay: uvloop where it is there, else the standard one."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["run_on_loop"]

_T = TypeVar("_T")


def run_on_loop(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on a loop of its own; must not be called from a running loop."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    result: _T = uvloop.run(main)
    return result
