"""An alarm for the next due time, to some microseconds where the system has a timer for that, else to a millisecond."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable

__all__ = ["Alarm"]

_S = 1_000_000_000
_CLOCK_MONOTONIC = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _TimerSpec(ctypes.Structure):
    """struct itimerspec of timerfd_settime(2): the interval, 0 for once, and the time until the alarm."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("s", ctypes.c_long),
        ("ns", ctypes.c_long),
    )


class Alarm:
    """Calls `ring` once, from the loop, after the time that was set last. Made inside the running loop.

    The loop's own timers count milliseconds and round up, so a request would be sent half a millisecond late for
    nothing; a timer descriptor (Linux, timerfd_create(2)) wakes the loop at the very time without spinning.
    resolution_ns: how much later it may ring for that reason alone.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._fd = -1
        self.resolution_ns = 1_000_000
        if not sys.platform.startswith("linux"):
            return
        libc = ctypes.CDLL(None, use_errno=True)
        create = getattr(libc, "timerfd_create", None)
        self._settime = getattr(libc, "timerfd_settime", None)
        if create is None or self._settime is None:
            return
        self._fd = create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        if self._fd < 0:
            return  # no descriptors left, or a sandbox that does not allow it: the loop's timers do
        self.resolution_ns = 0
        self._spec = _TimerSpec(0, 0, 0, 0)
        self._pointer = ctypes.byref(self._spec)
        self._loop.add_reader(self._fd, self._expired)

    def set(self, delay_ns: int) -> None:
        """Ring after delay_ns, above 0, and not at the time that was set before."""
        if self._fd < 0 or self._settime is None:
            if self._handle is not None:
                self._handle.cancel()
            self._handle = self._loop.call_later(-(-delay_ns // 1_000_000) / 1e3, self._ring)
            return
        spec = self._spec
        spec.s, spec.ns = divmod(delay_ns, _S)
        if self._settime(self._fd, 0, self._pointer, None):
            raise OSError(ctypes.get_errno(), "timerfd_settime")

    def _expired(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was set anew after it had expired
            os.read(self._fd, 8)
        self._ring()

    def close(self) -> None:
        """Ring no more."""
        if self._handle is not None:
            self._handle.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
