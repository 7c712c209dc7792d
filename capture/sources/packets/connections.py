"""The table of TCP connections seen in packets: which one a segment belongs to, and its bytes in order to a reader.

The two directions are read so that no byte of the server comes before the bytes of the client that it acknowledges.
A hole is taken as lost when the other side has acknowledged it and a moment has passed, when it is too old, when too
much waits behind it, or at the end; then the reader is told how much was lost. Everything is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from capture.sources.packets.follow import Follow
from capture.sources.packets.ip import ACK, FIN, RST, SYN, Segment, address_of
from capture.sources.packets.stream import WINDOW, Stream, next_hole
from capture.sources.packets.turns import UNKNOWN, Hole

__all__ = ["CONNECTIONS_MAX", "Connections", "Counts"]

CONNECTIONS_MAX: Final = 65_536
_HELD_BYTES_MAX: Final = 128 << 20
_S: Final = 1_000_000_000
_JOIN_NS: Final = _S // 5
_JOIN_SEGMENTS: Final = 16
_ACKED_HOLE_NS: Final = _S
_HOLE_NS: Final = 20 * _S
_IDLE_NS: Final = 600 * _S
_LINGER_NS: Final = 30 * _S
_CHECK_NS: Final = _S // 10
_SWEEP_NS: Final = 5 * _S
_SET_BACK_NS: Final = 60 * _S
"""A segment that is so much earlier than the last look was not overtaken: the clock was set back."""
_FAR_MAX: Final = 8

_ENDS: Final = SYN | FIN | RST
_REQUEST: Final = re.compile(rb"[A-Z][A-Z-]{1,19} ")
_ANSWER: Final = re.compile(rb"HTTP/1\.[01] [1-5]")


@dataclass(slots=True)
class Counts:
    """segments: of TCP. connections: that were seen to begin or joined. repeated_bytes: seen again; overlapped_bytes:
    of them, those in one segment with new ones. gaps, gap_bytes: holes taken as lost. out_of_window: segments that
    could not belong to their connection. other_ports: segments of connections that were not asked for. evicted:
    connections given up for lack of room."""

    segments: int = 0
    connections: int = 0
    repeated_bytes: int = 0
    overlapped_bytes: int = 0
    gaps: int = 0
    gap_bytes: int = 0
    out_of_window: int = 0
    other_ports: int = 0
    evicted: int = 0


class _Half:
    """One direction in the table."""

    __slots__ = ("conn", "is_client", "stream")

    def __init__(self, conn: _Connection, is_client: bool) -> None:
        self.conn = conn
        self.is_client = is_client
        self.stream = Stream()


class _Connection:
    """early: segments that came before it was known where their stream begins. follow: the reader, once it is known."""

    __slots__ = ("client", "early", "first_ns", "flow", "follow", "last_ns", "over", "read_ns", "server")

    def __init__(self, flow: bytes, at_ns: int) -> None:
        self.flow = flow  # client to server
        self.client = _Half(self, True)
        self.server = _Half(self, False)
        self.follow: Follow | None = None
        self.first_ns = self.last_ns = at_ns
        self.read_ns = 0  # time of the last bytes that were read: it never goes back
        self.early: list[tuple[_Half, Segment, int]] = []
        self.over = False


class Connections:
    """Feeds segments of all connections to readers.

    follow: makes the reader of a connection, from its client's and server's address, a number, and a time in ns.
    ports: of the servers; without any, the handshake, the bytes or the lower port number say who is the client.
    """

    def __init__(
        self,
        follow: Callable[[str, str, int, int], Follow],
        ports: Collection[int] = (),
        *,
        connections_max: int = CONNECTIONS_MAX,
    ) -> None:
        self.counts = Counts()
        self._make_follow = follow
        self._ports = frozenset(ports)
        self._connections_max = connections_max
        self._table: dict[bytes, _Half] = {}
        self._stalled: dict[_Connection, None] = {}
        self._checked_ns = self._check_at_ns = self._sweep_at_ns = 0

    def segment(self, segment: Segment, at_ns: int) -> None:
        """One TCP segment was captured at this time."""
        flow, seq, ack, flags, data, missing = segment
        self.counts.segments += 1
        half = self._table.get(flow)
        if half is None:
            if not data and not missing and not flags & SYN:
                return  # of a connection that is not known, and says nothing
            if self._ports and not self._is_wanted(flow):
                self.counts.other_ports += 1
                return
            half = self._open(segment, at_ns)
        conn = half.conn
        stream = half.stream
        conn.last_ns = at_ns
        follow = conn.follow
        plain = seq == stream.next and not stream.held and not flags & _ENDS and not missing and stream.synced
        other = (conn.server if half.is_client else conn.client).stream
        if plain and follow is not None and (other.next == ack or not follow.wants_server):
            if data and not conn.over:  # the usual case: in order, and nothing waits
                stream.advance(len(data))
                if at_ns > conn.read_ns:
                    conn.read_ns = at_ns
                if half.is_client:
                    conn.server.stream.acked = ack
                    follow.client_bytes(data, conn.read_ns)
                    if conn.server.stream.held:
                        self._drain(conn, at_ns)
                else:
                    conn.client.stream.acked = ack
                    follow.server_bytes(data, conn.read_ns)
                    if conn.client.stream.held:
                        self._drain(conn, at_ns)
        else:
            self._unusual(half, segment, at_ns)
        if not self._checked_ns <= at_ns < self._check_at_ns:
            self.check(at_ns)

    # --- beginning

    def _open(self, segment: Segment, at_ns: int) -> _Half:
        if len(self._table) >= 2 * self._connections_max:
            self._make_room(at_ns)
        flow, reverse = segment.flow, segment.reverse
        from_client = self._is_from_client(segment)
        conn = _Connection(flow if from_client else reverse, at_ns)
        mine, other = (conn.client, conn.server) if from_client else (conn.server, conn.client)
        self._table[flow], self._table[reverse] = mine, other
        self.counts.connections += 1
        return mine

    def _is_wanted(self, flow: bytes) -> bool:
        return not self._ports.isdisjoint((int.from_bytes(flow[-4:-2], "big"), int.from_bytes(flow[-2:], "big")))

    def _is_from_client(self, segment: Segment) -> bool:
        if segment.flags & SYN:
            return not segment.flags & ACK
        sender, receiver = int.from_bytes(segment.flow[-4:-2], "big"), int.from_bytes(segment.flow[-2:], "big")
        if (sender in self._ports) != (receiver in self._ports):
            return receiver in self._ports
        if _ANSWER.match(segment.data):
            return False
        if _REQUEST.match(segment.data):
            return True
        return sender >= receiver

    def _unusual(self, half: _Half, segment: Segment, at_ns: int) -> None:
        conn = half.conn
        if segment.flags & SYN:
            known = half.stream.first_seq
            if (known is not None and known != segment.seq) or (known is None and (conn.over or half.stream.synced)):
                if known is None and not conn.over and half.stream.place(segment.seq + 1) <= half.stream.position:
                    return  # the SYN of what is being read, late
                half = self._reopen(conn, segment, at_ns)
                conn = half.conn
            self._syn(half, segment)
        if conn.over:
            return
        if conn.follow is not None:
            self._accept(half, segment, at_ns)
            self._drain(conn, at_ns)
            while half.stream.full and self._give_up_hole(conn, at_ns):
                pass
            return
        conn.early.append((half, segment, at_ns))
        if (conn.client.stream.synced and conn.server.stream.synced) or len(conn.early) >= _JOIN_SEGMENTS:
            self._join(conn, at_ns)
        else:
            self._stalled[conn] = None

    def _syn(self, half: _Half, segment: Segment) -> None:
        conn, stream = half.conn, half.stream
        if conn.follow is not None:
            return
        if half.is_client == bool(segment.flags & ACK) and not conn.client.stream.synced:
            conn.client, conn.server = conn.server, conn.client  # the guess about who is the client was wrong
            conn.client.is_client, conn.server.is_client = True, False
            conn.flow = segment.reverse if segment.flags & ACK else segment.flow
        stream.first_seq = segment.seq
        stream.sync(segment.seq + 1)
        if segment.flags & ACK:
            other = (conn.server if half.is_client else conn.client).stream
            if not other.synced:
                other.sync(segment.ack)

    def _reopen(self, conn: _Connection, segment: Segment, at_ns: int) -> _Half:
        """The ports are used again: what there was is over."""
        self._close(conn, at_ns)
        self._remove(conn)
        return self._open(segment, at_ns)

    def _join(self, conn: _Connection, at_ns: int) -> None:
        """Begin to read: from the handshake on, or in the middle from the first byte that was captured."""
        early, conn.early = conn.early, []
        client, server = conn.client.stream, conn.server.stream
        handshake = client.synced or server.synced
        for half, stream in ((conn.client, client), (conn.server, server)):
            if not stream.synced:
                seqs = [segment.seq for sender, segment, _ in early if sender is half]
                seqs += [segment.ack for sender, segment, _ in early if sender is not half and segment.flags & ACK]
                if seqs:
                    first = seqs[0]
                    stream.sync(min(seqs, key=lambda seq: (seq - first + 0x80000000) & 0xFFFFFFFF))
        names = address_of(conn.flow)
        conn.follow = self._make_follow(names[0], names[1], self.counts.connections, at_ns)
        if not handshake:
            conn.follow.gap(Hole(UNKNOWN, 0, "client"), at_ns)
        for half, segment, seen_ns in early:
            self._accept(half, segment, seen_ns)
        self._drain(conn, at_ns)

    # --- reading

    def _accept(self, half: _Half, segment: Segment, at_ns: int) -> None:
        """Put a segment where it belongs; nothing is read yet."""
        stream = half.stream
        _, seq, ack, flags, data, missing = segment
        if not stream.synced:
            stream.sync(seq)
        if flags & SYN:
            seq = (seq + 1) & 0xFFFFFFFF
        other = (half.conn.server if half.is_client else half.conn.client).stream
        if flags & ACK and other.synced and (other.acked is None or other.place(ack) > other.place(other.acked)):
            other.acked = ack
        follow = half.conn.follow
        if not half.is_client and follow is not None and not follow.wants_server:
            half.conn.over = half.conn.over or bool(flags & RST)
            return
        if data or missing:
            repeated, overlapped = stream.repeated, stream.overlapped
            if not stream.hold(seq, data, missing, at_ns, ack):
                self.counts.out_of_window += 1
                if stream.far >= _FAR_MAX:
                    self._jump(half, seq, at_ns)
                    stream.hold(seq, data, missing, at_ns, ack)
            self.counts.repeated_bytes += stream.repeated - repeated
            self.counts.overlapped_bytes += stream.overlapped - overlapped
        if flags & FIN:
            stream.end = max(stream.position, stream.place(seq) + len(data) + missing)
        if flags & RST:
            place = stream.place(seq)
            stream.reset = place if stream.position < place <= stream.position + WINDOW else stream.position

    def _drain(self, conn: _Connection, at_ns: int) -> None:
        """Give the reader everything whose turn it is."""
        follow = conn.follow
        if follow is None or conn.over:
            return
        client, server = conn.client.stream, conn.server.stream
        while self._step(conn, follow.wants_server, at_ns):
            pass
        waiting = bool(client.held or server.held)
        for half in (conn.client, conn.server):
            stream = half.stream
            if stream.reset is not None and stream.position >= stream.reset and not waiting:
                conn.over = True
                follow.over(True, at_ns, by_client=half.is_client)
                return
            if stream.end == stream.position and not stream.ended and not stream.held:
                stream.ended = True
                follow.end("client" if half.is_client else "server", at_ns)
        if client.ended and (server.ended or not follow.wants_server):
            conn.over = True
            follow.over(False, at_ns)
        elif waiting or client.hole() or server.hole():
            self._stalled[conn] = None

    def _step(self, conn: _Connection, wants_server: bool, at_ns: int) -> bool:
        """Give the reader one piece; False where none can be given."""
        client, server = conn.client.stream, conn.server.stream
        ahead = client.held[0] if client.held and client.held[0].start <= client.position else None
        answer = server.held[0] if server.held and server.held[0].start <= server.position else None
        if ahead is None and answer is None:
            return False
        ahead_waits = ahead is not None and wants_server and not server.passed(ahead.ack)
        answer_waits = answer is not None and not client.passed(answer.ack)
        if ahead is not None and answer is not None and ahead_waits == answer_waits:
            # Both could be next, or (repeated with a later acknowledgement) each waits for the other: what the client
            # already had when it sent its bytes comes before them.
            half = conn.client if server.place(ahead.ack) <= answer.start else conn.server
        elif ahead is not None and not ahead_waits:
            half = conn.client
        elif answer is not None and not answer_waits:
            half = conn.server
        else:
            return False
        self._give(half, at_ns)
        return True

    def _give(self, half: _Half, at_ns: int) -> None:
        stream, follow = half.stream, half.conn.follow
        piece = stream.take()
        if piece is None or follow is None:
            return
        conn = half.conn
        conn.read_ns = max(conn.read_ns, piece.at_ns)
        if piece.data:
            stream.advance(len(piece.data))
            (follow.client_bytes if half.is_client else follow.server_bytes)(piece.data, conn.read_ns)
        if piece.missing:
            self._lose(half, piece.missing, at_ns)

    def _lose(self, half: _Half, length: int, at_ns: int) -> None:
        """The next bytes of one direction were cut off by the capture."""
        stream, follow = half.stream, half.conn.follow
        if stream.held:  # another copy may have had what this one was cut off
            length = min(length, stream.held[0].start - stream.position)
        if length > 0 and follow is not None:
            hole = Hole(length, 0, "client") if half.is_client else Hole(0, length, "server")
            self._pass_over(half.conn, hole, at_ns)

    def _pass_over(self, conn: _Connection, hole: Hole, at_ns: int) -> None:
        for half, length in ((conn.client, hole.client), (conn.server, hole.server)):
            if length:
                half.stream.advance(length)
                self.counts.gaps += 1
                self.counts.gap_bytes += length
        if conn.follow is not None:
            conn.follow.gap(hole, at_ns)

    def _jump(self, half: _Half, seq: int, at_ns: int) -> None:
        """So much was lost that its length is not known; go on from here."""
        stream = half.stream
        stream.held.clear()
        stream.held_bytes = stream.far = 0
        stream.end = stream.reset = None
        stream.sync(seq)
        self.counts.gaps += 1
        if half.conn.follow is not None:
            half.conn.follow.gap(Hole(UNKNOWN, 0, "client") if half.is_client else Hole(0, UNKNOWN, "server"), at_ns)

    def _give_up_hole(self, conn: _Connection, at_ns: int, *, closing: bool = False) -> bool:
        """Take what is missing before the next bytes as lost and read on; False where nothing is missing."""
        if conn.follow is None or conn.over:
            return False
        hole = next_hole(conn.client.stream, conn.server.stream, conn.follow.wants_server, closing=closing)
        if hole is None:
            return False
        self._pass_over(conn, hole, at_ns)
        self._drain(conn, at_ns)
        return True

    # --- ends and time

    def _close(self, conn: _Connection, at_ns: int) -> None:
        """The connection is given up: read what can be read, and end it."""
        if conn.over:
            return
        if conn.follow is None:
            if not any(segment.data or segment.missing for _, segment, _ in conn.early):
                conn.over = True
                return
            self._join(conn, at_ns)
        while self._give_up_hole(conn, at_ns, closing=True):
            pass
        if conn.follow is not None and not self._is_over(conn):
            conn.over = True
            by_client = conn.client.stream.reset is not None
            conn.follow.over(by_client or conn.server.stream.reset is not None, at_ns, by_client=by_client)

    def _remove(self, conn: _Connection) -> None:
        self._stalled.pop(conn, None)
        flow = conn.flow
        self._table.pop(flow, None)
        self._table.pop(Segment(flow, 0, 0, 0, b"", 0).reverse, None)

    def check(self, at_ns: int) -> None:
        """Time has passed: give up holes that will not be filled, and connections that have gone quiet."""
        self._check_at_ns = at_ns + _CHECK_NS
        self._checked_ns = at_ns - _SET_BACK_NS
        held = 0
        for conn in list(self._stalled):
            if not self._look(conn, at_ns):
                self._stalled.pop(conn, None)
            held += conn.client.stream.held_bytes + conn.server.stream.held_bytes
        for conn in list(self._stalled):
            if held <= _HELD_BYTES_MAX:
                break
            held -= conn.client.stream.held_bytes + conn.server.stream.held_bytes
            while self._give_up_hole(conn, at_ns):
                pass
        if not self._sweep_at_ns - _SWEEP_NS <= at_ns < self._sweep_at_ns:
            self._sweep_at_ns = at_ns + _SWEEP_NS
            self._sweep(at_ns, _IDLE_NS, _LINGER_NS)

    def _look(self, conn: _Connection, at_ns: int) -> bool:
        """True where this connection still waits for something."""
        if conn.over:
            return False
        if conn.follow is None:
            if at_ns - conn.first_ns < _JOIN_NS or not any(segment.data for _, segment, _ in conn.early):
                return True
            self._join(conn, at_ns)
        for stream in (conn.client.stream, conn.server.stream):
            oldest = stream.held[0].at_ns if stream.held else conn.last_ns
            waited = at_ns - oldest
            hole = stream.hole()
            acked = stream.acked is not None and stream.place(stream.acked) > stream.position
            answered = not hole and bool(stream.held)  # the server's, for bytes of the client that never came
            if (hole or answered) and waited >= (_ACKED_HOLE_NS if acked or answered else _HOLE_NS):
                self._give_up_hole(conn, at_ns)
        client, server = conn.client.stream, conn.server.stream
        return not self._is_over(conn) and bool(client.held or server.held or client.hole() or server.hole())

    @staticmethod
    def _is_over(conn: _Connection) -> bool:
        """What `conn.over` says now; reading may have changed it."""
        return conn.over

    def _sweep(self, at_ns: int, idle_ns: int, linger_ns: int) -> None:
        for half in [half for half in self._table.values() if half.is_client]:
            conn = half.conn
            quiet_ns = at_ns - conn.last_ns
            if quiet_ns >= (linger_ns if conn.over else idle_ns):
                self._close(conn, at_ns)
                self._remove(conn)

    def _make_room(self, at_ns: int) -> None:
        """The table is full: forget what is over, then what was opened first."""
        self._sweep(at_ns, _IDLE_NS, 0)
        if len(self._table) >= 2 * self._connections_max:
            conn = next(iter(self._table.values())).conn
            self._close(conn, at_ns)
            self._remove(conn)
            self.counts.evicted += 1

    def close(self, at_ns: int) -> None:
        """The capture is over: end every connection."""
        for half in [half for half in self._table.values() if half.is_client]:
            self._close(half.conn, at_ns)
            self._remove(half.conn)
