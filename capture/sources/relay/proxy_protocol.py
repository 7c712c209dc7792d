"""The PROXY protocol, versions 1 and 2, in which a load balancer says who the client is (proxy-protocol.txt)."""

from __future__ import annotations

import dataclasses
import ipaddress
import struct

__all__ = ["HEADER_BYTES_MAX", "Proxied", "ProxyHeaderError", "encode_v1", "encode_v2", "parse_header"]

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_V1_BYTES_MAX = 107
HEADER_BYTES_MAX = 16 + 4096
"""Longest header that is read: version 2 may carry up to 64 KiB of extensions, of which nobody uses more."""


class ProxyHeaderError(ValueError):
    """The connection does not begin with a PROXY header that can be read."""


@dataclasses.dataclass(frozen=True, slots=True)
class Proxied:
    """Who connected to the load balancer, and where; host "" where the header says unknown or local."""

    host: str = ""
    port: int = 0
    to_host: str = ""
    to_port: int = 0


def parse_header(data: bytes) -> tuple[Proxied, int] | None:
    """The header at the start of a connection and its length in bytes; None where more bytes are needed.

    Raises ProxyHeaderError where the bytes are no header of either version.
    """
    if data[:12] == SIGNATURE[: len(data)]:
        return _parse_v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _parse_v1(data)
    raise ProxyHeaderError("no PROXY header")


def _parse_v1(data: bytes) -> tuple[Proxied, int] | None:
    end = data.find(b"\r\n", 0, _V1_BYTES_MAX)
    if end < 0:
        if len(data) >= _V1_BYTES_MAX:
            raise ProxyHeaderError("version 1 header without an end")
        return None
    words = data[:end].decode("latin-1").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return Proxied(), end + 2
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("malformed version 1 header")
    try:
        source, target = ipaddress.ip_address(words[2]), ipaddress.ip_address(words[3])
        ports = [int(word) for word in words[4:] if word.isascii() and word.isdigit()]
    except ValueError:
        raise ProxyHeaderError("malformed address in a version 1 header") from None
    version = 4 if words[1] == "TCP4" else 6
    if source.version != version or target.version != version or len(ports) != 2 or max(ports) > 65535:
        raise ProxyHeaderError("malformed version 1 header")
    return Proxied(str(source), ports[0], str(target), ports[1]), end + 2


def _parse_v2(data: bytes) -> tuple[Proxied, int] | None:
    if len(data) < 16:
        return None
    kind, family, length = struct.unpack("!BBH", data[12:16])
    if kind >> 4 != 2 or kind & 15 > 1:
        raise ProxyHeaderError("unknown version or command of a binary header")
    if 16 + length > HEADER_BYTES_MAX:
        raise ProxyHeaderError("binary header too long")
    if len(data) < 16 + length:
        return None
    body = data[16 : 16 + length]
    if kind & 15 == 0 or family >> 4 not in (1, 2):
        return Proxied(), 16 + length
    size = 4 if family >> 4 == 1 else 16
    if length < 2 * size + 4:
        raise ProxyHeaderError("binary header too short for its addresses")
    source, target = ipaddress.ip_address(body[:size]), ipaddress.ip_address(body[size : 2 * size])
    port, to_port = struct.unpack("!HH", body[2 * size : 2 * size + 4])
    return Proxied(str(source), port, str(target), to_port), 16 + length


def encode_v1(proxied: Proxied) -> bytes:
    """The text header."""
    families = _families(proxied)
    if families is None:
        return b"PROXY UNKNOWN\r\n"
    source, target = families
    return f"PROXY TCP{source.version} {source} {target} {proxied.port} {proxied.to_port}\r\n".encode("latin-1")


def encode_v2(proxied: Proxied) -> bytes:
    """The binary header."""
    families = _families(proxied)
    if families is None:
        return SIGNATURE + struct.pack("!BBH", 0x20, 0, 0)
    source, target = families
    body = source.packed + target.packed + struct.pack("!HH", proxied.port, proxied.to_port)
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11 if source.version == 4 else 0x21, len(body)) + body


_Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


def _families(proxied: Proxied) -> tuple[_Ip, _Ip] | None:
    """Both addresses, of one family; None where they are unknown or not of one family."""
    try:
        source = ipaddress.ip_address(proxied.host.partition("%")[0])
        target = ipaddress.ip_address(proxied.to_host.partition("%")[0])
    except ValueError:
        return None
    return (source, target) if source.version == target.version else None
