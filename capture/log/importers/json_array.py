"""The items of one array in a JSON text of any length, one after the other, in memory for a few of them.

Pure. The standard library's decoder reads an item from what is there of the text; where that is not all of it, more is
read, twice as much each time. What it cannot read (broken, too deep, too long) is walked over by its brackets and given
as an error in the item's place, so that the others are read all the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

__all__ = ["ITEM_CHARACTERS_MAX", "BrokenText", "items_at"]

ITEM_CHARACTERS_MAX = 64 << 20
"""A longer item is not held: two bodies of the greatest length that an importer takes, as JSON, fit in."""
_PIECE_CHARACTERS = 1 << 18
_NEAR_THE_END = 16
"""An error this close to the end of what is there may be a literal or an escape of which the rest is missing."""
_BEHIND, _EXPONENT = " \t\r\n,]}", 3
_SPACE = re.compile(r"[ \t\r\n]*")
_BRACKET = re.compile(r'["{}\[\]]')
_INSIDE_TEXT = re.compile(r'"|\\.', re.DOTALL)
_decode = json.JSONDecoder(strict=False).raw_decode  # control characters in texts: some tools write them


class BrokenText(ValueError):
    """The text is not what it should be, or ends too early. at: the character where that was seen."""

    def __init__(self, why: str, at: int) -> None:
        super().__init__(why)
        self.at = at


def items_at(names: Sequence[str], read: Callable[[int], str]) -> Iterator[Any]:
    """The items of the array that is reached from the outermost object by these names.

    read: up to so many more characters of the text, "" at its end. An item that cannot be read is given as a
    ValueError. Raises BrokenText where there is no such array, or the text breaks off before the array's end.
    """
    text = _Text(read)
    for depth, name in enumerate(names):
        if not text.enter(name):
            raise BrokenText(f"there is no list at {'.'.join(names[: depth + 1])}", text.place)
    if text.next() != "[":
        raise BrokenText(f"there is no list at {'.'.join(names)}", text.place)
    text.at += 1
    if text.next() == "]":
        return
    while True:
        yield text.item()
        if text.closed_by("]"):
            return


class _Text:
    """Where the reading stands. `at` is a place in `_held`, of which the first character is the text's `_before`th."""

    __slots__ = ("_before", "_held", "_read", "at")

    def __init__(self, read: Callable[[int], str]) -> None:
        self._read, self._held, self._before, self.at = read, "", 0, 0

    @property
    def place(self) -> int:
        return self._before + self.at

    def _fill(self) -> bool:
        """Read on, as much again as is held, and let go of what was passed; False at the end of the text."""
        rest = self._held[self.at :]
        more = self._read(max(_PIECE_CHARACTERS, len(rest)))
        self._before += self.at
        self._held, self.at = rest + more, 0
        return bool(more)

    def next(self) -> str:
        """The next character that is no space, which stays there; raises BrokenText at the end of the text."""
        while True:
            space = _SPACE.match(self._held, self.at)
            self.at = space.end() if space is not None else self.at
            if self.at < len(self._held):
                return self._held[self.at]
            if not self._fill():
                raise BrokenText("it ends too early", self.place)

    def enter(self, name: str) -> bool:
        """Go to the value of that name in the object that begins here; False where it is no object or has none."""
        if self.next() != "{":
            return False
        self.at += 1
        if self.next() == "}":
            return False
        while True:
            if self.next() != '"':
                raise BrokenText("a name was expected", self.place)
            key = self.item()
            if self.next() != ":":
                raise BrokenText("a colon was expected", self.place)
            self.at += 1
            self.next()
            if key == name:
                return True
            self._skip()
            if self.closed_by("}"):
                return False

    def closed_by(self, bracket: str) -> bool:
        """True where what is being read ends here, False where a comma leads to more of it."""
        found = self.next()
        if found not in (bracket, ","):
            raise BrokenText(f"a comma or {bracket} was expected", self.place)
        self.at += 1
        return found == bracket

    def item(self) -> Any:
        """The value that begins here, or a ValueError that says why it cannot be read; behind it afterwards."""
        self.next()
        while True:
            try:
                found, end = _decode(self._held, self.at)
            except RecursionError:
                return self._unread("it is nested too deeply")
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or error.pos >= len(self._held) - _NEAR_THE_END
                if not cut:
                    return self._unread(error.msg)
            except ValueError as error:  # a number of thousands of digits
                return self._unread(str(error))
            else:
                # A number may go on behind what is there ("1" of "1e+5"); and no item ends where the text does.
                if end < len(self._held) and (self._held[end] in _BEHIND or end + _EXPONENT < len(self._held)):
                    self.at = end
                    return found
            if len(self._held) - self.at > ITEM_CHARACTERS_MAX:
                return self._unread(f"it is longer than {ITEM_CHARACTERS_MAX >> 20} Mi characters")
            if not self._fill():
                raise BrokenText("it ends too early", self.place)

    def _unread(self, why: str) -> ValueError:
        self._skip()
        return ValueError(why)

    def _skip(self) -> None:
        """Go behind the value that begins here, whatever is inside of it."""
        depth, in_text = 0, False
        if self.next() not in '"{[':
            self._skip_plain()
            return
        while True:
            found = (_INSIDE_TEXT if in_text else _BRACKET).search(self._held, self.at)
            if found is None:
                # A backslash at the end stays: what it escapes is yet to come.
                self.at = len(self._held) - (in_text and self._held.endswith("\\", self.at))
                if not self._fill():
                    raise BrokenText("it ends too early", self.place)
                continue
            self.at = found.end()
            mark = found[0]
            if in_text:
                in_text = mark != '"'
            elif mark == '"':
                in_text = True
            else:
                depth += 1 if mark in "{[" else -1
            if not in_text and depth <= 0:
                return

    def _skip_plain(self) -> None:
        """Go behind a number or a name."""
        while self.next() not in ",]}":
            self.at += 1
