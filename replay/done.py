"""Which requests of a plan were performed already, one bit each."""

from __future__ import annotations

__all__ = ["Done"]


class Done:
    """Which requests of a plan were performed, one bit each."""

    def __init__(self) -> None:
        self._bits: dict[int, bytearray] = {}

    def add(self, iteration: int, position: int) -> None:
        """Note one; position and iteration from 0."""
        bits = self._bits.setdefault(iteration, bytearray())
        byte, bit = divmod(position, 8)
        if byte >= len(bits):
            bits.extend(bytes(byte + 1 - len(bits)))
        bits[byte] |= 1 << bit

    @property
    def any(self) -> bool:
        """True where at least one was noted."""
        return bool(self._bits)

    def __contains__(self, key: tuple[int, int]) -> bool:
        bits = self._bits.get(key[0], b"")
        byte, bit = divmod(key[1], 8)
        return byte < len(bits) and bool(bits[byte] >> bit & 1)
