from __future__ import annotations

from diff.request_ids import RequestIds, ids_in

NOW_NS = 1_790_000_000_000_000_000
NAME = "x-request-id"


def told(ids: RequestIds, current: str, candidate: str, witness: str) -> tuple[list[str], list[str]]:
    """The classes that are told of candidate and witness."""
    found = ids.compare("GET /", {NAME: current}, {NAME: candidate}, {NAME: witness}, NOW_NS)
    ours, theirs = ([f"{seen.change.from_class} -> {seen.change.to_class}" for seen in side] for side in found)
    return ours, theirs


def test_ids_are_found_whatever_the_case_and_an_empty_or_repeated_one_is_left_out() -> None:
    assert ids_in((("X-Request-ID", "a"), ("Content-Type", "b"), ("CF-Ray", ""))) == {NAME: "a"}
    assert ids_in((("X-Request-Id", "a"), ("x-request-id", "b"))) == {}


def test_ids_that_are_always_new_tell_nothing() -> None:
    ids = RequestIds()
    assert [told(ids, f"a{n}", f"b{n}", f"c{n}") for n in range(30)] == [([], [])] * 30


def test_an_id_that_comes_again_on_one_side_alone_is_told_of_that_side() -> None:
    ids = RequestIds()
    assert told(ids, "a1", "same", "c1") == ([], [])
    assert told(ids, "a2", "same", "c2") == (["text, varying -> text, repeating"], [])
    assert told(ids, "a3", "b3", "c2") == ([], ["text, varying -> text, repeating"])


def test_ids_that_come_again_in_the_current_build_or_on_both_sides_tell_nothing() -> None:
    ids = RequestIds()
    told(ids, "a", "b", "c")
    assert told(ids, "a", "b", "c3") == ([], [])
    assert told(ids, "a3", "b", "c3") == ([], [])


def test_an_id_that_current_and_witness_hand_back_is_missed_where_the_candidate_makes_its_own() -> None:
    ids = RequestIds()
    assert told(ids, "sent", "sent", "sent") == ([], [])
    assert told(ids, "sent", "own", "sent") == (["text -> text"], [])
    assert told(ids, "sent", "sent", "own") == ([], ["text -> text"])
    assert told(ids, "own", "sent", "sent") == (["text -> text"], ["text -> text"])


def test_routes_are_kept_apart_and_a_name_that_one_lacks_is_left_to_the_comparison_of_headers() -> None:
    ids = RequestIds()
    told(ids, "a", "same", "c")
    assert ids.compare("GET /other", {NAME: "a2"}, {NAME: "same"}, {NAME: "c2"}, NOW_NS) == ([], [])
    assert ids.compare("GET /", {NAME: "a3"}, {}, {NAME: "c3"}, NOW_NS) == ([], [])
