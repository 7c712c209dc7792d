"""Frames to segments: every link type and encapsulation, built by scapy, gives the same segment."""

from __future__ import annotations

import pytest
from scapy.contrib.erspan import ERSPAN_I, ERSPAN_II, ERSPAN_III
from scapy.contrib.geneve import GENEVE
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.inet6 import (
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    fragment6,
)
from scapy.layers.l2 import (
    GRE,
    CookedLinux,
    CookedLinuxV2,
    Dot1AD,
    Dot1Q,
    Ether,
    Loopback,
)
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from capture.sources.packets.ip import ACK, PSH, Decoder, Segment, address_of
from capture.sources.packets.link import ip_offset
from capture.sources.sniff import Reader
from tests.support.packets import Collector

DATA = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
TCP4 = TCP(sport=1000, dport=80, seq=7, ack=9, flags="PA")
V4 = IP(src="10.0.0.1", dst="10.0.0.2") / TCP4 / Raw(DATA)
V6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP4 / Raw(DATA)
OUTER = IP(src="9.9.9.9", dst="8.8.8.8")
FLOW4 = bytes((10, 0, 0, 1, 10, 0, 0, 2)) + b"\x03\xe8\0\x50"
WANTED = Segment(FLOW4, 7, 9, ACK | PSH, DATA, 0)


def segment(link_type: int, frame: bytes, decoder: Decoder | None = None) -> Segment | None:
    offset = ip_offset(link_type, frame)
    return None if offset < 0 else (decoder or Decoder()).segment(frame, offset, 0)


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (1, Ether() / V4),
        (1, bytes(Ether() / V4) + b"\0" * 9),
        (1, Ether() / Dot1Q(vlan=5) / V4),
        (1, Ether() / Dot1Q(vlan=5) / Dot1Q(vlan=6) / V4),
        (1, Ether() / Dot1AD(vlan=5) / Dot1Q(vlan=6) / V4),
        (1, bytes(Ether(type=0x8847)) + b"\0\x01\x20\x40\0\x01\x31\x40" + bytes(V4)),
        (1, bytes(Ether(type=0x8864)) + b"\x11\0\0\1\0\x64\0\x21" + bytes(V4)),
        (113, CookedLinux(proto=0x800) / V4),
        (113, CookedLinux(proto=0x8100) / Dot1Q(vlan=3) / V4),
        (276, CookedLinuxV2(proto=0x800) / V4),
        (0, Loopback(type=2) / V4),
        (108, b"\0\0\0\2" + bytes(V4)),
        (101, V4),
        (12, V4),
        (228, V4),
        (101, IP(src="9.9.9.9", dst="8.8.8.8", proto=4) / V4),
        (101, IPv6(src="::9", dst="::8", nh=4) / V4),
        (101, OUTER / GRE() / V4),
        (101, OUTER / GRE(chksum_present=1, key_present=1, seqnum_present=1) / V4),
        (101, OUTER / GRE(proto=0x6558) / Ether() / Dot1Q(vlan=5) / V4),
        (101, OUTER / GRE(proto=0x88BE) / ERSPAN_I() / Ether() / V4),
        (101, OUTER / GRE(proto=0x88BE, seqnum_present=1) / ERSPAN_II() / Ether() / V4),
        (101, OUTER / GRE(proto=0x22EB, seqnum_present=1) / ERSPAN_III() / Ether() / V4),
        (101, OUTER / UDP(sport=1, dport=4789) / VXLAN(vni=7) / Ether() / V4),
        (101, IPv6(src="::9", dst="::8") / UDP(sport=1, dport=6081) / GENEVE(proto=0x6558) / Ether() / V4),
        (101, OUTER / UDP(sport=1, dport=6081) / GENEVE(proto=0x800) / V4),
        (101, IP(src="10.0.0.1", dst="10.0.0.2", options=[b"\x01\x01\x01\0"]) / TCP4 / Raw(DATA)),
        (
            101,
            IP(src="10.0.0.1", dst="10.0.0.2")
            / TCP(sport=1000, dport=80, seq=7, ack=9, flags="PA", options=[("MSS", 9), ("NOP", None)])
            / Raw(DATA),
        ),
    ],
)
def test_a_segment_is_found_under_every_link_and_wrapping(link_type: int, frame: Packet | bytes) -> None:
    data = bytes(frame)
    assert segment(link_type, data) == WANTED
    collector = Collector()
    reader = Reader(collector, 1 << 20)
    reader.frame(link_type, data, 5)
    reader.close()
    assert collector.began == 1


