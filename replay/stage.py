"""One build on which a plan is performed, and the options of a performance."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping

from replay.clients.base import Client
from replay.outcome import Failure, Role

__all__ = ["Options", "Stage"]


class Stage:
    """One build on which the plan is performed. authority: for Host; None keeps the recorded one."""

    __slots__ = ("answered", "authority", "breaker", "client", "failed", "injected", "name", "role", "row")

    def __init__(
        self, name: str, role: Role, client: Client, authority: str | None, injected: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.role: Role = role
        self.client = client
        self.authority = authority
        self.injected = injected or {}
        self.answered = 0
        self.failed: Counter[str] = Counter()
        self.row = 0
        self.breaker: Failure | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a performance needs besides plan, stages and pace. run_id: first half of the marker."""

    run_id: str
    seed: int = 1
    waiting_max: int = 10_000
    held_bytes_max: int = 256 << 20
    supplies_bytes_max: int = 64 << 20
    sessions_max: int = 10_000
    pair_wait_ns: int = 1_000_000_000
    breaker_failures: int = 10
    duration_ns: int | None = None
    drain_ns: int = 60_000_000_000
