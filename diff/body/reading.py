"""Read both sides of a comparison, and tell which of them is not what it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

__all__ = ["Side", "Unreadable", "read_both"]

Side = Literal["left", "right"]
_T = TypeVar("_T")


class Unreadable(ValueError):
    """A body is not what its kind of content should be; str() says why and where; a plainer comparison follows.

    sides: which are unreadable, in the end; () as long as nobody has said.
    """

    def __init__(self, reason: str, sides: tuple[Side, ...] = ()) -> None:
        super().__init__(reason)
        self.sides = sides


def read_both(read: Callable[[bytes, Side], _T], left: bytes, right: bytes) -> tuple[_T, _T]:
    """What `read` makes of each side. Raises Unreadable with the sides that could not be read and the first reason."""
    values: list[_T] = []
    errors: list[tuple[Side, Unreadable]] = []
    sides: tuple[tuple[Side, bytes], ...] = (("left", left), ("right", right))
    for side, body in sides:
        try:
            values.append(read(body, side))
        except Unreadable as error:
            errors.append((side, error))
    if errors:
        raise Unreadable(str(errors[0][1]), tuple(side for side, _ in errors))
    return values[0], values[1]
