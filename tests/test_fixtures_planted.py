"""Planted against found."""

from __future__ import annotations

from typing import Any

from fixtures.planted import match
from fixtures.shop.mutants import MUTANTS


def _finding(route: str, path: str, kind: str, **others: Any) -> dict[str, Any]:
    return {"id": f"{route} {path} {kind}", "route": route, "path": path, "kind": kind, "caused_by": None, **others}


def _candidate(*findings: dict[str, Any], timing: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    return {"findings": list(findings), "timing": list(timing)}


PLANTED = (MUTANTS["extra"], MUTANTS["status"])
ICON = _finding("GET /categories", "$[3]['icon']", "extra")
STATUS = _finding("GET /go/{number}", "status", "value")


def test_a_change_found_once_at_its_route_path_and_kind_is_right_whatever_placeholders_are_called() -> None:
    assert match(PLANTED, _candidate(ICON, STATUS)).right


def test_a_placeholder_may_be_a_part_of_a_segment() -> None:
    found = _finding("GET /orders/ord_{id}", "$['delivery_days']", "value")
    assert match((MUTANTS["value"],), _candidate(found)).right


def test_a_change_of_several_values_of_a_placeholder_is_one_finding() -> None:
    routes = ["GET /feeds/bags/products.xml", "GET /feeds/lamps/products.xml"]
    found = _finding("*", "header:etag", "missing", routes=routes)
    assert match((MUTANTS["no-tag"],), _candidate(found)).right
    assert not match((MUTANTS["no-tag"],), _candidate({**found, "routes": [*routes, "GET /cart"]})).right
    assert not match((MUTANTS["no-tag"],), _candidate({**found, "routes": [], "route": "*"})).right


def test_a_missing_finding_is_wrong() -> None:
    matching = match(PLANTED, _candidate(ICON))
    assert not matching.right
    assert [found.right for found in matching.matches] == [True, False]


def test_a_change_found_twice_is_wrong() -> None:
    assert not match(PLANTED, _candidate(ICON, {**ICON, "id": "second"}, STATUS)).right


def test_a_finding_of_another_kind_or_route_was_not_planted() -> None:
    other = _finding("GET /go/{id}", "status", "type")
    matching = match(PLANTED, _candidate(ICON, STATUS, other))
    assert not matching.right
    assert matching.others == (other,)


def test_a_finding_caused_by_a_planted_one_is_a_cascade() -> None:
    cascade = _finding("GET /p/{slug}", "status", "value", caused_by=STATUS["id"])
    matching = match(PLANTED, _candidate(ICON, STATUS, cascade))
    assert matching.right
    assert matching.cascades == 1


def test_a_slower_route_is_one_finding_for_all_its_quantiles() -> None:
    rows = tuple(
        {"route": "GET /search", "quantile": q, "pairs": 90, "ratio": 4.0, "verdict": "slower"} for q in (0.5, 0.95)
    )
    assert match((MUTANTS["slow"],), _candidate(timing=rows)).right
    assert not match((), _candidate(timing=rows)).right
    same = ({**rows[0], "verdict": "same"}, {**rows[1], "verdict": "unknown"})
    assert match((), _candidate(timing=same)).right
