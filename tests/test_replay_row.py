"""What the names of a request's headers say by themselves."""

from __future__ import annotations

import pytest

from replay.row import bearing, row_of


def named(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, f"value of {name}") for name in names)


def test_a_row_of_names_is_worked_out_once() -> None:
    row, values = row_of(named("Host", "X-A"))
    again, others = row_of((("Host", "1"), ("X-A", "2")))
    assert again is row
    assert (values, others) == (("value of Host", "value of X-A"), ("1", "2"))


def test_every_second_piece_of_the_head_is_a_value() -> None:
    row, values = row_of(named("Host", "Connection", "X-100%", "Traceparent", "TE", "x-b"))
    assert row.plain
    assert row.kept(values) == ("value of Host", "value of X-100%", "value of Traceparent", "value of x-b")
    assert row.pieces[1::2] == [""] * 8
    assert row.pieces[::2] == [
        "", " ", " ", "\r\nHost: ", "\r\nX-100%: ", "\r\nTraceparent: ", "\r\nx-b: ",
        "\r\nX-Understudy-Replay: ", "\r\n\r\n",
    ]  # fmt: skip
    assert row.pieces[row.host_at - 1] == "\r\nHost: "
    assert row.pieces[row.trace_at - 1] == "\r\nTraceparent: "


def test_a_trace_that_was_not_recorded_has_its_place_at_the_end() -> None:
    row, values = row_of(named("Host"))
    assert row.kept(values) == ("value of Host",)
    assert row.pieces[row.trace_at - 1] == "\r\ntraceparent: "
    assert row.trace_at == row.host_at + 2


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("X-A",),
        ("Host", "host"),
        ("Host", "Transfer-Encoding"),
        (":method", "Host"),
        ("Host", "Content-Length", "content-length"),
    ],
)
def test_a_row_that_needs_more_changes_is_not_plain(names: tuple[str, ...]) -> None:
    assert not row_of(named(*names))[0].plain


def test_a_row_says_where_the_headers_about_framing_are() -> None:
    row, _ = row_of(named("Upgrade", "host", "Connection", "content-length", "connection"))
    assert (row.upgrades, row.host, row.connections, row.length, row.trace) == ((0,), 1, (2, 4), 3, -1)


def test_a_name_that_no_wire_can_carry_makes_the_row_invalid() -> None:
    assert row_of(named("Host", ":path"))[0].valid
    assert not row_of(named("Host", "not a name"))[0].valid


def test_the_marker_of_a_replay_is_seen_in_any_case() -> None:
    assert row_of(named("x-understudy-REPLAY"))[0].marked
    assert not row_of(named("x-replay"))[0].marked


def test_only_headers_that_carry_state_bear_values() -> None:
    assert (bearing("Authorization"), bearing("X-Token"), bearing("Accept"), bearing("COOKIE")) == (
        "authorization", "x-token", "", "cookie",
    )  # fmt: skip
    assert not row_of(named("Host", "Accept"))[0].bears
    assert row_of(named("Host", "X-Token"))[0].bears
