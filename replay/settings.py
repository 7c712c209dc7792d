"""The typed configuration of the replay room; the sections of `understudy.toml` that it knows."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from replay.bind_rules import BindRules

__all__ = ["SECTIONS", "ClientKind", "ReplayConfig"]

ClientKind = Literal["auto", "wire", "aiohttp", "h2"]


@dataclasses.dataclass(frozen=True, slots=True)
class ReplayConfig:
    """[replay]: how a log is performed.

    Pace: at most one of `speed` (recorded times divided by it), `rate` (requests per second, open loop) and
    `concurrency` (pairs in flight, closed loop) is given; with none of them it is a closed loop of 8. pause_max_s: with
    speed, no silence takes longer than that.

    seed: of the shuffled order of builds and of the trace ids, written into the run's manifest. limit: how many
    recorded exchanges at most, skipped ones included. loop: how often the log is performed. duration_s: nothing new is
    sent after it. warmup: share of the plan in [0, 1) at its beginning that the timing verdict leaves out. timeout_s:
    from the send to the last byte; first_byte_timeout_s: to the first. stream_s: how long a stream is listened to, from
    its first byte, where it is not known how long production's client did, and at most where the pace is not the
    recorded one. connections_max: per build over all
    processes, which is also how many requests it has in flight at most. waiting_max and held_bytes_max: planned
    requests held in memory because they wait for an earlier one or for a connection. pair_wait_ms: how long a build
    that is ready for a request waits for the builds that are not. breaker_failures: consecutive connection failures
    after which nothing more is sent to a build. allow_captured_address: 2 lets the replay send to the address that
    the log was captured from. deny_hosts: hosts that are never sent to, as names or "*.suffix". bind_exclude:
    places that are never replaced, e.g. "query:page" or "GET /search query:q". bind_rules: which place of which
    response feeds which place of which request, e.g. "POST /orders $.id -> GET /orders/* path[1]" (bind_rules.py).
    sessions_max: sessions whose values are kept for binding; supplies_bytes_max: of answers kept for it.
    """

    seed: int = 1
    speed: float | None = None
    pause_max_s: float | None = None
    rate: float | None = None
    concurrency: int | None = None
    allow_writes: bool = False
    allow_captured_address: int = 0
    limit: int | None = None
    loop: int = 1
    duration_s: float | None = None
    warmup: float = 0.0
    timeout_s: float = 30.0
    first_byte_timeout_s: float = 30.0
    connect_timeout_s: float = 5.0
    stream_s: float = 10.0
    body_bytes_max: int = 16 << 20
    connections_max: int = 256
    held_bytes_max: int = 256 << 20
    supplies_bytes_max: int = 64 << 20
    waiting_max: int = 10_000
    pair_wait_ms: int = 1000
    breaker_failures: int = 10
    keep_host: bool = False
    insecure: bool = False
    ca_file: str | None = None
    preflight: bool = True
    preflight_path: str | None = None
    deny_hosts: tuple[str, ...] = ()
    client: ClientKind = "auto"
    bind: bool = True
    bind_exclude: tuple[str, ...] = ()
    bind_rules: tuple[str, ...] = ()
    sessions_max: int = 10_000
    workers: int = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        paces = [name for name in ("speed", "rate", "concurrency") if getattr(self, name) is not None]
        if len(paces) > 1:
            raise ValueError(f"{paces[1]} does not go together with {paces[0]}; give one of speed, rate, concurrency")
        if self.pause_max_s is not None and self.speed is None:
            raise ValueError("pause_max_s shortens silences of the recorded pace; give speed with it")
        durations = ("duration_s", "pause_max_s", "timeout_s", "first_byte_timeout_s", "connect_timeout_s", "stream_s")
        for name in ("speed", "rate", *durations):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a positive number, found {value}")
        for name in ("concurrency", "limit", "loop", "connections_max", "waiting_max", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}")
        if self.concurrency is not None and self.concurrency < self.workers:
            raise ValueError(
                f"concurrency {self.concurrency} is less than the {self.workers} workers that each have at least one"
                " pair in flight; give fewer workers"
            )
        for name in ("body_bytes_max", "pair_wait_ms", "sessions_max", "supplies_bytes_max", "breaker_failures"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be a share from 0 to below 1, found {self.warmup}")
        BindRules(self.bind_rules, self.bind_exclude)
        if self.preflight_path is not None and not self.preflight_path.startswith("/"):
            raise ValueError(f"preflight_path must begin with '/', found {self.preflight_path!r}")

    @property
    def closed_loop(self) -> int | None:
        """Pairs in flight in a closed loop; None where the pace is recorded or a fixed rate."""
        if self.speed is not None or self.rate is not None:
            return None
        return self.concurrency or 8


SECTIONS: dict[str, type | None] = {"replay": ReplayConfig, "build": None}