@pytest.mark.parametrize(
    "frame",
    [
        V6,
        IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrHopByHop() / TCP4 / Raw(DATA),
        IPv6(src="2001:db8::1", dst="2001:db8::2")
        / IPv6ExtHdrHopByHop()
        / IPv6ExtHdrDestOpt()
        / IPv6ExtHdrRouting()
        / TCP4
        / Raw(DATA),
        IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment() / TCP4 / Raw(DATA),
        IP(src="1.1.1.1", dst="2.2.2.2", proto=41) / V6,
    ],
)
def test_ipv6_is_read_past_its_extension_headers(frame: Packet) -> None:
    found = segment(101, bytes(frame))
    assert found is not None
    assert (found.seq, found.data) == (7, DATA)
    assert address_of(found.flow) == ("[2001:db8::1]:1000", "[2001:db8::2]:80")
    assert address_of(found.reverse) == ("[2001:db8::2]:80", "[2001:db8::1]:1000")


def test_fragments_are_put_together_in_any_order() -> None:
    large = IP(src="10.0.0.1", dst="10.0.0.2", id=5) / TCP4 / Raw(b"x" * 3000)
    pieces = [bytes(piece) for piece in fragment(large, 500)]
    large6 = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrFragment(id=4) / TCP4 / Raw(b"x" * 3000)
    pieces6 = [bytes(piece) for piece in fragment6(large6, 700)]
    for parts in (pieces, pieces[::-1], [*pieces[1:], pieces[1], pieces[0]], pieces6, pieces6[::-1]):
        decoder = Decoder()
        found = [segment(101, part, decoder) for part in parts]
        assert [one.data for one in found if one is not None] == [b"x" * 3000]


def test_fragments_that_never_end_are_bounded() -> None:
    decoder = Decoder()
    for number in range(1500):
        assert (
            segment(101, bytes(IP(src="1.1.1.1", dst="2.2.2.2", id=number, flags="MF") / Raw(b"x" * 64)), decoder)
            is None
        )
    assert decoder.counts["fragment_lost"] == 1500 - 1024


def test_a_packet_cut_by_the_capture_says_how_much_is_missing() -> None:
    found = segment(1, bytes(Ether() / V4)[:-5])
    assert found == WANTED._replace(data=DATA[:-5], missing=5)


def test_a_total_length_of_zero_means_all_of_it() -> None:
    data = bytearray(bytes(V4))
    data[2:4] = b"\0\0"
    assert segment(101, bytes(data)) == WANTED


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (IP() / UDP() / Raw(b"x" * 20), "not_tcp"),
        (bytes(V4)[:19], "malformed"),
        (bytes(V4)[:30], "malformed"),
        (b"\x42" + bytes(V4)[1:], "malformed"),
        (b"\x25" + bytes(V4)[1:], "malformed"),
        (b"\x60" + bytes(30), "malformed"),
        (bytes(V4)[:2] + b"\0\x15" + bytes(V4)[4:], "malformed"),
    ],
)
def test_what_is_no_segment_is_counted(frame: Packet | bytes, reason: str) -> None:
    decoder = Decoder()
    assert segment(101, bytes(frame), decoder) is None
    assert dict(decoder.counts) == {reason: 1}


def test_frames_without_ip_have_no_offset() -> None:
    for link_type, frame in (
        (1, b""),
        (1, bytes(Ether(type=0x806)) + b"x" * 28),
        (0, b"\2"),
        (9999, bytes(V4)),
        (101, b""),
    ):
        assert ip_offset(link_type, frame) == -1
