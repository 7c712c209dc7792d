"""What is learned of lists from answers, and that judging then says what changed in them once and nothing else."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import diff.judge
from capture.exchange import Exchange, Request, Response, Times
from diff.judge import judge, learn_routes
from diff.list_learner import NOTHING_LEARNED, LearnedLists, ListLearner, RouteLists
from diff.options import CompareOptions
from diff.report.json import as_json
from diff.run_shares import observe_in_processes
from diff.settings import DiffConfig
from diff.subject import Subject, subject_of
from replay.outcome import Outcome, Performance
from replay.run import open_run
from tests.support.judging import TODAY, judged, write_run
from tests.support.service import NOW_NS, as_response, uuid_of

Make = Callable[[random.Random, int], Any]
"""(the build's own chance, number of the request) -> the JSON body."""

ROUTE = "GET /things/{id}"
JSON = [("Content-Type", "application/json")]


def performances(
    current: Make,
    candidate: Make | None = None,
    *,
    count: int = 240,
    reference: bool = True,
    recorded: Make | None = None,
    respond: Callable[[Any], Response] = lambda body: as_response((200, JSON, body)),
) -> list[Performance]:
    return list(_performances(current, candidate or current, count, reference, recorded or current, respond))


def _performances(
    current: Make, candidate: Make, count: int, reference: bool, recorded: Make, respond: Callable[[Any], Response]
) -> Iterator[Performance]:
    makes = {"current": current, "reference": current, "candidate": candidate, "recorded": recorded}
    chances = {name: random.Random(name) for name in makes}
    for number in range(count):
        answers = {name: respond(make(chances[name], number)) for name, make in makes.items()}
        start = NOW_NS + number * 10**7
        outcomes = tuple(
            Outcome(name, name, start, start, start + 10**6, start + 10**6, answers[name])  # type: ignore[arg-type]
            for name in ("current", "reference", "candidate")
            if reference or name != "reference"
        )
        exchange = Exchange(
            f"x{number}", f"s{number % 60}", "relay", 1.0,
            Request("GET", f"/things/{number % 9}?n={number}", "HTTP/1.1", (("Host", "shop"),)), answers["recorded"],
            Times(start - 10**13, start - 10**13, start - 10**13, start - 10**13 + 10**6),
        )  # fmt: skip
        yield Performance(number, exchange, outcomes)


def learned(given: list[Performance], *, reference: bool = True) -> LearnedLists:
    subject = Subject(
        lambda: given, current="current", candidates=["candidate"], reference="reference" if reference else None
    )
    learner = ListLearner("current", subject.reference)
    routes, _ = learn_routes(subject, DiffConfig(), (), learner)
    return learner.finish(routes)


def found(given: list[Performance]) -> tuple[str, list[tuple[str, str]]]:
    report = judged(given, timing=False)
    return report.verdict, [(one.path, one.kind) for one in report.candidates["candidate"].findings]


def words(number: int) -> list[str]:
    return random.Random(number % 9).sample(["new", "red", "sale", "eco", "bulk", "last", "gift"], 5)


def rows(number: int) -> list[dict[str, Any]]:
    chosen = random.Random(number % 9).sample(range(40), 6)
    return [{"sku": f"S{index:03}", "price": index % 7, "stock": index % 3} for index in chosen]


def shuffled(make: Callable[[int], list[Any]], change: Callable[[list[Any]], None] = lambda _: None) -> Make:
    def body(chance: random.Random, number: int) -> Any:
        elements = make(number)
        change(elements)
        chance.shuffle(elements)
        return {"things": elements}

    return body


def in_order(make: Callable[[int], list[Any]]) -> Make:
    return lambda _, number: {"things": make(number)}


def drop_first(elements: list[Any]) -> None:
    del elements[0]


def double_a_price(elements: list[Any]) -> None:
    elements[2]["price"] += 100


# What is learned.


def test_a_field_that_names_the_elements_and_an_order_that_is_all_chance_are_learned() -> None:
    assert learned(performances(shuffled(rows))) == LearnedLists(
        {ROUTE: RouteLists({"$['things']": "sku"}, frozenset({"$['things']"}))}
    )


def test_a_list_that_always_keeps_its_order_stays_ordered() -> None:
    assert learned(performances(in_order(rows))) == LearnedLists(
        {ROUTE: RouteLists({"$['things']": "sku"}, frozenset())}
    )
    assert learned(performances(in_order(words))) == NOTHING_LEARNED


def test_an_order_with_a_tie_or_disturbed_now_and_then_or_of_some_answers_stays_ordered() -> None:
    def tie(chance: random.Random, number: int) -> Any:
        first, second, *rest = words(number)
        return [*chance.sample([first, second], 2), *rest]

    def now_and_then(chance: random.Random, number: int) -> Any:
        found = words(number)
        return chance.sample(found, 5) if chance.random() < 0.1 else found

    def some(chance: random.Random, number: int) -> Any:
        return words(number) if number % 3 == 0 else chance.sample(words(number), 5)

    for make in (tie, now_and_then, some):
        assert learned(performances(make)) == NOTHING_LEARNED, make


def test_an_identifier_made_anew_in_each_answer_names_nothing() -> None:
    def body(chance: random.Random, number: int) -> Any:
        return [{"id": uuid_of(chance), "code": row["sku"]} for row in rows(number)]

    assert learned(performances(body)).routes[ROUTE].keys == {"$": "code"}


def test_a_field_that_one_row_lacks_or_two_rows_share_names_nothing() -> None:
    def body(_: random.Random, number: int) -> Any:
        made: list[dict[str, Any]] = [{"id": index, "name": f"n{index}", "place": index} for index in range(4)]
        if number == 100:
            del made[1]["id"]
        if number == 101:
            made[2]["name"] = "n0"
        return made

    assert learned(performances(body)) == NOTHING_LEARNED  # A number that is called nothing may be a place in the list.


def test_lists_within_the_rows_of_a_list_are_learned_at_their_general_path() -> None:
    def body(chance: random.Random, number: int) -> Any:
        return {"rows": [{"id": index, "tags": chance.sample(words(index), 5)} for index in range(3)]}

    assert learned(performances(body)).routes[ROUTE] == RouteLists(
        {"$['rows']": "id"}, frozenset({"$['rows'][*]['tags']"})
    )


def test_without_a_reference_keys_alone_are_learned_from_the_build_and_the_record() -> None:
    given = performances(shuffled(rows), reference=False)
    assert learned(given, reference=False).routes[ROUTE] == RouteLists({"$['things']": "sku"}, frozenset())


def test_a_coded_body_is_read_and_one_that_is_no_json_is_passed_over() -> None:
    def coded(body: Any) -> Response:
        data = gzip.compress(json.dumps(body).encode(), mtime=0)
        return as_response((200, [*JSON, ("Content-Encoding", "gzip")], data))

    assert ROUTE in learned(performances(shuffled(rows), respond=coded)).routes
    for data in (b"{", b"\xff\xfe", b"[" * 100_000, gzip.compress(b"[]")[:-3]):
        assert learned(performances(lambda *_, data=data: data, count=5)) == NOTHING_LEARNED  # type: ignore[misc]


def test_what_is_learned_does_not_depend_on_what_comes_after_the_sample() -> None:
    given = performances(shuffled(rows), count=600)
    assert learned(given) == learned(given[:400])


def test_routes_that_were_learned_have_options_of_their_own() -> None:
    base = CompareOptions(strict_numbers=True)
    options = LearnedLists({ROUTE: RouteLists({"$": "id"}, frozenset({"$"}))}).options(base)
    assert options == {ROUTE: CompareOptions(strict_numbers=True, list_keys={"$": "id"}, unordered=frozenset({"$"}))}


# What judging then finds.


@pytest.mark.parametrize("make", [words, rows])
def test_a_set_in_another_order_is_promoted_without_noise(make: Callable[[int], list[Any]]) -> None:
    report = judged(performances(shuffled(make)), timing=False)
    assert (report.verdict, report.candidates["candidate"].totals.same) == ("promote", 240)


@pytest.mark.parametrize("make", [words, rows])
def test_an_element_that_a_set_lost_is_one_finding(make: Callable[[int], list[Any]]) -> None:
    given = performances(shuffled(make), shuffled(make, drop_first))
    assert found(given) == ("hold", [("$['things'][*]", "missing")])


def test_a_changed_field_of_an_element_of_a_set_is_one_finding_at_the_field() -> None:
    given = performances(shuffled(rows), shuffled(rows, double_a_price))
    assert found(given) == ("hold", [("$['things'][*]['price']", "value")])


def test_a_changed_field_in_a_set_without_names_is_one_finding_at_the_field() -> None:
    def pairs(number: int) -> list[Any]:
        return [{"size": index % 2, "colour": index % 3, "price": number % 9 + index} for index in range(3)] * 2

    def dearer(number: int) -> list[Any]:
        return [{**one, "price": one["price"] + 50} for one in pairs(number)]

    given = performances(shuffled(pairs), shuffled(dearer))
    assert learned(given).routes[ROUTE] == RouteLists({}, frozenset({"$['things']"}))
    assert found(given) == ("hold", [("$['things'][*]['price']", "value")])


@pytest.mark.parametrize("make", [words, rows])
def test_an_order_that_the_candidate_lost_is_one_finding(make: Callable[[int], list[Any]]) -> None:
    assert found(performances(in_order(make), shuffled(make))) == ("hold", [("$['things']", "order")])


def test_an_inserted_and_a_changed_row_of_a_list_with_names_are_one_finding_each() -> None:
    def candidate(number: int) -> list[Any]:
        made = rows(number)
        made[3]["price"] += 100
        return [{"sku": "S999", "price": 1, "stock": 1}, *made]

    verdict, findings = found(performances(in_order(rows), in_order(candidate)))
    assert (verdict, sorted(findings)) == ("hold", [("$['things'][*]", "extra"), ("$['things'][*]['price']", "value")])


def test_the_report_is_the_same_bytes_with_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff.judge, "_PAIRS_A_SHARE", 60)
    where = write_run(tmp_path / "run", performances(shuffled(rows), shuffled(rows, drop_first)))
    reports = {
        as_json(judge(subject_of(open_run(where)), DiffConfig(), [], TODAY, observe=observe_in_processes(workers)))
        for workers in (1, 2)
    }
    assert len(reports) == 1
