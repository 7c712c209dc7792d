"""What lets a reader skip blocks: a Bloom filter of the sessions in each, and a sorted table of explicit ids.

Pure. Both work on XXH3 hashes (64 bit, seed 0) of the text in UTF-8, so that any language can read them.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator

import xxhash

__all__ = ["bloom_of", "find_ids", "hash_of", "may_contain", "pack_ids"]

_BITS_A_KEY = 10
_PROBES = 7
_ID = struct.Struct("<QI")


def hash_of(text: str) -> int:
    """The 64-bit hash that both tables use."""
    return xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass"))


def bloom_of(hashes: Iterable[int]) -> bytes:
    """A filter of distinct hashes, ten bits each and rounded up to bytes: one in a hundred false positives."""
    distinct = set(hashes)
    if not distinct:
        return b""
    size = (len(distinct) * _BITS_A_KEY + 7) // 8
    bits = bytearray(size)
    for value in distinct:
        low, high = value & 0xFFFFFFFF, value >> 32 | 1
        for place in range(low, low + _PROBES * high, high):  # as `_probes`, without a generator for each
            bit = place % (size * 8)
            bits[bit >> 3] |= 1 << (bit & 7)
    return bytes(bits)


def may_contain(bloom: bytes, key: str) -> bool:
    """False only where the key is surely not in it; an empty filter knows nothing and says True."""
    if not bloom:
        return True
    return all(bloom[bit >> 3] >> (bit & 7) & 1 for bit in _probes(hash_of(key), len(bloom) * 8))


def _probes(value: int, bits: int) -> Iterator[int]:
    # Kirsch and Mitzenmacher, "Less hashing, same performance" (2006): two halves of one hash make all probes.
    low, high = value & 0xFFFFFFFF, value >> 32 | 1
    for i in range(_PROBES):
        yield (low + i * high) % bits


def pack_ids(ids: Iterable[tuple[str, int]]) -> bytes:
    """The table of (explicit id, record number), sorted by hash: twelve bytes each."""
    return b"".join(_ID.pack(value, number) for value, number in sorted((hash_of(key), number) for key, number in ids))


def find_ids(table: bytes, key: str) -> list[int]:
    """Numbers of the records that may have this id, by binary search; the caller compares the id itself."""
    wanted = hash_of(key)
    entries = _Hashes(table)
    found = []
    for place in range(bisect_left(entries, wanted), len(entries)):
        value, number = _ID.unpack_from(table, place * _ID.size)
        if value != wanted:
            break
        found.append(number)
    return found


class _Hashes:
    """The table's hashes as a sequence, for bisect."""

    __slots__ = ("_table",)

    def __init__(self, table: bytes) -> None:
        self._table = table

    def __len__(self) -> int:
        return len(self._table) // _ID.size

    def __getitem__(self, place: int) -> int:
        value: int = _ID.unpack_from(self._table, place * _ID.size)[0]
        return value
