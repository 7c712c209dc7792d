"""A log-linear histogram of durations in ns: bounded memory, relative error below 1.6 %, mergeable."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["RELATIVE_ERROR", "Histogram"]

_SUB_BITS = 5
_UPPER = 1 if sys.byteorder == "little" else 0
_PENDING_MAX: Final = 4096
RELATIVE_ERROR = 1 / (1 << (_SUB_BITS + 1)) + 2**-23
"""A reported quantile differs from the exact one by at most this share of it: half a bucket, and what a 32-bit float
rounds, which can lift a value just below a bucket into it."""


class Histogram:
    """Counts of non-negative integers below 2**64; values below 64 are exact, the largest is kept exactly.

    Adding is an append; now and then what was added is counted all at once.
    """

    __slots__ = ("_buckets", "_count", "_max", "_pending")

    def __init__(self) -> None:
        self._count = 0
        self._max = 0
        self._buckets: dict[int, int] = {}
        self._pending: list[int] = []

    def add(self, value: int) -> None:
        """Count one value; a negative one counts as 0."""
        pending = self._pending
        pending.append(value)
        if len(pending) >= _PENDING_MAX:
            self._fold()

    def extend(self, values: Iterable[int]) -> None:
        """Count several values."""
        pending = self._pending
        pending.extend(values)
        if len(pending) >= _PENDING_MAX:
            self._fold()

    def _fold(self) -> None:
        pending, self._pending = self._pending, []
        if not pending:
            return
        if min(pending) < 0:
            pending = [max(value, 0) for value in pending]
        self._count += len(pending)
        self._max = max(self._max, max(pending))
        # The upper half of a 32-bit float is its exponent and seven bits after the leading one: more than a bucket
        # needs, and counted without looking at the values one by one.
        halves = memoryview(array("f", pending)).cast("B").cast("H")[_UPPER::2]
        buckets = self._buckets
        for half, times in Counter(halves.tolist()).items():
            exponent = (half >> 7) - 127
            value = (0x80 | half & 0x7F) << exponent >> 7 if exponent >= 0 else 0
            bucket = value
            if value >= 64:
                shift = exponent - _SUB_BITS
                bucket = (shift << (_SUB_BITS + 1)) + (value >> shift)
            buckets[bucket] = buckets.get(bucket, 0) + times

    @property
    def count(self) -> int:
        """How many values were counted."""
        self._fold()
        return self._count

    @property
    def max(self) -> int:
        """The largest value, 0 where there is none."""
        self._fold()
        return self._max

    def quantile(self, share: float) -> int:
        """The value below which `share` of all lie, share in [0, 1]; 0 where nothing was counted."""
        rank = share * self.count
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                shift, mantissa = bucket >> (_SUB_BITS + 1), bucket & ((1 << (_SUB_BITS + 1)) - 1)
                return min((mantissa << shift) + ((1 << shift) >> 1), self.max)
        return self.max

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        self._max = max(self.max, other.max)
        self._count += other.count
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count

    def as_dict(self) -> dict[str, int]:
        """p50, p90, p99, max in ns and the count, for a manifest."""
        return {
            "count": self.count,
            "p50_ns": self.quantile(0.5),
            "p90_ns": self.quantile(0.9),
            "p99_ns": self.quantile(0.99),
            "max_ns": self.max,
        }

    def buckets(self) -> dict[str, int]:
        """The raw counts, for another process; `from_buckets` reads them back."""
        self._fold()
        return {str(bucket): count for bucket, count in sorted(self._buckets.items())} | {"max": self._max}

    @classmethod
    def from_buckets(cls, buckets: Mapping[str, int]) -> Histogram:
        """A histogram from `buckets()`."""
        histogram = cls()
        for bucket, count in buckets.items():
            if bucket == "max":
                histogram._max = count
            else:
                histogram._buckets[int(bucket)] = count
                histogram._count += count
        return histogram
