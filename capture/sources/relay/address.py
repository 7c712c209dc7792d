"""Addresses that the relay listens on or connects to: host and port, or the path of a unix socket."""

from __future__ import annotations

import dataclasses
import re

from capture.errors import UsageError

__all__ = ["Address", "parse_address"]

_UNIX = "unix:"
_BRACKETS = re.compile(r"\[([0-9A-Fa-f:.%\w]+)\]:(\d+)\Z")
_PLAIN = re.compile(r"([^:\[\]\s/]*):(\d+)\Z")
_SUN_PATH_BYTES_MAX = 107
"""Longest path of a unix socket on Linux without its closing zero (unix(7))."""


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect: either `path` of a unix socket, or host and port (0 to 65535) of TCP."""

    host: str = ""
    port: int = 0
    path: str | None = None

    def __str__(self) -> str:
        if self.path is not None:
            return _UNIX + self.path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str) -> Address:
    """`HOST:PORT`, `[IPV6]:PORT`, `:PORT` (all addresses of IPv4) or `unix:/path`.

    option: how the place is named in messages. Raises UsageError for anything else; names are not resolved here.
    """
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path or "\0" in path or len(path.encode()) > _SUN_PATH_BYTES_MAX:
            raise UsageError(f"{option}: {text!r} is not unix:PATH with a path of 1 to {_SUN_PATH_BYTES_MAX} bytes")
        return Address(path=path)
    match = _BRACKETS.match(text) or _PLAIN.match(text)
    if match is None:
        raise UsageError(f"{option}: {text!r} is not HOST:PORT, [IPV6]:PORT or unix:PATH")
    port = int(match[2])
    if port > 65535:
        raise UsageError(f"{option}: port {port} is out of range, 0 to 65535")
    return Address(match[1] or "0.0.0.0", port)
