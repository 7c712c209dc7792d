"""What ends a process that performs in others: SIGINT and SIGTERM, handled while they run and then as before."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator

__all__ = ["handled"]


@contextlib.contextmanager
def handled(end: Callable[[list[int]], None]) -> Iterator[list[int]]:
    """While it is open, each of the two signals calls `end` with those that have come, in their order; yields them.

    Nothing is handled outside the main thread: whoever called us does it there.
    """
    got: list[int] = []

    def come(number: int, _frame: object) -> None:
        got.append(number)
        end(got)

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, come)
    except ValueError:
        pass  # not the main thread
    try:
        yield got
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
