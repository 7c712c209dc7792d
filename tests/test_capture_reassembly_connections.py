"""TCP connections put back together from segments: order, repetition, overlap, holes, joining and ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.sources.packets.ip import ACK, FIN, RST, SYN, Segment
from capture.sources.packets.stream import HELD_BYTES_MAX, WINDOW
from tests.support.packets import Collector, Talk, flow, follow_all, read

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nno %02d"
S = 1_000_000_000


def talk(count: int = 3, port: int = 1000, isn: tuple[int, int] = (100, 500)) -> Talk:
    made = Talk(port, isn).open()
    for n in range(count):
        made.client(GET % n).server(OK % n)
    return made.close()


def seen(collector: Collector) -> list[tuple[str, bytes | None, str | None]]:
    return [
        (exchange.request.target, exchange.response and exchange.response.body, exchange.incomplete_reason)
        for exchange in collector.in_order()
    ]


WHOLE = [("/0", b"no 00", None), ("/1", b"no 01", None), ("/2", b"no 02", None)]


def test_a_connection_gives_its_exchanges() -> None:
    collector, table = read(talk().segments)
    assert seen(collector) == WHOLE
    exchange = collector.exchanges[0]
    assert (exchange.source, exchange.server, exchange.connection) == ("sniff", "10.0.0.2:80", 1)
    assert collector.clients[0] == "10.0.0.1:1000"
    assert (table.counts.connections, table.counts.gaps) == (1, 0)


@pytest.mark.parametrize("isn", [(2**32 - 30, 2**32 - 60), (2**31 - 20, 2**31 - 100), (0, 0)])
def test_sequence_numbers_wrap_around(isn: tuple[int, int]) -> None:
    assert seen(read(talk(isn=isn).segments)[0]) == WHOLE


def test_what_is_captured_twice_is_read_once() -> None:
    segments = [copy for segment in talk().segments for copy in (segment, segment)]
    collector, table = read(segments)
    assert seen(collector) == WHOLE
    assert table.counts.repeated_bytes == sum(len(segment.data) for segment in talk().segments)


def test_where_segments_overlap_the_first_copy_wins() -> None:
    made = Talk().open()
    made.client(GET % 1)
    request = made.segments.pop()
    first = request._replace(data=request.data[:10])
    second = request._replace(seq=request.seq + 4, data=b"X" * 6 + request.data[10:])
    made.segments += [first, second]
    collector, table = read(made.server(OK % 1).close().segments)
    assert seen(collector) == [("/1", b"no 01", None)]
    assert table.counts.overlapped_bytes == 6


def test_keep_alives_are_no_data() -> None:
    made = Talk().open().client(GET % 0).server(OK % 0)
    probe = Segment(made.forth, (made.next[0] - 1) % 2**32, made.next[1], ACK, b"\0", 0)
    made.segments += [probe, probe._replace(data=b"")]
    assert seen(read(made.client(GET % 1).server(OK % 1).close().segments)[0]) == WHOLE[:2]


def test_pipelined_requests_in_one_segment_and_a_head_split_over_many() -> None:
    made = Talk().open().client(GET % 0 + GET % 1).server(OK % 0 + OK % 1).client(GET % 2, 3).server(OK % 2, 2)
    assert seen(read(made.close().segments)[0]) == WHOLE


def test_an_answer_before_the_request_body_is_right() -> None:
    made = Talk().open().client(b"POST /0 HTTP/1.1\r\nContent-Length: 4\r\n\r\nab").server(OK % 0).client(b"cd")
    collector, _ = read(made.close().segments)
    assert seen(collector) == WHOLE[:1]
    assert collector.exchanges[0].request.body == b"abcd"


def test_a_body_of_a_megabyte_comes_whole() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n"
    collector, _ = read(Talk().open().client(GET % 0).server(head + b"x" * (1 << 20), 1448).close().segments)
    response = collector.exchanges[0].response
    assert response is not None
    assert (response.body_bytes, response.truncated) == (1 << 20, False)


def test_the_answer_waits_for_the_request_that_it_acknowledges() -> None:
    made = talk(1)
    request, answer = made.segments[3], made.segments[4]
    assert seen(read([*made.segments[:3], answer, request, *made.segments[5:]])[0]) == WHOLE[:1]


def test_the_handshake_may_come_late_or_in_part() -> None:
    syn, syn_ack, ack, *rest = talk().segments
    for segments in ([ack, *rest[:2], syn_ack, syn, *rest[2:]], [syn, ack, *rest], [syn_ack, ack, *rest], [ack, *rest]):
        assert seen(read(segments)[0]) == WHOLE


def test_a_connection_that_began_before_the_capture_is_joined_at_a_request() -> None:
    segments = talk().segments
    assert seen(read(segments[3:])[0]) == WHOLE
    collector, _ = read(segments[4:])
    assert (seen(collector), dict(collector.counts.shed)) == (WHOLE[1:], {"no_request": 1})


def test_a_missing_end_leaves_whole_exchanges_whole() -> None:
    assert seen(read(talk().segments[:-3])[0]) == WHOLE
    assert seen(read(talk().segments[:-4])[0]) == [*WHOLE[:2], ("/2", None, "no_response")]


def test_a_reset_cuts_what_is_under_way() -> None:
    made = Talk().open().client(GET % 0).server(OK % 0).client(GET % 1)
    made.segments.append(Segment(made.back, made.next[1], made.next[0], RST | ACK, b"", 0))
    assert seen(read(made.segments)[0]) == [WHOLE[0], ("/1", None, "reset")]


def test_a_reset_captured_before_the_last_bytes_waits_for_them() -> None:
    made = Talk().open().client(GET % 0).server(OK % 0)
    answer = made.segments.pop()
    reset = Segment(made.forth, made.next[0], made.next[1], RST, b"", 0)
    tail = answer._replace(seq=answer.seq + 10, data=answer.data[10:])
    assert seen(read([*made.segments, tail, reset, answer._replace(data=answer.data[:10])])[0]) == WHOLE[:1]


def test_ports_that_are_used_again_make_a_new_connection() -> None:
    collector, table = read(talk().segments + talk(isn=(90_000, 70_000)).segments)
    assert seen(collector) == WHOLE + WHOLE
    assert table.counts.connections == 2
    unfinished = talk(2).segments[:4]
    collector, _ = read(unfinished + talk(isn=(90_000, 70_000)).segments)
    assert seen(collector) == [("/0", None, "no_response"), *WHOLE]


def test_late_copies_of_a_connection_that_is_over_begin_nothing() -> None:
    segments = talk().segments
    collector, table = read(segments + segments)
    assert (seen(collector), table.counts.connections) == (WHOLE, 1)


def test_a_lost_answer_segment_makes_its_exchange_incomplete_and_the_next_is_whole() -> None:
    made = Talk().open().client(GET % 0)
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 300\r\n\r\n" + b"x" * 300
    made.server(body, 100)
    del made.segments[-3]
    collector, table = read(made.client(GET % 1).server(OK % 1).close().segments)
    assert [(exchange.request.target, exchange.incomplete_reason) for exchange in collector.in_order()] == [
        ("/0", "gap"),
        ("/1", None),
    ]
    assert (table.counts.gaps, table.counts.gap_bytes) == (1, 100)


def test_a_lost_request_is_counted_by_its_answer() -> None:
    segments = talk().segments
    del segments[5]  # the second request
    collector, _ = read(segments)
    assert seen(collector) == [WHOLE[0], WHOLE[2]]
    assert dict(collector.counts.shed) == {"no_request": 1}


def test_holes_are_given_up_on_a_clock_that_was_set_back() -> None:
    collector = Collector()
    table = follow_all(collector)
    for segment in talk(port=2000).segments:
        table.segment(segment, 9_000_000 * S)
    segments = talk().segments
    del segments[5]
    for number, segment in enumerate(segments[:8]):
        table.segment(segment, number)
    assert [exchange.request.target for exchange in collector.exchanges][3:] == ["/0"]
    table.segment(segments[7], 2 * S)
    assert [exchange.request.target for exchange in collector.exchanges][3:] == ["/0", "/2"]


def test_a_hole_that_was_acknowledged_is_given_up_after_a_moment() -> None:
    collector = Collector()
    table = follow_all(collector)
    segments = talk().segments
    del segments[5]
    for segment in segments[:8]:
        table.segment(segment, S)
    assert [exchange.request.target for exchange in collector.exchanges] == ["/0"]
    table.check(S + S // 2)
    assert len(collector.exchanges) == 1
    table.check(2 * S + 1)
    assert [exchange.request.target for exchange in collector.in_order()] == ["/0", "/2"]


def test_a_cut_packet_loses_just_what_was_cut() -> None:
    made = Talk().open().client(GET % 0)
    made.server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
    answer = made.segments.pop()
    made.segments.append(answer._replace(data=answer.data[:-60], missing=60))
    collector, _ = read(made.client(GET % 1).server(OK % 1).close().segments)
    first, second = collector.in_order()
    assert (first.incomplete_reason, first.response and first.response.body_bytes) == ("gap", 40)
    assert second.complete


def test_bytes_behind_a_hole_are_bounded() -> None:
    collector = Collector()
    table = follow_all(collector)
    made = Talk().open().client(b"POST / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n")
    made.client(b"x" * (HELD_BYTES_MAX + (1 << 20)), 1 << 15)
    del made.segments[4]
    for segment in made.segments:
        table.segment(segment, S)
    assert table.counts.gaps == 1


def test_segments_far_out_of_the_window_are_refused_and_then_believed() -> None:
    collector = Collector()
    table = follow_all(collector)
    made = talk(1)
    for segment in made.segments[:5]:
        table.segment(segment, S)
    far = Talk(isn=(100 + 3 * WINDOW, 500 + 3 * WINDOW)).client(b"".join(GET % n for n in range(9)), len(GET % 0))
    for segment in far.segments:
        table.segment(segment, S)
    assert table.counts.out_of_window >= 8
    table.close(S)
    assert [exchange.request.target for exchange in collector.in_order()][:1] == ["/0"]
    assert len(collector.exchanges) > 1


def test_idle_connections_are_ended_and_the_table_is_bounded() -> None:
    collector = Collector()
    table = follow_all(collector, connections_max=10)
    for port in range(1000, 1050):
        for segment in Talk(port).open().client(GET % 0).segments:
            table.segment(segment, S)
    assert len(table._table) <= 20
    assert table.counts.evicted == 40
    table.check(700 * S)
    assert table._table == {}
    assert len(collector.exchanges) == 50


def test_a_connection_that_is_not_sampled_is_counted() -> None:
    collector, _ = read(talk().segments, kept=False)
    assert (collector.counts.sampled_out, collector.exchanges) == (3, [])
    segments = talk().segments
    del segments[5]
    assert read(segments, kept=False)[0].counts.sampled_out == 3  # the lost one is told by the bytes it left out


def test_without_a_handshake_ports_bytes_or_numbers_say_who_is_the_client() -> None:
    made = Talk(80, server_port=9999).client(GET % 0).server(OK % 0)
    assert seen(read(made.segments)[0]) == WHOLE[:1]
    collector = Collector()
    table = follow_all(collector, ports=[9999])
    for segment in reversed(made.segments):
        table.segment(segment._replace(data=segment.data[1:], seq=segment.seq + 1), S)
    assert next(iter(table._table.values())).conn.flow == flow(80, 9999)


@given(st.data())
def test_any_order_copies_and_cuts_of_the_segments_give_the_same(data: st.DataObject) -> None:
    """Several connections at once, each segment cut, copied, and moved up to a few places."""
    count = data.draw(st.integers(1, 4))
    streams: list[list[Segment]] = []
    asked = 0
    for number in range(count):
        isn = data.draw(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)))
        made = Talk(1000 + number, isn).open()
        for n in range(data.draw(st.integers(0, 4))):
            size = data.draw(st.integers(1, 60))
            asked += 1
            made.client(GET % n, size).server(OK % n, data.draw(st.integers(1, 60)))
        streams.append(made.close().segments)
    shuffled: list[tuple[float, Segment]] = []
    for segments in streams:
        for place, segment in enumerate(segments):
            for _ in range(data.draw(st.integers(1, 2))):
                shuffled.append((place + data.draw(st.floats(0, 4)), segment))
    shuffled.sort(key=lambda pair: pair[0])
    collector, table = read([segment for _, segment in shuffled])
    assert all(exchange.complete for exchange in collector.exchanges)
    assert collector.reasons == []
    assert table.counts.gaps == 0
    assert len(collector.exchanges) == asked
    for exchange in collector.exchanges:
        assert exchange.response is not None
        assert exchange.response.body == b"no %02d" % int(exchange.request.target[1:])


_segments = st.builds(
    Segment,
    st.sampled_from([flow(1000), Segment(flow(1000), 0, 0, 0, b"", 0).reverse, flow(1001)]),
    st.integers(0, 2**32 - 1) | st.integers(90, 300),
    st.integers(0, 2**32 - 1) | st.integers(490, 700),
    st.sampled_from([0, ACK, SYN, SYN | ACK, FIN | ACK, RST, RST | ACK, FIN | SYN | RST]),
    st.sampled_from([b"", GET % 1, OK % 1, b"\x16\x03", b"junk"]) | st.binary(max_size=20),
    st.sampled_from([0, 0, 0, 5, 70_000]),
)


@given(st.lists(_segments, max_size=40), st.integers(0, 10**9))
def test_any_segments_at_all_are_survived(segments: list[Segment], tick_ns: int) -> None:
    read(segments, tick_ns=tick_ns)
    read(talk().segments[:5] + segments, tick_ns=tick_ns)


def test_a_reset_by_the_client_says_when_it_left_and_one_by_the_server_does_not() -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nno"
    for side, left in ((0, True), (1, False)):
        made = Talk().open().client(GET % 1).server(begun)
        made._add(side, RST | ACK)
        (exchange,) = read(made.segments)[0].exchanges
        assert exchange.incomplete_reason == "reset"
        assert (exchange.times.left is not None) is left
