"""The typed configuration of the diff room; the sections of `understudy.toml` that it knows."""

from __future__ import annotations

import dataclasses
import math

__all__ = ["SECTIONS", "DiffConfig"]


@dataclasses.dataclass(frozen=True, slots=True)
class DiffConfig:
    """[diff]: how a run is judged.

    fdr: the false discovery rate over everything tested. slower_share and slower_ms: a route is slower only where it is
    so by more than both, the share of its time and the milliseconds. timing_confidence: of the intervals of timings,
    shared between all that are tested. timing: False leaves timing out of the verdict. seed: of the bootstrap.
    routes: templates that are tried before the learned ones, e.g. "/users/{name}". openapi: a file with the OpenAPI
    description of the service, beside the configuration, whose paths are tried between the two. examples_max: examples
    kept for a finding. paths_max: places kept apart for one candidate; what differs beyond them is counted together.
    strict_numbers, body_bytes_max, differences_max: as for comparison: 1 and 1.0 differ; a longer body is compared as
    bytes; differences listed for one pair.
    rules: a file beside the configuration with more [[ignore]], [[tolerate]] and [[expect]] tables.
    workers: processes that judge a large run together, 0 for one on each core; the report does not depend on it.
    pairs_min: a run of which fewer pairs could be compared is inconclusive.
    unreplayable_max: a replay that could not send a larger share of what it was to send is inconclusive; 1.0 never is.
    refused_max: a replay is inconclusive in which the current build answered a larger share of what production had
    answered without an error with one; 1.0 never is.
    unseen_max: a replay that leaves a larger chance of unseen behaviour than this is inconclusive; 1.0 never is.
    """

    fdr: float = 0.01
    slower_share: float = 0.05
    slower_ms: float = 1.0
    timing_confidence: float = 0.99
    timing: bool = True
    seed: int = 1
    routes: tuple[str, ...] = ()
    openapi: str | None = None
    examples_max: int = 5
    paths_max: int = 5000
    strict_numbers: bool = False
    body_bytes_max: int = 16 << 20
    differences_max: int = 10_000
    rules: str | None = None
    pairs_min: int = 1
    unreplayable_max: float = 0.1
    refused_max: float = 0.5
    unseen_max: float = 1.0
    workers: int = 0

    def __post_init__(self) -> None:
        for name in ("fdr", "timing_confidence"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must be between 0 and 1, found {getattr(self, name)}")
        for name in ("slower_share", "slower_ms"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        for name in ("examples_max", "paths_max", "pairs_min", "body_bytes_max", "differences_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if self.workers < 0:
            raise ValueError(f"workers must be a number of processes, or 0 for one on each core, found {self.workers}")
        for name in ("unreplayable_max", "refused_max", "unseen_max"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, found {getattr(self, name)}")


SECTIONS: dict[str, type | None] = {"diff": DiffConfig, "ignore": None, "tolerate": None, "expect": None}
