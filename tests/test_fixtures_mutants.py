"""The planted changes: each takes effect, on its own route alone."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from pathlib import Path

import pytest

from fixtures.shop.answer import Answer, Context
from fixtures.shop.app import ROUTES
from fixtures.shop.mutants import BUILDS, DEMO, MUTANTS, Mutant, mutants_of
from fixtures.shop.traffic import drive_async
from tests.support.shop import serve_shop


def test_each_planted_change_has_a_place_of_its_own_that_exists() -> None:
    assert {mutant.route for mutant in MUTANTS.values()} <= set(ROUTES)
    assert len({mutant.route for mutant in DEMO}) == len(DEMO)
    kinds = {"missing", "extra", "type", "value", "order", "length", "slower"}
    assert {mutant.kind for mutant in MUTANTS.values()} <= kinds


def test_builds_are_joined_by_commas_and_unknown_ones_are_refused() -> None:
    assert mutants_of("current") == ()
    assert mutants_of("value, slow") == (MUTANTS["value"], MUTANTS["slow"])
    assert mutants_of("candidate") == DEMO
    assert set(BUILDS) == {"current", "candidate", "dying", *MUTANTS}
    with pytest.raises(KeyError):
        mutants_of("nonesuch")


@pytest.mark.net
def test_every_planted_change_takes_effect_in_the_traffic() -> None:
    changed: dict[str, int] = dict.fromkeys(MUTANTS, 0)

    def watched(mutant: Mutant) -> Mutant:
        def change(answer: Answer, context: Context) -> None:
            # Each is tried on a copy, so that the users meet an unchanged shop and every change sees one, too.
            trial = dataclasses.replace(answer, data=copy.deepcopy(answer.data), headers=list(answer.headers))
            before = copy.deepcopy(trial)
            mutant.change(trial, context)
            changed[mutant.name] += trial != before

        return dataclasses.replace(mutant, change=change)

    async def run() -> None:
        async with serve_shop([watched(mutant) for mutant in MUTANTS.values()]) as url:
            result = await drive_async(url, 4000, 1)
            assert not result.unexpected

    asyncio.run(run())
    assert [name for name, count in changed.items() if count < 5] == []


def test_the_page_on_the_demo_has_every_planted_change() -> None:
    page = (Path(__file__).parents[1] / "docs" / "demo.md").read_text(encoding="utf-8")
    for mutant in DEMO:
        row = f"| {mutant.name} | `{mutant.route}` | `{mutant.path}` | {mutant.kind} | {mutant.what} |"
        assert row in page
