"""What came of one planned request on one build: a response or a failure, never both, never neither.

`Performance` is the record of the run directory: one planned request, as captured, with the outcome on every build, or
the reason why it was not sent. diff needs nothing else.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from capture.exchange import Exchange, Response

__all__ = ["FAILURE_KINDS", "Binding", "Failure", "FailureKind", "Outcome", "Performance", "Role"]

FailureKind = Literal["refused", "dns", "tls", "reset", "timeout", "malformed", "cut", "too_large"]
FAILURE_KINDS: tuple[FailureKind, ...] = ("refused", "dns", "tls", "reset", "timeout", "malformed", "cut", "too_large")

Role = Literal["current", "reference", "candidate"]


class Failure(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Why there is no response.

    phase: "connect", "tls", "send", "first_byte" or "body", where it went wrong; "breaker" or "hook" where nothing was
    sent. detail: one line for a person.
    partial: what of the response had arrived, where its head was readable.
    """

    kind: FailureKind
    phase: str
    detail: str = ""
    partial: Response | None = None


class Binding(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One replacement made in a request before it was sent.

    place: where in this request, e.g. "path[2]", "query:page", "header:authorization", "cookie:sid", "$['cart']".
    origin: "EXCHANGE_ID PLACE" of the response that supplied it, "injected:NAME" or "hook:NAME".
    """

    place: str
    origin: str


class Outcome(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one build did with one request.

    build: its name; role: what it is compared as. Times are ns since the Unix epoch on the run's one monotonic clock:
    planned_ns is when the plan wanted it sent (of the twin of another build, when that one had answered), sent_ns when
    the first byte was handed to the connection, None where it never was; first_byte_ns and end_ns those of the
    response. order: this build's place in the shuffled order, from 0. reused: the connection had carried a request
    before. attempts: 2 where a kept-alive connection that the build had closed was replaced before any response byte.
    sent_bytes, received_bytes: on the wire. left: the answer was not waited for to its end, because production's client
    had left: the response is what had come of it by then, or the failure says that nothing had. Raises ValueError
    where response and failure are both given or both missing.
    """

    build: str
    role: Role
    planned_ns: int
    sent_ns: int | None
    first_byte_ns: int | None
    end_ns: int
    response: Response | None = None
    failure: Failure | None = None
    order: int = 0
    reused: bool = False
    attempts: int = 1
    sent_bytes: int = 0
    received_bytes: int = 0
    bindings: tuple[Binding, ...] = ()
    traceparent: str = ""
    left: bool = False

    def __post_init__(self) -> None:
        if (self.response is None) == (self.failure is None):
            raise ValueError(f"an outcome has a response or a failure, this one of {self.build!r} has both or neither")

    @property
    def latency_ns(self) -> int | None:
        """Actual send to last byte, to which it was listened; None where nothing was sent."""
        return None if self.sent_ns is None else self.end_ns - self.sent_ns

    @property
    def latency_from_plan_ns(self) -> int:
        """Planned send to last byte, so that a stall is charged to every request that it held up (wrk2)."""
        return self.end_ns - self.planned_ns


class Performance(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One planned request: as captured, and what came of it on every build.

    position: place in the plan, from 0. skipped: None where it was sent, then `outcomes` has one entry per build in the
    manifest's order; else the reason it was not sent, and `outcomes` is empty. iteration: 0 unless the plan is looped.
    """

    position: int
    exchange: Exchange
    outcomes: tuple[Outcome, ...] = ()
    skipped: str | None = None
    iteration: int = 0

    def __post_init__(self) -> None:
        if (self.skipped is None) == (not self.outcomes):
            raise ValueError(f"position {self.position} must have outcomes or a reason for being skipped")

    def outcome_of(self, build: str) -> Outcome | None:
        """The outcome on the build of that name, or None."""
        return next((outcome for outcome in self.outcomes if outcome.build == build), None)
