"""A log-linear histogram of durations in ns: bounded memory, relative error below 1.6 %, mergeable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

__all__ = ["RELATIVE_ERROR", "Histogram"]

_SUB_BITS = 5
RELATIVE_ERROR = 1 / (1 << (_SUB_BITS + 1))
"""A reported quantile differs from the exact one by at most this share of it."""


class Histogram:
    """Counts of non-negative integers; values below 64 are exact, the largest is kept exactly."""

    __slots__ = ("_buckets", "count", "max")

    def __init__(self) -> None:
        self.count = 0
        self.max = 0
        self._buckets: Counter[int] = Counter()

    def add(self, value: int) -> None:
        """Count one value; a negative one counts as 0."""
        value = max(value, 0)
        shift = max(value.bit_length() - _SUB_BITS - 1, 0)
        self._buckets[(shift << (_SUB_BITS + 1)) + (value >> shift)] += 1
        self.count += 1
        self.max = max(self.max, value)

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
        self._buckets.update(other._buckets)
        self.count += other.count
        self.max = max(self.max, other.max)

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
        return {str(bucket): count for bucket, count in sorted(self._buckets.items())} | {"max": self.max}

    @classmethod
    def from_buckets(cls, buckets: Mapping[str, int]) -> Histogram:
        """A histogram from `buckets()`."""
        histogram = cls()
        for bucket, count in buckets.items():
            if bucket == "max":
                histogram.max = count
            else:
                histogram._buckets[int(bucket)] += count
                histogram.count += count
        return histogram
