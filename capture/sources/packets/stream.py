"""One direction of a TCP connection put back in order: RFC 9293 sequence numbers to bytes, first copy wins."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final, NamedTuple

from capture.sources.packets.turns import Direction, Hole

__all__ = ["HELD_BYTES_MAX", "WINDOW", "Piece", "Stream", "next_hole"]

HELD_BYTES_MAX: Final = 4 << 20
"""Bytes of one direction that may wait for what is before them; beyond it the hole is taken as lost."""
_HELD_MAX: Final = 4096
WINDOW: Final = 16 << 20
"""Segments that start further ahead or behind than this cannot belong to what is being read."""

_MASK: Final = 0xFFFFFFFF
_HALF: Final = 0x80000000


class Piece(NamedTuple):
    """Bytes that wait. start: place in the stream; missing: bytes behind `data` that the capture has cut off.

    ack: how far the sender had received the other direction, as a 32 bit sequence number.
    """

    start: int
    data: bytes
    missing: int
    at_ns: int
    ack: int


class Stream:
    """What has been read of one direction, and what waits.

    position: bytes read, a count that does not wrap; next: the 32 bit sequence number of the byte at position. synced:
    it is known where the stream begins (the sequence numbers before that mean nothing). end, reset: positions at which
    FIN and RST stand, None where they were not seen. acked: the highest sequence number the other side has
    acknowledged, None before the first. repeated, overlapped: bytes seen again, and of them those that came in a
    segment together with new ones.
    """

    __slots__ = (
        "acked",
        "end",
        "ended",
        "far",
        "first_seq",
        "held",
        "held_bytes",
        "next",
        "overlapped",
        "position",
        "repeated",
        "reset",
        "synced",
    )

    def __init__(self) -> None:
        self.position = 0
        self.next = 0
        self.synced = False
        self.first_seq: int | None = None  # of the SYN
        self.held: list[Piece] = []  # sorted, without overlaps, all behind position
        self.held_bytes = 0
        self.end: int | None = None
        self.ended = False
        self.reset: int | None = None
        self.acked: int | None = None
        self.far = 0  # segments out of the window, one after the other
        self.repeated = 0
        self.overlapped = 0

    def sync(self, seq: int) -> None:
        """The stream's first byte has this sequence number."""
        self.next = seq & _MASK
        self.synced = True

    def place(self, seq: int) -> int:
        """Where in the stream a sequence number is; less than `position` for what was read already."""
        return self.position + ((seq - self.next + _HALF) & _MASK) - _HALF

    def passed(self, seq: int) -> bool:
        """True where everything before this sequence number was read (or its FIN, which counts as one), and for a
        number so far ahead that it cannot have been sent."""
        return not 0 < self.place(seq) - self.position - (self.end == self.position) <= WINDOW

    def advance(self, length: int) -> None:
        """The next `length` bytes were read, or given up."""
        self.position += length
        self.next = (self.next + length) & _MASK

    @property
    def full(self) -> bool:
        """True where too much waits for a hole to be filled."""
        return self.held_bytes > HELD_BYTES_MAX or len(self.held) > _HELD_MAX

    def hold(self, seq: int, data: bytes, missing: int, at_ns: int, ack: int) -> bool:
        """Keep what is new of a segment until its turn; False where it lies outside the window."""
        start = self.place(seq)
        if abs(start - self.position) > WINDOW:
            self.far += 1
            return False
        self.far = 0
        if start < self.position:
            behind = min(self.position - start, len(data) + missing)
            self.repeated += min(behind, len(data))
            if behind < len(data) + missing:
                self.overlapped += min(behind, len(data))
            missing = max(0, missing - max(0, behind - len(data)))
            data, start = data[behind:], start + behind
        while data or missing:
            at = bisect_left(self.held, (start + 1,))
            if at and (before := self.held[at - 1]).start + len(before.data) > start:
                known = min(before.start + len(before.data) - start, len(data))
                self.repeated += known
                self.overlapped += known
                start += known
                data = data[known:]
                if not known or not data:
                    return True
                continue
            room = self.held[at].start - start if at < len(self.held) else len(data) + missing
            if room <= 0:
                return True
            part = data[:room]
            self.held.insert(at, Piece(start, part, missing if len(part) == len(data) else 0, at_ns, ack))
            self.held_bytes += len(part)
            if len(part) == len(data):
                return True
            start, data = start + room, data[room:]
        return True

    def take(self) -> Piece | None:
        """The piece at `position` where there is one; it is not held any more, and `advance` is the caller's."""
        if self.held and self.held[0].start <= self.position:
            piece = self.held.pop(0)
            self.held_bytes -= len(piece.data)
            return piece
        return None

    def hole(self) -> int:
        """Bytes missing between `position` and the first piece that waits, or the end; 0 where nothing waits."""
        if self.held:
            return max(0, self.held[0].start - self.position)
        return max(0, (self.end or 0) - self.position, (self.reset or 0) - self.position)

    def before(self, ack: int) -> int:
        """Bytes behind `position` that an acknowledgement says the other side had; 0 for one that cannot be."""
        place = self.place(ack)
        if not self.position < place <= self.position + WINDOW:
            return 0
        return (place if self.end is None else min(place, self.end)) - self.position

    def unread_end(self) -> int:
        """Bytes behind `position` that were sent for sure before the connection ended: up to FIN, RST or what was
        acknowledged. Without a FIN the last number that was acknowledged may be that of the FIN, and is no byte."""
        acked = self.before(self.acked) - (self.end is None) if self.acked is not None else 0
        return max(self.hole(), acked)


def next_hole(client: Stream, server: Stream, wants_server: bool, *, closing: bool) -> Hole | None:
    """What of both directions is missing before the next bytes that wait, whichever were sent first; None for nothing.

    closing: nothing follows any more, so what was acknowledged and never came is missing too.
    """
    asked = client.held[0] if client.held else None
    answer = server.held[0] if server.held and wants_server else None
    before: Direction | None = None
    if asked is not None and (
        answer is None or server.place(asked.ack) <= answer.start or client.place(answer.ack) > asked.start
    ):
        before = "client"
        client_bytes, server_bytes = asked.start - client.position, server.before(asked.ack) if wants_server else 0
        if answer is not None:
            server_bytes = min(server_bytes, answer.start - server.position)
    elif answer is not None:
        before = "server"
        client_bytes, server_bytes = client.before(answer.ack), answer.start - server.position
        if asked is not None:
            client_bytes = min(client_bytes, asked.start - client.position)
    elif closing:
        client_bytes, server_bytes = client.unread_end(), server.unread_end() if wants_server else 0
    else:
        client_bytes, server_bytes = client.hole(), server.hole() if wants_server else 0
    client_bytes, server_bytes = max(0, client_bytes), max(0, server_bytes)
    return Hole(client_bytes, server_bytes, before) if client_bytes or server_bytes else None
