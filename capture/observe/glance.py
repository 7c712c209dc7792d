"""What can be said of a chunk at one glance: that it is just one simple request, or just one whole response.

For exchanges that are not recorded. Where a glance says yes, the readers of this package would find exactly that in the
chunk; where it says no, they have to look.
"""

from __future__ import annotations

import re
from typing import Final

from capture.observe.head import HEAD_BYTES_MAX

__all__ = ["is_simple_request", "is_whole_response"]

_SIMPLE: Final = re.compile(
    rb"GET [^\x00-\x20\x7f]++ HTTP/1\.[0-9]\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n"
)
_FRAMES: Final = re.compile(rb"\n(content-length|transfer-encoding)([^\r\n]*)", re.IGNORECASE)
_STATUS: Final = re.compile(rb"HTTP/1\.[0-9] (?!204|304)[2-9][0-9][0-9](?: [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
_LENGTH: Final = re.compile(rb":[ \t]*(0|[1-9][0-9]{0,9})[ \t]*")
_NAME_BYTES: Final = len("content-length")


def is_simple_request(data: bytes) -> bool:
    """True where these bytes are one GET, well-formed and without a body, and nothing else."""
    return len(data) <= HEAD_BYTES_MAX and _SIMPLE.fullmatch(data) is not None and _FRAMES.search(data) is None


def is_whole_response(data: bytes) -> bool:
    """True where these bytes are one final response to a GET with its body, of known length, and nothing else."""
    end = data.find(b"\r\n\r\n", 0, HEAD_BYTES_MAX)
    if end < 0 or _STATUS.match(data, 0, end + 2) is None:
        return False
    frames = _FRAMES.findall(data, 0, end + 2)
    if len(frames) != 1 or len(frames[0][0]) != _NAME_BYTES:
        return False
    length = _LENGTH.fullmatch(frames[0][1])
    return length is not None and int(length.group(1)) == len(data) - end - 4
