"""What may change while a capture runs: sampling, redaction and budgets, taken over as one and recorded in the log.

A change is made whole before any of it holds; one that cannot be used changes nothing. Where sampling or redaction
changed, the log goes on in a new segment whose header says what holds now, since when, and who asked for it.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from capture.clock import rfc3339
from capture.config import Settings, build, nearest
from capture.errors import UsageError
from capture.guard import Guard
from capture.pipeline import Pipeline, redaction_key, sampler_of
from capture.pseudonym import Pseudonyms, key_id
from capture.redact import Redactor
from capture.sample import parse_specs
from capture.settings import CaptureConfig, GuardConfig, RedactConfig

__all__ = ["Change", "Live", "changed_sampling", "described", "holding"]

_SAMPLING = ("sample", "session_key", "rare_factor", "trust_forwarded")
_MEMORIES = ("session_key", "trust_forwarded", "session_idle_s", "sessions_max", "redaction_key")
"""What the sampler's memory of sessions depends on: where one of these changes, it begins anew."""


class _Log(Protocol):
    """What is wanted of the log; capture/log/writer.py is the real one."""

    def renew(self, meta: dict[str, Any]) -> None: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """All settings that may change, as they are to be from now on.

    capture: with its redaction key in it (`pipeline.with_redaction_key`). at_ns: when it was asked for, ns since the
    epoch; the same in every process that makes this change. by: who asked.
    """

    capture: CaptureConfig
    redact: RedactConfig
    guard: GuardConfig
    at_ns: int
    by: Literal["start", "sighup", "admin"] = "start"


def described(change: Change) -> dict[str, Any]:
    """What a segment's header says about how its records were chosen and what was taken out of them; no secrets."""
    rules = repr([sorted(change.redact.keep), sorted(change.redact.fields), sorted(change.redact.headers)])
    return {
        "sampling": _sampling(change.capture),
        "redaction": {
            "mode": change.redact.mode,
            "rules": hashlib.blake2b(rules.encode(), digest_size=4).hexdigest(),
            "key": key_id(redaction_key(change.capture)),
        },
        "since_ns": change.at_ns,
        "changed_by": change.by,
    }


def _sampling(capture: CaptureConfig) -> dict[str, Any]:
    return {
        "sample": capture.sample,
        "session_key": list(capture.session_key),
        "rare_factor": capture.rare_factor,
        "trust_forwarded": capture.trust_forwarded,
    }


def holding(change: Change, ratio: float, workers: int, following: int) -> dict[str, Any]:
    """What holds since `change`, as plain values for a person or a script. following: workers that follow it."""
    return {
        **_sampling(change.capture),
        "ratio": ratio,
        "since": rfc3339(change.at_ns),
        "changed_by": change.by,
        "workers": workers,
        "workers_following": following,
    }


def changed_sampling(now: CaptureConfig, wanted: Mapping[str, Any]) -> CaptureConfig:
    """The configuration with `wanted` in it: any of sample, session_key, rare_factor and trust_forwarded.

    Raises UsageError for an unknown key, a value that cannot be used, and nothing at all.
    """
    for key in wanted:
        if key not in _SAMPLING:
            raise UsageError(f"unknown key {key[:40]!r}; {nearest(key[:40], list(_SAMPLING))}")
    if not wanted:
        raise UsageError(f"nothing to change; give one of {', '.join(_SAMPLING)}")
    made = build(CaptureConfig, "capture", Settings("sampling", {"capture": wanted}))
    parse_specs(made.session_key)
    return dataclasses.replace(now, **{key: getattr(made, key) for key in wanted})


class Live:
    """The settings of one capturing process as they hold now.

    meta: what else the log's headers say. redact_elsewhere: told by what is redacted from now on, where not the
    pipeline does that. `apply` and `follow_guard` are called in the thread of the pipeline.
    """

    def __init__(
        self,
        start: Change,
        pipeline: Pipeline,
        guard: Guard,
        log: _Log,
        meta: dict[str, Any] | None = None,
        redact_elsewhere: Callable[[CaptureConfig, RedactConfig], None] | None = None,
    ) -> None:
        self.now = start
        self._pipeline = pipeline
        self._guard = guard
        self._log = log
        self._meta = meta or {}
        self._redact_elsewhere = redact_elsewhere

    def apply(self, change: Change) -> None:
        """Let `change` hold from the next request on. Raises UsageError where it cannot be used; nothing changes."""
        before, capture = self.now, change.capture
        names = Pseudonyms(redaction_key(capture))
        same_key = capture.redaction_key == before.capture.redaction_key
        redactor = None
        if not same_key or change.redact != before.redact:
            redactor = Redactor(change.redact, names)
        sampler = None
        if any(getattr(capture, name) != getattr(before.capture, name) for name in _MEMORIES):
            sampler = sampler_of(capture, names)
        # Nothing below fails.
        self.now = change
        self._guard.limits = change.guard
        if redactor is not None and self._redact_elsewhere is not None:
            self._redact_elsewhere(capture, change.redact)
            redactor = None
        self._pipeline.adopt(sampler, redactor)
        self.follow_guard()
        told = described(change)
        if any(told[name] != described(before)[name] for name in ("sampling", "redaction")):
            self._log.renew({**self._meta, **told})

    def follow_guard(self) -> None:
        """Sample with what is configured times what the budgets leave of it."""
        capture = self.now.capture
        self._pipeline.sampler.set_probability(capture.sample * self._guard.factor, capture.rare_factor)

    @property
    def ratio(self) -> float:
        """The probability that holds now: what is configured, times what the budgets leave of it."""
        return self.now.capture.sample * self._guard.factor if self._guard.off is None else 0.0
