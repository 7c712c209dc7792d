"""Builds on which a plan is performed: which of them are one process, and what ends the sending to them."""

from __future__ import annotations

from typing import get_args

import pytest

from capture.clock import Clock
from replay.clients.base import Endpoint, Limits
from replay.clients.wire import WireClient
from replay.outcome import Failure, Role
from replay.stage import Stage, all_broken, twins_of


def stage(role: Role, address: str | None) -> Stage:
    client = WireClient(Endpoint("http", "127.0.0.1", 9, "127.0.0.1:9"), Limits(), Clock())
    return Stage(role, role, client, None, address=address)


@pytest.mark.parametrize(
    ("builds", "twins"),
    [
        ([("current", "a:1"), ("reference", "a:1"), ("candidate", "b:1")], [1, 0, -1]),
        ([("current", "a:1"), ("reference", "a:2"), ("candidate", "b:1")], [-1, -1, -1]),
        ([("current", "a:1"), ("candidate", "a:1")], [-1, -1]),
        ([("current", None), ("reference", None)], [-1, -1]),
        ([("current", "a:1"), ("candidate", "b:1"), ("reference", "a:1")], [2, -1, 0]),
    ],
)
def test_current_and_reference_of_one_address_are_twins(
    builds: list[tuple[Role, str | None]], twins: list[int]
) -> None:
    assert all(role in get_args(Role) for role, _ in builds)
    assert twins_of([stage(role, address) for role, address in builds]) == twins


def test_connections_that_fail_in_a_row_open_the_breaker_and_others_do_not() -> None:
    candidate, current = stage("candidate", "b:1"), stage("current", "a:1")
    for _ in range(2):
        candidate.count_failure(Failure("refused", "connect"), 3)
    candidate.count_failure(Failure("reset", "first_byte"), 3)
    for _ in range(2):
        candidate.count_failure(Failure("refused", "connect"), 3)
    assert candidate.breaker is None
    candidate.count_failure(Failure("refused", "connect", "nobody listens"), 3)
    assert candidate.breaker is not None
    assert (candidate.breaker.kind, candidate.breaker.phase) == ("refused", "breaker")
    assert candidate.failed == {"refused": 5, "reset": 1}
    assert all_broken([current, candidate])
    assert not all_broken([current, candidate, stage("candidate", "c:1")])
