"""How two outcomes are compared: the bounds and the readings that a person may choose, or that were learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from diff.body.schema import Schema

__all__ = ["DEFAULT_OPTIONS", "CompareOptions"]


@dataclasses.dataclass(frozen=True, slots=True)
class CompareOptions:
    """How two outcomes, or two bodies, are compared.

    strict_numbers: 1 and 1.0 differ. body_bytes_max: a body longer than this once decoded is compared as bytes, and the
    comparison says so; decoding stops there as well. differences_max: more are not listed, and the comparison says so.
    align_work_max: partial alignments tried for one list whose elements have no names; where it would take more the
    list is compared by position, with a "length". depth_max: JSON below this depth is compared as text.
    list_keys: general path of a list ("$['items']") to the field that names its elements, where that was learned.
    unordered: general paths of lists that are sets: order is not compared there.
    schema: message types of a protobuf descriptor set; message_type: the full name of the type of protobuf bodies whose
    Content-Type does not say it. Without them protobuf is compared by field numbers.
    """

    strict_numbers: bool = False
    body_bytes_max: int = 8 << 20
    differences_max: int = 10_000
    align_work_max: int = 400_000
    depth_max: int = 200
    list_keys: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unordered: frozenset[str] = frozenset()
    schema: Schema | None = None
    message_type: str | None = None


DEFAULT_OPTIONS = CompareOptions()
