"""Notices the reset of a connection that is not being read, which an event loop would only find out on its next write.

A side is not read while its peer takes nothing, and after its own end. A reset that comes then must still be passed on
at once, as a direct connection would. Linux only (epoll reports errors and hang-ups that were not asked for); elsewhere
such a reset is noticed with the next write.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Deathwatch"]

OnDeath: TypeAlias = Callable[[], None]


class Deathwatch:
    """An epoll of its own, watched by the loop, which asks for no event but those that always come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: dict[int, OnDeath] = {}
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        if self._epoll is not None:
            loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, fd: int, on_death: OnDeath) -> None:
        """Call `on_death` once when this connection is reset; until `forget`."""
        if self._epoll is None or fd < 0:
            return
        with contextlib.suppress(OSError, ValueError):
            try:
                self._epoll.register(fd, select.EPOLLONESHOT)
            except FileExistsError:
                self._epoll.modify(fd, select.EPOLLONESHOT)
            self._watched[fd] = on_death

    def forget(self, fd: int, on_death: OnDeath) -> None:
        """Stop watching; nothing happens where the descriptor belongs to another connection by now."""
        if self._watched.get(fd) != on_death:
            return
        del self._watched[fd]
        if self._epoll is not None:
            with contextlib.suppress(OSError, ValueError):
                self._epoll.unregister(fd)

    def close(self) -> None:
        """Watch nothing any more."""
        if self._epoll is not None:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        assert self._epoll is not None
        for fd, events in self._epoll.poll(0):
            on_death = self._watched.get(fd)
            # A hang-up without an error is the end of both directions, which has its own, orderly way.
            if on_death is not None and events & select.EPOLLERR:
                on_death()
