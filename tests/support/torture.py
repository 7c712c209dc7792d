"""A torture capture: many connections whose segments are cut, copied, overlapped, moved and lost by a seeded chance."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, field
from pathlib import Path

from capture.sources.packets.ip import Segment
from tests.support.packets import Talk

__all__ = ["Exchanged", "Talked", "Torture", "frame_of", "torture", "write_pcap"]


@dataclass(slots=True)
class Exchanged:
    """One exchange as sent. ask, answer: its segments' bytes, with whether they were captured."""

    target: str
    ask: list[tuple[bytes, bool]]
    answer: list[tuple[bytes, bool]]

    @property
    def asked(self) -> bool:
        """True where some of the request was captured."""
        return any(kept for _, kept in self.ask)

    @property
    def answered(self) -> bool:
        """True where some of the answer was captured."""
        return any(kept for _, kept in self.answer)


@dataclass(slots=True)
class Talked:
    """One connection. asks_open, answers_open: the handshake that says where the client's and the server's bytes begin
    was captured. ended: one FIN was, which says where both end."""

    exchanges: list[Exchanged]
    asks_open: bool
    answers_open: bool
    ended: bool


@dataclass(slots=True)
class Torture:
    """segments: as captured. sent: target to the body that answers it. talks: what of each connection was captured."""

    segments: list[Segment] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)
    talks: list[Talked] = field(default_factory=list)


def torture(seed: int, connections: int, loss: float) -> Torture:
    """`connections` at once, each of up to six exchanges; loss: the chance of a segment not to be captured.

    With loss no bare acknowledgement is captured either.
    """
    chance, made = random.Random(seed), Torture()
    placed: list[tuple[float, Segment]] = []
    for number in range(connections):
        talk = Talk(2000 + number, (chance.getrandbits(32), chance.getrandbits(32))).open()
        spans = []
        for n in range(chance.randint(1, 6)):
            before = len(talk.segments)
            target = f"/{number}/{n}"
            made.sent[target] = _exchange(chance, talk, target)
            spans.append((target, before, len(talk.segments)))
        talk.close()
        kept = [chance.random() >= loss for _ in talk.segments]
        kept[2] = kept[-1] = loss == 0  # bare acknowledgements, which the live filter leaves out
        made.talks.append(_talked(talk, kept, spans))
        for place, segment in enumerate(talk.segments):
            if kept[place]:
                placed += [(number * 3 + place + chance.random() * 5, copy) for copy in _copies(chance, segment)]
    placed.sort(key=lambda pair: pair[0])
    made.segments = [segment for _, segment in placed]
    return made


def _talked(talk: Talk, kept: list[bool], spans: list[tuple[str, int, int]]) -> Talked:
    exchanges = []
    for target, start, end in spans:
        parts = [(talk.segments[place], kept[place]) for place in range(start, end)]
        ask = [(segment.data, seen) for segment, seen in parts if segment.flow == talk.forth]
        answer = [(segment.data, seen) for segment, seen in parts if segment.flow != talk.forth]
        exchanges.append(Exchanged(target, ask, answer))
    return Talked(exchanges, kept[0] or kept[1], kept[1], kept[-3] or kept[-2])


def _exchange(chance: random.Random, talk: Talk, target: str) -> bytes:
    body = target.encode() + b"x" * chance.choice([0, 10, 500, 3000])
    if chance.random() < 0.3:
        ask = b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 400\r\n\r\n" % target.encode() + b"p" * 400
        talk.client(ask, chance.choice([50, 200, 1448]))
    else:
        fill = b"h" * chance.choice([0, 300])
        talk.client(b"GET %b HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (target.encode(), fill), chance.choice([20, 1448]))
    if chance.random() < 0.3:
        head, data = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        head, data = b"Content-Length: %d" % len(body), body
    talk.server(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (head, data), chance.choice([100, 1448]))
    return body


def _copies(chance: random.Random, segment: Segment) -> list[Segment]:
    draw = chance.random()
    if draw < 0.1:
        return [segment, segment]
    if draw < 0.2 and len(segment.data) > 4:
        cut = chance.randrange(1, len(segment.data))
        later = segment._replace(seq=(segment.seq + cut - 1) % 2**32, data=segment.data[cut - 1 :])
        return [segment._replace(data=segment.data[:cut]), later]
    return [segment]


def frame_of(segment: Segment) -> bytes:
    """An Ethernet frame around an IPv4 segment, checksums left at 0."""
    size = len(segment.data)
    ip = struct.pack(">BBHHHBBH8s", 0x45, 0, 40 + size, 1, 0x4000, 64, 6, 0, segment.flow[:8])
    tcp = struct.pack(">4sIIBBHHH", segment.flow[8:], segment.seq, segment.ack, 0x50, segment.flags, 65535, 0, 0)
    return bytes(12) + b"\x08\x00" + ip + tcp + segment.data


def write_pcap(path: Path, segments: list[Segment]) -> None:
    """One packet every 10 us."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
        for number, segment in enumerate(segments):
            frame = frame_of(segment)
            file.write(struct.pack("<IIII", 1_700_000_000, number * 10, len(frame), len(frame)) + frame)
