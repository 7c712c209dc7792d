"""A bounded, expiring memory of sessions: the least recently used goes first."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

__all__ = ["Memory"]

_V = TypeVar("_V")


class Memory(Generic[_V]):
    """Values by name, forgotten after `idle_ns` without use, at most `size` of them."""

    __slots__ = ("_idle_ns", "_kept", "_size")

    def __init__(self, size: int, idle_ns: int) -> None:
        self._size = size
        self._idle_ns = idle_ns
        self._kept: OrderedDict[str, tuple[int, _V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, now_ns: int) -> _V | None:
        """The value, which counts as used now; None where it was never put, has expired or was pushed out."""
        found = self._kept.get(name)
        if found is None:
            return None
        if now_ns - found[0] > self._idle_ns:
            del self._kept[name]
            return None
        self._kept[name] = (now_ns, found[1])
        self._kept.move_to_end(name)
        return found[1]

    def put(self, name: str, value: _V, now_ns: int) -> None:
        """Remember the value as used now."""
        self._kept[name] = (now_ns, value)
        self._kept.move_to_end(name)
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
