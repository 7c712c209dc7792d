"""Exchanges that holes have swallowed: the order of what is missing, and how many turns of a connection it holds."""

from __future__ import annotations

import pytest

from capture.sources.packets.turns import UNKNOWN, Hole, Place, Turns, path
from tests.support.packets import Talk, read

C, S = "client", "server"


@pytest.mark.parametrize(
    ("hole", "place", "expected"),
    [
        (Hole(30, 0, C), Place(False, None, None), [(C, 30)]),
        (Hole(30, 40, C), Place(True, 0, 0), [(C, 30), (S, 40)]),  # between two: another exchange, whole
        (Hole(30, 40, C), Place(True, 0, 15), [(S, 15), (C, 30), (S, 25)]),  # an answer's rest, then another exchange
        (Hole(30, 15, C), Place(True, 0, 15), [(S, 15), (C, 30)]),
        (Hole(30, 40, C), Place(True, 0, None), [(S, 40), (C, 30)]),  # the fewest: an answer's rest, a head
        (Hole(30, 40, C), Place(False, 0, None), [(S, 40), (C, 30)]),  # a whole request waits: its answer is first
        (Hole(30, 40, S), Place(False, 10, None), [(C, 10), (S, 40), (C, 20)]),
        (Hole(30, 0, S), Place(False, 10, None), [(C, 30)]),  # asked again before the answer
        (Hole(1, 0, S), Place(False, 0, None), []),  # the number that a FIN takes
        (Hole(0, 1, C), Place(True, 0, 0), []),
        (Hole(0, 1, C), Place(True, 0, 1), [(S, 1)]),
        (Hole(UNKNOWN, 0, C), Place(True, None, None), [(C, UNKNOWN)]),
    ],
)
def test_what_is_missing_is_put_in_the_order_in_which_it_was_sent(
    hole: Hole, place: Place, expected: list[tuple[str, int]]
) -> None:
    assert path(hole, place) == expected


def test_a_turn_without_a_request_that_was_read_is_a_lost_exchange() -> None:
    turns = Turns()
    turns.asks(captured=False, goes_on=False)
    turns.answers(captured=True)
    assert turns.take() == {}  # it may still be read
    turns.asks(captured=True, goes_on=False)
    assert turns.take() == {"no_request": 1}
    turns.begins()
    turns.answers(captured=False)
    turns.over()
    assert turns.take() == {}


def test_a_request_that_starts_behind_a_hole_in_its_turn_has_one_before_it() -> None:
    turns = Turns()
    turns.asks(captured=False, goes_on=False)
    turns.asks(captured=True, goes_on=False, begins=True)
    assert turns.take() == {"gap": 1}
    turns.begins()
    turns.over()
    assert turns.take() == {}


def test_a_body_that_goes_on_after_an_early_answer_is_the_same_turn() -> None:
    turns = Turns(begun=True, asking=True, answered=False)
    turns.answers(captured=True, begins=True)
    turns.asks(captured=False, goes_on=True)
    turns.asks(captured=True, goes_on=True)
    turns.over()
    assert turns.take() == {}


def test_an_answer_that_starts_behind_the_lost_start_of_another_is_another_turn() -> None:
    turns = Turns(begun=True, asking=True, answered=False)
    turns.asks(captured=False, goes_on=False)
    turns.answers(captured=False)
    turns.answers(captured=True, begins=True)
    turns.over()
    assert turns.take() == {"no_request": 1}


GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno %02d"


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize(("first", "last"), [(2, 3), (2, 6), (0, 4), (5, 8)])
def test_a_run_of_lost_exchanges_is_counted_by_the_size_of_the_last_request(first: int, last: int, kept: bool) -> None:
    made = Talk().open()
    for n in range(8):
        made.client(GET % n).server(OK % n)
    lost = slice(3 + 2 * first, 3 + 2 * last)
    del made.segments[lost]
    made.close()
    collector, _ = read(made.segments, kept=kept)
    told = last - first if first else 1  # before the first there is nothing to compare with
    assert collector.counts.seen == 8 - (last - first) + told
    assert len(collector.exchanges) == (8 - (last - first) if kept else 0)


def test_requests_of_other_sizes_that_were_lost_in_a_row_count_once() -> None:
    made = Talk().open()
    for n in (1, 22, 333, 4):
        made.client(GET % n).server(OK % n)
    del made.segments[5:9]
    collector, _ = read(made.close().segments)
    assert (collector.counts.seen, dict(collector.counts.shed)) == (3, {"gap": 1})


def test_an_upload_of_which_only_the_client_was_captured_is_one_exchange_with_its_body() -> None:
    """The client waited for an interim answer, or was answered before it had sent everything."""
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"
    made = Talk().open()
    for _ in range(3):
        made.client(head).server(b"HTTP/1.1 100 Continue\r\n\r\n").client(bytes(9000), 3000).server(OK % 0)
    for end in (made.next[0], made.close().next[0]):
        asked = [segment for segment in made.segments if segment.flow == made.forth and segment.seq < end]
        collector, _ = read(asked)
        assert (collector.counts.seen, dict(collector.counts.incomplete)) == (3, {"gap": 3})
        assert [exchange.request.body_bytes for exchange in collector.exchanges] == [9000] * 3


def test_an_acknowledgement_of_what_cannot_have_been_sent_is_not_believed() -> None:
    made = Talk().open().client(GET % 0).server(OK % 0).client(GET % 1).server(OK % 1)
    for place in (4, 5):
        segment = made.segments[place]
        made.segments[place] = segment._replace(ack=(segment.ack + 2**30) % 2**32)
    collector, table = read(made.close().segments)
    assert (collector.counts.seen, collector.counts.kept) == (2, 2)
    assert table.counts.gaps == 0


def test_behind_a_hole_among_pipelined_requests_every_request_is_counted() -> None:
    made = Talk().open().client(GET % 0 + GET % 1).server(OK % 0).server(OK % 1)
    del made.segments[-2]
    for n in range(2, 8, 2):
        made.client(GET % n + GET % (n + 1)).server(OK % n + OK % (n + 1))
    collector, _ = read(made.close().segments)
    counts = collector.counts
    assert (dict(counts.incomplete), dict(counts.shed), counts.opaque) == ({"gap": 2}, {"gap": 6}, 1)
    assert counts.seen == 8 + 1


def test_a_connection_in_which_no_message_was_seen_to_begin_is_opaque() -> None:
    made = Talk().client(b"ssh or the like").server(b"\1\2\3").client(b"more").server(b"of it")
    collector, _ = read(made.segments[:2] + made.segments[3:])
    assert (collector.counts.seen, collector.reasons) == (1, ["unrecognised"])


def test_a_connection_that_is_recognised_late_counts_what_was_lost_before() -> None:
    made = Talk().client(GET % 0).server(OK % 0).client(GET % 1).server(OK % 1)
    collector, _ = read(made.segments[1:])
    assert dict(collector.counts.shed) == {"no_request": 1}
    made = Talk().open().client(GET % 0).server(OK % 0).client(GET % 1).server(OK % 1)
    collector, _ = read(made.segments[:3] + made.segments[5:])
    assert (collector.counts.seen, dict(collector.counts.shed)) == (2, {"gap": 1})
