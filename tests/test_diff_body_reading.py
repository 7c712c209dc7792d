"""Reading both sides, and telling which is not what it should be."""

from __future__ import annotations

import pytest

from diff.body.reading import Side, Unreadable, read_both


def number(body: bytes, side: Side) -> int:
    if not body.isdigit():
        raise Unreadable(f"no number on the {side}")
    return int(body)


def test_both_values_come_back() -> None:
    assert read_both(number, b"1", b"2") == (1, 2)


@pytest.mark.parametrize(
    ("left", "right", "sides", "reason"),
    [
        (b"x", b"2", ("left",), "no number on the left"),
        (b"1", b"y", ("right",), "no number on the right"),
        (b"x", b"y", ("left", "right"), "no number on the left"),
    ],
)
def test_the_unreadable_sides_are_named(left: bytes, right: bytes, sides: tuple[Side, ...], reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as caught:
        read_both(number, left, right)
    assert caught.value.sides == sides
