"""The visible lists of headers whose values say nothing about behaviour."""

from __future__ import annotations

from diff.volatile import FRAMING_HEADERS, VOLATILE_HEADERS, is_volatile


def test_names_are_lower_case_and_in_one_list_only() -> None:
    names = FRAMING_HEADERS | VOLATILE_HEADERS
    assert names == {name.lower() for name in names}
    assert not FRAMING_HEADERS & VOLATILE_HEADERS


def test_what_a_service_itself_makes_noisy_is_not_listed() -> None:
    for name in ("etag", "last-modified", "expires", "set-cookie", "location", "server", "vary"):
        assert not is_volatile(name)


def test_traces_are_volatile_by_prefix() -> None:
    assert is_volatile("x-b3-traceid")
    assert is_volatile("date")
