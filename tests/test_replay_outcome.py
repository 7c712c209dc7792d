"""The record of what came of a request: a response or a failure, never both, never neither."""

from __future__ import annotations

import msgspec
import pytest

from capture.exchange import Exchange, Request, Response, Times
from replay.outcome import Failure, Outcome, Performance

RESPONSE = Response(200, "OK", "HTTP/1.1", ())
FAILURE = Failure("refused", "connect")
EXCHANGE = Exchange("i", "s", "relay", 1.0, Request("GET", "/", "HTTP/1.1", ()), RESPONSE, Times(1))


def test_both_and_neither_are_refused() -> None:
    with pytest.raises(ValueError, match="both or neither"):
        Outcome("current", "current", 0, 1, 2, 3, RESPONSE, FAILURE)
    with pytest.raises(ValueError, match="both or neither"):
        Outcome("current", "current", 0, 1, 2, 3)


def test_latency_is_kept_from_the_send_and_from_the_plan() -> None:
    outcome = Outcome("current", "current", 100, 150, 180, 200, RESPONSE)
    assert (outcome.latency_ns, outcome.latency_from_plan_ns) == (50, 100)
    assert Outcome("current", "current", 100, None, None, 200, None, FAILURE).latency_ns is None


def test_a_performance_has_outcomes_or_a_reason_for_being_skipped() -> None:
    outcome = Outcome("current", "current", 0, 1, 2, 3, RESPONSE)
    performed = Performance(0, EXCHANGE, (outcome,))
    assert performed.outcome_of("current") == outcome
    assert performed.outcome_of("candidate") is None
    assert Performance(1, EXCHANGE, skipped="unsafe_method").outcome_of("current") is None
    with pytest.raises(ValueError, match="position 2"):
        Performance(2, EXCHANGE)
    with pytest.raises(ValueError, match="position 3"):
        Performance(3, EXCHANGE, (outcome,), skipped="unsafe_method")


def test_a_performance_reads_back_from_messagepack() -> None:
    failed = Outcome("candidate", "candidate", 0, None, None, 3, None, FAILURE)
    performed = Performance(0, EXCHANGE, (Outcome("current", "current", 0, 1, 2, 3, RESPONSE), failed))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(performed), type=Performance) == performed
