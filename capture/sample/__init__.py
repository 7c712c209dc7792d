"""Sampling: which sessions are kept, with what probability, and what keeps a session whole."""

from __future__ import annotations

from capture.sample.key import KeySpec, SessionKey, parse_specs
from capture.sample.sampler import Decision, Sampler, position

__all__ = ["Decision", "KeySpec", "Sampler", "SessionKey", "parse_specs", "position"]
