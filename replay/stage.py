"""One build on which a plan is performed, and the options of a performance."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

from capture.exchange import Request
from replay.clients.base import Client
from replay.hook import Hook, HookFailed, signed
from replay.outcome import Binding, Failure, Role

__all__ = ["Options", "Stage", "all_broken", "twins_of"]

_CONNECTING = ("connect", "tls")
_NEVER_SENT = ("breaker", "hook")
_OVERDUE_MAX = 3
"""A hook that did not return so often is not called any more: each time holds everything up for seconds."""


class Stage:
    """One build on which the plan is performed. authority: for Host; None keeps the recorded one.

    passwords: by user, in place of redacted ones. address: where it listens, None where that is not known. plain: True
    where it can be sent the bytes of a `Payload`. The counts: `answered`, `failed` by kind, `row` of connections that
    failed one after the other, `hook_failed` with `hook_detail` for the first of them. breaker: what every further
    request gets, once too many failed.
    """

    __slots__ = (
        "_overdue",
        "address",
        "answered",
        "authority",
        "breaker",
        "client",
        "failed",
        "hook",
        "hook_detail",
        "hook_failed",
        "injected",
        "name",
        "passwords",
        "plain",
        "role",
        "row",
    )

    def __init__(
        self,
        name: str,
        role: Role,
        client: Client,
        authority: str | None,
        injected: Mapping[str, str] | None = None,
        hook: Hook | None = None,
        address: str | None = None,
        passwords: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.role: Role = role
        self.client = client
        self.authority = authority
        self.address = address
        self.injected = injected or {}
        self.passwords = passwords or {}
        self.answered = 0
        self.failed: Counter[str] = Counter()
        self.row = 0
        self.breaker: Failure | None = None
        self.hook = hook
        self.plain = client.sends_bytes and not self.injected and hook is None
        self.hook_failed = 0
        self.hook_detail = ""
        self._overdue = 0

    def sign(self, request: Request) -> tuple[Request, tuple[Binding, ...]]:
        """The request as the hook wants it; a failure is counted, and raised as HookFailed."""
        if self.hook is None:
            return request, ()
        try:
            if self._overdue >= _OVERDUE_MAX:
                raise HookFailed("it is not called again")
            request, names = signed(self.hook, request)
        except HookFailed as error:
            self.hook_failed += 1
            self._overdue += error.overdue
            self.hook_detail = self.hook_detail or str(error)
            raise
        return request, tuple(Binding(f"header:{name.lower()}", f"hook:{name}") for name in names)

    def count_failure(self, failure: Failure, breaker_failures: int) -> None:
        """Count one failure; the breaker opens after that many connections in a row that could not be made."""
        self.failed[failure.kind] += 1
        if failure.phase in _NEVER_SENT:
            return
        if failure.phase not in _CONNECTING:
            self.row = 0
            return
        self.row += 1
        if self.row >= breaker_failures and self.breaker is None:
            self.breaker = Failure(
                failure.kind, "breaker", f"not sent after {self.row} connections in a row failed: {failure.detail}"
            )


def twins_of(stages: Sequence[Stage]) -> list[int]:
    """For each build the index of the one that is the same process: current and reference at one address; else -1."""
    twins = [-1] * len(stages)
    for index, stage in enumerate(stages):
        for other in range(index):
            roles = {stage.role, stages[other].role}
            if (
                stage.address is not None
                and stage.address == stages[other].address
                and roles == {"current", "reference"}
            ):
                twins[index], twins[other] = other, index
    return twins


def all_broken(stages: Sequence[Stage]) -> bool:
    """True where nothing could be compared any more: no candidate, or no current build, is sent to."""
    candidates = [stage for stage in stages if stage.role == "candidate"]
    return (bool(candidates) and all(stage.breaker for stage in candidates)) or any(
        stage.breaker for stage in stages if stage.role == "current"
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a performance needs besides plan, stages and pace. run_id: first half of the marker.

    timeout_ns: for a whole answer, and how long at most a stream is listened to beyond its time. first_byte_ns: after
    which the clients give up an answer of which nothing came. stream_ns: how long
    one whose time is not known; streams_max: pairs that are open without a place in a closed loop.
    """

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
    timeout_ns: int = 30_000_000_000
    first_byte_ns: int = 30_000_000_000
    stream_ns: int = 10_000_000_000
    streams_max: int = 128
