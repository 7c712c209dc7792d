"""Ctrl-C while a command begins: it ends the process, as SIGTERM does, until the command can drain or clean up.

Python raises KeyboardInterrupt wherever it happens to be. While modules are imported that is a traceback, and in a
destructor or the callback of a weak reference it is lost, so that the command goes on and was never asked to end.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["ends_the_process", "raises_again", "while_importing"]


def ends_the_process() -> bool:
    """Let an interrupt end the process. True where it raised KeyboardInterrupt before, and does no longer; False where
    it is ignored or handled in another way, which stays."""
    return signal.getsignal(signal.SIGINT) is signal.default_int_handler and _set(signal.SIG_DFL)


def raises_again() -> None:
    """Let an interrupt raise KeyboardInterrupt where it would end the process."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        _set(signal.default_int_handler)


def _set(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> bool:
    try:
        signal.signal(signal.SIGINT, handler)
    except ValueError:  # not in the main thread, which alone hears signals
        return False
    return True


@contextlib.contextmanager
def while_importing() -> Iterator[None]:
    """An interrupt within ends the process; afterwards it does what it did before."""
    changed = ends_the_process()
    try:
        yield
    finally:
        if changed:
            raises_again()
