"""What a writer and a reader remember of bodies, and that both forget."""

from __future__ import annotations

import os

import pytest

from capture.log import bodies
from capture.log.bodies import BodyCache, BodyTable


def test_a_body_has_one_number_however_often_it_comes() -> None:
    table = BodyTable()
    assert [table.number(body) for body in (b"one", b"two", b"one", b"three", b"two")] == [
        (0, True),
        (1, True),
        (0, False),
        (2, True),
        (1, False),
    ]
    assert table.count == 3


def test_the_bodies_seen_last_are_remembered_and_what_comes_again_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_GENERATION_MAX", 4)
    monkeypatch.setattr(bodies, "_AT_HAND_MAX", 2)
    table = BodyTable()
    for number in range(40):
        assert table.number(b"%d" % number) == (number, True)
        assert table.number(b"0") == (0, False)
        assert len(table._earlier) + len(table._later) <= 8
    assert table.number(b"39") == (39, False)
    assert table.number(b"1") == (40, True)


def test_what_was_not_stored_after_all_is_new_again() -> None:
    table = BodyTable()
    table.number(b"kept")
    table.number(b"taken back")
    table.forget([b"taken back"])
    assert table.number(b"another") == (1, True)
    assert table.number(b"taken back") == (2, True)
    assert table.number(b"kept") == (0, False)


def test_a_cache_holds_no_more_than_its_budget_but_always_the_block_put_last() -> None:
    cache = BodyCache(1000)
    blocks = [[os.urandom(300)] for _ in range(4)]
    for offset, block in enumerate(blocks):
        cache.put("s", offset, block)
    assert [cache.get("s", offset) for offset in range(4)] == [None, *blocks[1:]]
    large = [os.urandom(5000)]
    cache.put("t", 0, large)
    assert cache.get("t", 0) == large
    assert [cache.get("s", offset) for offset in range(4)] == [None] * 4
