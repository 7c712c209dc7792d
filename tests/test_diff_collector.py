"""What one comparison gathers."""

from __future__ import annotations

import pytest

from diff.collector import Collector, TooManyDifferences
from diff.difference import MISSING, Difference


def test_a_difference_gets_the_place_and_the_prefix() -> None:
    collector = Collector(5)
    collector.prefix = ("file", 0)
    collector.add(("a",), "extra", right=1)
    assert collector.differences == [Difference("body", ("file", 0, "a"), "extra", MISSING, 1)]


def test_the_bound_is_met_with_a_limit() -> None:
    collector = Collector(1, "header")
    collector.add(("a",), "value", "1", "2")
    with pytest.raises(TooManyDifferences):
        collector.add(("b",), "value", "1", "2")
    assert len(collector.differences) == 1
    assert collector.limits == ["more than 1 differences; the rest are not listed"]


def test_notes_and_limits_are_kept_once_in_their_order() -> None:
    collector = Collector(1)
    for text in ("b", "a", "b"):
        collector.note(text)
        collector.limit(text)
    assert (collector.notes, collector.limits) == (["b", "a"], ["b", "a"])


def test_rewinding_forgets_the_last_differences() -> None:
    collector = Collector(3)
    collector.add((), "value", 1, 2)
    collector.add((1,), "value", 1, 2)
    collector.rewind(1)
    assert [difference.path for difference in collector.differences] == [()]
