"""Counting distinct texts and sizes in bounded memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from capture.log.statistics import Distinct, LogStatistics, Sizes
from tests.support.log_records import an_exchange


def test_distinct_texts_are_counted_exactly_while_they_are_few() -> None:
    found = Distinct(most=100)
    for n in range(150):
        found.add(str(n % 75))
    assert (found.count, found.exact) == (75, True)


def test_distinct_texts_are_estimated_closely_when_they_are_many() -> None:
    found = Distinct(most=4096)
    for n in range(100_000):
        found.add(str(n))
        found.add(str(n // 2))
    assert not found.exact
    assert 95_000 < found.count < 105_000


@given(st.lists(st.integers(0, 1 << 40), min_size=1))
def test_a_quantile_is_below_its_size_by_less_than_a_sixteenth(sizes: list[int]) -> None:
    found = Sizes()
    for size in sizes:
        found.add(size)
    exact = sorted(sizes)[-(-len(sizes) // 2) - 1]
    assert exact - exact / 16 <= found.quantile(0.5) <= exact
    assert (found.total, found.greatest) == (sum(sizes), max(sizes))


def test_more_routes_than_fit_are_put_together(monkeypatch: object) -> None:
    import capture.log.statistics as statistics

    monkeypatch.setattr(statistics, "_ROUTES_MAX", 3)  # type: ignore[attr-defined]
    found = LogStatistics()
    from msgspec.structs import replace

    for n in range(10):
        exchange = an_exchange(n)
        found.add(replace(exchange, request=replace(exchange.request, target="/" + "abcdefghij"[n])))
    assert len(found.routes) == 4
    assert found.routes["(other routes)"] == 7
