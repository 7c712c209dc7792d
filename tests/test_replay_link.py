"""A source is sure where what it gave had come before it was used."""

from __future__ import annotations

import pytest

from replay.link import Source
from replay.place import Place


@pytest.mark.parametrize(
    ("whole", "place", "sure"),
    [
        (True, Place("event", (3, "data")), True),
        (False, Place("event", (0, "data")), True),
        (False, Place("event", (3, "data")), False),
        (False, Place("header", ("x-id", 0)), True),
        (False, Place("cookie", ("sid",)), True),
        (False, Place("json", ("id",)), False),
    ],
)
def test_of_an_answer_under_way_only_its_head_and_its_first_event_are_sure(
    whole: bool, place: Place, sure: bool
) -> None:
    assert Source(0, "log-0", place, "x", whole).sure is sure
