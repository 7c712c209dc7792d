"""Conservation of exchanges: seen = kept + sampled out + shed + incomplete + opaque, at all times.

Loss that is not explained is a bug. A count of what was seen is kept apart from the counts of what became of it, so
that `balanced` can fail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

__all__ = ["Conservation"]


class Conservation:
    """The counts of one source; add up several with `merge`.

    seen: every exchange whose request began, plus one for each connection or tunnel whose bytes are opaque.
    kept: whole exchanges handed to the log and accepted. sampled_out: left by the sampler. shed: given up by reason
    (budget, full queue, log error). incomplete: begun but not seen whole, by reason; such records are still written
    where they were sampled. opaque: connections or tunnels that are not HTTP that can be read.
    """

    __slots__ = ("incomplete", "kept", "opaque", "sampled_out", "seen", "shed")

    def __init__(self) -> None:
        self.seen = 0
        self.kept = 0
        self.sampled_out = 0
        self.opaque = 0
        self.shed: Counter[str] = Counter()
        self.incomplete: Counter[str] = Counter()

    def balanced(self) -> bool:
        """True where every exchange seen has exactly one fate."""
        return self.under_way == 0

    def merge(self, other: Conservation) -> None:
        """Add the counts of another source to these."""
        self.seen += other.seen
        self.kept += other.kept
        self.sampled_out += other.sampled_out
        self.opaque += other.opaque
        self.shed.update(other.shed)
        self.incomplete.update(other.incomplete)

    def lose(self, lost: Mapping[str, int], incomplete: Mapping[str, int] | None = None) -> None:
        """Move what was accepted and lost later, by reason, to `shed`. incomplete: what of it was no whole exchange, by
        why; the rest is taken from `kept`."""
        self.shed.update(lost)
        self.kept -= sum(lost.values())
        if incomplete:
            self.incomplete.subtract(incomplete)
            self.kept += sum(incomplete.values())

    @property
    def under_way(self) -> int:
        """How many were seen that have no fate yet."""
        fates = self.kept + self.sampled_out + self.opaque + sum(self.shed.values()) + sum(self.incomplete.values())
        return self.seen - fates

    def as_dict(self) -> dict[str, int | dict[str, int]]:
        """Plain values for JSON, MessagePack and segment footers; `from_dict` reads them back."""
        return {
            "seen": self.seen,
            "kept": self.kept,
            "sampled_out": self.sampled_out,
            "shed": dict(sorted(self.shed.items())),
            "incomplete": dict(sorted(self.incomplete.items())),
            "opaque": self.opaque,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, int | Mapping[str, int]]) -> Conservation:
        """Counts from `as_dict`; unknown keys are ignored, missing ones are zero."""
        counts = cls()
        for name in ("seen", "kept", "sampled_out", "opaque"):
            value = values.get(name, 0)
            if isinstance(value, int):
                setattr(counts, name, value)
        for name in ("shed", "incomplete"):
            reasons = values.get(name, {})
            if isinstance(reasons, Mapping):
                getattr(counts, name).update(reasons)
        return counts

    def line(self) -> str:
        """The conservation line of the contract, without a line feed."""
        shed, incomplete = sum(self.shed.values()), sum(self.incomplete.values())
        parts = [
            f"conservation seen={self.seen} kept={self.kept} sampled_out={self.sampled_out} shed={shed}"
            f" incomplete={incomplete} opaque={self.opaque}"
        ]
        parts += [f"shed:{reason}={n}" for reason, n in sorted(self.shed.items()) if n]
        parts += [f"incomplete:{reason}={n}" for reason, n in sorted(self.incomplete.items()) if n]
        return " ".join(parts)
