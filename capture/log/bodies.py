"""Which body was already stored in this segment: repeated bodies get one number and are written once."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["BODY_BYTES_MIN", "BodyCache", "BodyTable"]

BODY_BYTES_MIN = 96
"""A shorter body stays in its record: the reference would cost about as much as what it saves."""
_GENERATION_MAX = 1 << 14
_AT_HAND_MAX = 256
_AT_HAND_BYTES_MAX = 16 << 10


class BodyTable:
    """Numbers of the bodies of one segment, in the order in which they were first seen.

    Bodies are told apart by SHA-256 (captured content is hostile: a collision would read as somebody else's body). The
    16,384 looked up last are remembered, and at most twice as many; another one would be stored once more. A few that
    are not long are kept as they are, since comparing is quicker than hashing.
    """

    __slots__ = ("_at_hand", "_earlier", "_later", "count")

    def __init__(self) -> None:
        # Two generations of plain dicts take half the memory of an OrderedDict, and forget as well.
        self._earlier: dict[bytes, int] = {}
        self._later: dict[bytes, int] = {}
        self.count = 0
        self._at_hand: dict[bytes, int] = {}

    @staticmethod
    def worth(body: bytes) -> bool:
        """True where a body is long enough to be kept apart from its record."""
        return len(body) >= BODY_BYTES_MIN

    def number(self, body: bytes) -> tuple[int, bool]:
        """(the body's number, whether it is new and must be stored)."""
        at_hand = len(body) <= _AT_HAND_BYTES_MAX
        if at_hand and (found := self._at_hand.get(body)) is not None:
            return found, False
        digest = hashlib.sha256(body).digest()
        number = self._later.get(digest)
        is_new = False
        if number is None:
            number = self._earlier.get(digest)
            if number is None:
                number, is_new = self.count, True
                self.count += 1
            self._later[digest] = number
            if len(self._later) >= _GENERATION_MAX:
                self._earlier, self._later = self._later, {}
        if at_hand:
            self._keep(body, number)
        return number, is_new

    def _keep(self, body: bytes, number: int) -> None:
        if len(self._at_hand) >= _AT_HAND_MAX:
            self._at_hand.clear()
        self._at_hand[body] = number

    def forget(self, latest: Iterable[bytes]) -> None:
        """Take back the latest new bodies, which were not stored after all."""
        for body in latest:
            digest = hashlib.sha256(body).digest()
            self._later.pop(digest, None)
            self._earlier.pop(digest, None)
            self._at_hand.pop(body, None)
            self.count -= 1


class BodyCache:
    """The bodies of the blocks that were read last, over all segments of a log, within one budget of bytes.

    The block that was put last stays even where it is over the budget alone.
    """

    __slots__ = ("_blocks", "_budget_bytes", "_bytes")

    def __init__(self, budget_bytes: int = 16 << 20) -> None:
        self._blocks: OrderedDict[tuple[str, int], tuple[list[bytes], int]] = OrderedDict()
        self._budget_bytes = budget_bytes
        self._bytes = 0

    def get(self, segment: str, offset: int) -> list[bytes] | None:
        """The bodies of the block at this offset of this segment, None where they must be read."""
        found = self._blocks.get((segment, offset))
        if found is None:
            return None
        self._blocks.move_to_end((segment, offset))
        return found[0]

    def put(self, segment: str, offset: int, bodies: list[bytes]) -> None:
        """Remember the bodies of a block; the ones used least lately make room."""
        key = (segment, offset)
        if key in self._blocks:
            return
        size = sum(map(len, bodies))
        self._blocks[key] = (bodies, size)
        self._bytes += size
        while self._bytes > self._budget_bytes and len(self._blocks) > 1:
            self._bytes -= self._blocks.popitem(last=False)[1][1]
