"""Packets of a live Linux interface: a TPACKET_V3 ring shared with the kernel, which filters, read block by block."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import mmap
import select
import socket
import struct
import sys
from collections.abc import Callable, Collection
from typing import Any, Final

from capture.errors import RunFailed, UsageError

__all__ = ["BLOCKS", "BLOCK_BYTES", "RETIRE_MS", "Ring", "filter_for", "is_chosen", "kernel_filter", "threshold"]

BLOCK_BYTES: Final = 1 << 20
BLOCKS: Final = 128
_FRAME_BYTES: Final = 2048
RETIRE_MS: Final = 100
"""The kernel closes a block this long after it was begun, however little is in it. At rates that fill less than a block
in that time, this times the number of blocks is how long the reader may be kept from the processor without a loss: at
10 ms, 64 blocks were used up after 0.64 s, nearly empty."""

_ETH_P_ALL: Final = 3
_SOL_PACKET: Final = 263
_PACKET_RX_RING: Final = 5
_PACKET_STATISTICS: Final = 6
_PACKET_VERSION: Final = 10
_PACKET_FANOUT: Final = 18
_PACKET_IGNORE_OUTGOING: Final = 23
_TPACKET_V3: Final = 2
_FANOUT_HASH: Final = 0
_FANOUT_DEFRAG: Final = 0x8000
_SO_ATTACH_FILTER: Final = 26
_SIOCGIFFLAGS: Final = 0x8913
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_TP_STATUS_KERNEL: Final = 0
_TP_STATUS_USER: Final = 1

_BLOCK: Final = struct.Struct("=IIIII")  # version, offset to private area; status, packets, offset of the first
_PACKET: Final = struct.Struct("=IIIIIIHH")  # next, seconds, ns, captured, on the wire, status, link offset, IP offset

_SPREAD: Final = 40_503
"""Odd, and near 65,536 divided by the golden ratio: neighbouring ports are spread over all values."""
_RETURN: Final = 0x06
_WHOLE: Final = 1 << 18  # bytes of a packet to take; scapy compiles 65,535, and loopback's frames can be longer
_NOTHING: Final = struct.pack("=HBBI", _RETURN, 0, 0, 0)
"""A packet filter that takes nothing."""

_LINK_OF_HARDWARE: Final = {1: 1, 772: 1, 65534: 101, 512: 101, 519: 101, 768: 101, 776: 101, 778: 101}
"""ARPHRD_ number of an interface to the link type of its frames."""
_RAW_DLT: Final = 12


def is_chosen(client_port: int, connections: float) -> bool:
    """Whether a connection from this port is among the share that is read; the kernel's filter asks the same."""
    return (client_port * _SPREAD) & 0xFFFF < threshold(connections)


def threshold(connections: float) -> int:
    """Of 65,536 values how many are chosen; the share that this is of them is the true probability."""
    return max(1, min(65_536, round(connections * 65_536)))


def filter_for(ports: Collection[int], connections: float = 1.0) -> str:
    """A libpcap expression for all that is needed of TCP on these ports: data and the marks of begin and end.

    Bare acknowledgements are left out: they are a third of all packets and say nothing that data does not. Of a
    connection that is not chosen, the server's packets are left out too: its requests are only counted. Fragments and
    IPv6 packets with extension headers pass, since the kernel cannot see their ports.
    """
    port = " or ".join(f"port {number}" for number in sorted(ports))
    asked = " or ".join(f"dst port {number}" for number in sorted(ports))
    ipv4 = "(ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) != 0 or tcp[13] & 7 != 0)"
    ipv6 = "(ip6[4:2] - ((ip6[52] & 0xf0) >> 2) != 0 or ip6[53] & 7 != 0)"
    if connections < 1:
        few = f"& 0xffff < {threshold(connections)}"
        ipv4 += f" and ({asked} or (tcp[2:2] * {_SPREAD}) {few})"
        ipv6 += f" and ({asked} or (ip6[42:2] * {_SPREAD}) {few})"
    extended = "(ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 44 or ip6[6] = 51 or ip6[6] = 60)"
    return (
        f"(ip and tcp and ({port}) and {ipv4}) or (ip and ip proto 6 and ip[6:2] & 0x3fff != 0)"
        f" or (ip6 and ip6 proto 6 and ({port}) and {ipv6}) or (ip6 and {extended})"
    )


def kernel_filter(expression: str, link_type: int) -> bytes:
    """The expression as classic BPF instructions, compiled by libpcap through scapy; raises UsageError without them."""
    try:
        from scapy.arch.common import compile_filter
    except ImportError:
        raise UsageError("sniffing needs scapy; install understudy with the extra [sniff]") from None
    try:
        program: Any = compile_filter(expression, linktype=_RAW_DLT if link_type == 101 else link_type)
    except (ImportError, OSError):
        raise UsageError("sniffing needs libpcap to compile its filter; install libpcap (Debian: libpcap0.8)") from None
    except Exception as error:
        if type(error).__name__ != "Scapy_Exception":
            raise
        raise UsageError(f"the packet filter cannot be compiled: {error}") from None
    compiled = ctypes.string_at(program.bf_insns, program.bf_len * 8)
    return b"".join(
        struct.pack("=HBBI", code, then, otherwise, _WHOLE if code == _RETURN and value else value)
        for code, then, otherwise, value in struct.iter_unpack("=HBBI", compiled)
    )


