"""A log-linear histogram of durations in ns: bounded memory, relative error below 1.6 %, mergeable."""

from __future__ import annotations

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
        self._buckets: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Count one value; a negative one counts as 0."""
        if value < 64:
            bucket = value if value > 0 else 0
        else:
            shift = value.bit_length() - _SUB_BITS - 1
            bucket = (shift << (_SUB_BITS + 1)) + (value >> shift)
        buckets = self._buckets
        buckets[bucket] = buckets.get(bucket, 0) + 1
        self.count += 1
        if value > self.max:
            self.max = value

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
        for bucket, count in other._buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
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
                histogram._buckets[int(bucket)] = count
                histogram.count += count
        return histogram
