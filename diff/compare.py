"""Compare two outcomes, or two bodies, and say exactly what is not the same: pure, bounded, with every limit stated."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import msgspec

from diff.difference import Difference
from replay.outcome import Outcome

__all__ = ["CompareOptions", "Comparison", "compare_bodies", "compare_outcomes"]


@dataclasses.dataclass(frozen=True, slots=True)
class CompareOptions:
    """How two outcomes are compared.

    strict_numbers: 1 and 1.0 differ. body_bytes_max: a longer decoded body is compared as bytes, and the comparison
    says so; decoding stops there as well. differences_max: more are not listed, and the comparison says so.
    align_max: lists longer than this are aligned only by key, or else compared by position with a "length".
    depth_max: JSON below this depth is compared as text. list_keys: general path of a list ("$['items']") to the field
    that names its elements, where that was learned. unordered: general paths of lists that are sets: order is not
    compared there.
    """

    strict_numbers: bool = False
    body_bytes_max: int = 16 << 20
    differences_max: int = 10_000
    align_max: int = 20_000
    depth_max: int = 200
    list_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unordered: frozenset[str] = frozenset()


class Comparison(msgspec.Struct, frozen=True, gc=False):
    """What a comparison found.

    differences: in a stable order: outcome, status, headers, cookies, trailers, body.
    notes: short facts a reader should know ("both refused", "body is not valid JSON, compared as text").
    limits: bounds that bit, so that what was compared is not everything; with limits and no differences the result is
    inconclusive, never equal.
    not_comparable: why the two cannot be compared at all, else None; then differences is empty.
    """

    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    not_comparable: str | None = None

    @property
    def verdict(self) -> Literal["equal", "different", "inconclusive"]:
        """ "different" where there is any difference, "inconclusive" where there is none but not all was compared."""
        if self.differences:
            return "different"
        return "inconclusive" if self.limits or self.not_comparable is not None else "equal"


def compare_outcomes(current: Outcome, candidate: Outcome, options: CompareOptions = CompareOptions()) -> Comparison:
    """What the candidate did otherwise than the current build, on one request."""
    raise NotImplementedError


def compare_bodies(
    left: bytes,
    right: bytes,
    left_type: str | None = None,
    right_type: str | None = None,
    options: CompareOptions = CompareOptions(),
) -> Comparison:
    """What differs between two bodies; the types are Content-Type values, None where there is none."""
    raise NotImplementedError