class Ring:
    """A ring of packets of one interface; close it.

    interface: its name. ports: of the servers. connections: share of them that is read, see `filter_for`. fanout: the
    same number in several processes shares the packets between them by connection; None for none. Raises UsageError
    where the interface is not there, RunFailed where the kernel refuses. link_type: of the frames it gives.
    """

    def __init__(
        self,
        interface: str,
        ports: Collection[int],
        *,
        connections: float = 1.0,
        blocks: int = BLOCKS,
        fanout: int | None = None,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise UsageError("sniffing an interface works on Linux only; elsewhere record a file and use --pcap")
        self.interface = interface
        self._blocks = blocks
        self._next = 0
        self._socket = _open(interface)
        self._map: mmap.mmap | None = None
        try:
            self._set_up(interface, filter_for(ports, connections), fanout)
        except OSError as error:
            self.close()
            why = f"{error.strerror}; see --ring-mb" if error.errno == errno.ENOMEM else error.strerror
            raise RunFailed(f"--interface {interface}: the kernel refuses to capture: {why}") from None
        except BaseException:
            self.close()
            raise
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN | select.POLLERR)

    def _set_up(self, interface: str, expression: str, fanout: int | None) -> None:
        raw, loopback = self._socket, _is_loopback(self._socket, interface)
        raw.bind((interface, 0))  # protocol 0: nothing comes in until everything is in place
        hardware = raw.getsockname()[3]
        link_type = _LINK_OF_HARDWARE.get(hardware)
        if link_type is None:
            raise UsageError(f"--interface {interface}: frames of hardware type {hardware} are not read")
        self.link_type = link_type
        instructions = kernel_filter(expression, link_type)
        _attach(raw, _NOTHING)
        raw.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V3)
        if loopback:  # it would show each packet twice, going out and coming in
            raw.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
        frames = BLOCK_BYTES // _FRAME_BYTES * self._blocks
        request = struct.pack("IIIIIII", BLOCK_BYTES, self._blocks, _FRAME_BYTES, frames, RETIRE_MS, 0, 0)
        raw.setsockopt(_SOL_PACKET, _PACKET_RX_RING, request)
        self._map = mmap.mmap(raw.fileno(), BLOCK_BYTES * self._blocks, mmap.MAP_SHARED)
        raw.bind((interface, _ETH_P_ALL))
        if fanout is not None:
            mode = _FANOUT_HASH | _FANOUT_DEFRAG
            raw.setsockopt(_SOL_PACKET, _PACKET_FANOUT, struct.pack("=I", (fanout & 0xFFFF) | (mode << 16)))
        _attach(raw, instructions)

    def read(self, each: Callable[[bytes, int], None], timeout_s: float) -> int:
        """Give every packet that is there to `each`, with its time in ns since the Unix epoch; returns how many.

        Waits up to timeout_s for the first. Blocks are given back to the kernel one by one.
        """
        ring = self._map
        if ring is None:
            return 0
        if ring[self._next * BLOCK_BYTES + 8] & _TP_STATUS_USER == 0:
            self._poll.poll(timeout_s * 1000)
        count = 0
        unpack = _PACKET.unpack_from
        for _ in range(self._blocks):
            base = self._next * BLOCK_BYTES
            _, _, status, packets, first = _BLOCK.unpack_from(ring, base)
            if not status & _TP_STATUS_USER:
                break
            at = base + first
            for _ in range(packets):
                following, seconds, ns, captured, _, _, link, _ = unpack(ring, at)
                each(ring[at + link : at + link + captured], seconds * 1_000_000_000 + ns)
                at += following
            count += packets
            struct.pack_into("=I", ring, base + 8, _TP_STATUS_KERNEL)
            self._next = (self._next + 1) % self._blocks
        return count

    def stop(self) -> None:
        """Take no more packets; those that are in the ring can still be read."""
        _attach(self._socket, _NOTHING)

    def left(self) -> int:
        """Packets in the ring that have not been read."""
        ring, count = self._map, 0
        if ring is not None:
            for block in range(self._blocks):
                _, _, status, packets, _ = _BLOCK.unpack_from(ring, block * BLOCK_BYTES)
                count += packets if status & _TP_STATUS_USER else 0
        return count

    def drops(self) -> int:
        """Packets that the kernel dropped since the last call because the ring was full."""
        _, dropped, _ = struct.unpack("III", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 12))
        return int(dropped)

    def close(self) -> None:
        """Give the ring back."""
        if self._map is not None:
            self._map.close()
            self._map = None
        self._socket.close()

    def __enter__(self) -> Ring:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(interface: str) -> socket.socket:
    try:
        socket.if_nametoindex(interface)
    except OSError:
        names = ", ".join(name for _, name in socket.if_nameindex())
        raise UsageError(f"--interface {interface}: no such interface; there are: {names}") from None
    try:
        return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    except PermissionError:
        raise RunFailed(
            f"--interface {interface}: sniffing needs the capability CAP_NET_RAW;"
            " run as root, or give it to the interpreter with setcap"
        ) from None


def _is_loopback(raw: socket.socket, interface: str) -> bool:
    request = struct.pack("16sH14x", interface.encode()[:15], 0)
    flags = struct.unpack("16sH14x", fcntl.ioctl(raw, _SIOCGIFFLAGS, request))[1]
    if not flags & _IFF_UP:
        raise UsageError(f"--interface {interface}: the interface is down")
    return bool(flags & _IFF_LOOPBACK)


def _attach(raw: socket.socket, instructions: bytes) -> None:
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = struct.pack("HxxxxxxP" if struct.calcsize("P") == 8 else "HxxP", len(instructions) // 8,
                          ctypes.addressof(buffer))  # fmt: skip
    with contextlib.suppress(BlockingIOError):
        raw.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        return
    raise OSError(errno.EAGAIN, "the packet filter was refused")
