"""What an importer yields, and the bounded reading that all of them share."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from capture.errors import BadInput
from capture.exchange import Exchange

__all__ = [
    "HEAD_BYTES",
    "LINE_BYTES_MAX",
    "WHOLE_BYTES_MAX",
    "Found",
    "Skipped",
    "Torn",
    "as_utf8",
    "head_of",
    "lines_of",
    "opened",
    "text_of",
    "whole",
]

HEAD_BYTES = 8192
"""How much of a file (after gzip) recognition sees."""
LINE_BYTES_MAX = 96 << 20
WHOLE_BYTES_MAX = 512 << 20
"""A file of a format that can only be read whole (Envoy's JSON) may be this long after gzip."""


_UTF16 = ((b"\xff\xfe", b"{\0", "utf-16-le"), (b"\xfe\xff", b"\0{", "utf-16-be"))
"""Byte order mark, how an object begins without one, and the name."""


@dataclass(frozen=True, slots=True)
class Found:
    """One exchange. client: whose visit it belongs to, as "ip:port" or any other text.

    settled: it comes from a log of ours: its session, probability and id are kept as they are.
    """

    exchange: Exchange
    client: str = ""
    settled: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that is not taken. place: "entry 3", "line 12", "byte 4711". code: for the counts; why: one line."""

    place: str
    code: str
    why: str


class Torn(BadInput):
    """A file breaks off; what came before has been given."""


class _UpToTheTear(io.RawIOBase):
    """What a gzip stream gives, up to where it is damaged or cut; torn: the error, None where there is none."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        super().__init__()
        self._stream = stream
        self.torn: EOFError | zlib.error | gzip.BadGzipFile | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.torn is not None:
            return 0
        try:
            data = self._stream.read1(len(buffer))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self.torn = error
            return 0
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, through gzip where it is gzip. Raises BadInput where it is not there, and Torn at the end
    where its gzip breaks off: what comes before that is given all the same."""
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if not packed:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as stream:
                whole_part = _UpToTheTear(stream)
                with io.BufferedReader(whole_part, 1 << 16) as buffered:
                    yield buffered
                if whole_part.torn is not None:
                    raise whole_part.torn
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except IsADirectoryError:
        raise BadInput(f"{path}: a directory, and no log of ours; name files") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Torn(f"{path}: its gzip is damaged or cut: {error}") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror or error}") from None


def head_of(path: Path) -> bytes:
    """The first bytes of the content, for recognition; of a gzip that breaks off there, what there is."""
    head = b""
    try:
        with opened(path) as stream:
            head = stream.read(HEAD_BYTES)
    except BadInput:
        if not head:
            raise
    return head


def whole(path: Path) -> bytes:
    """All of a file that can only be read whole; raises BadInput where it is too long."""
    with opened(path) as stream:
        data = stream.read(WHOLE_BYTES_MAX + 1)
    if len(data) > WHOLE_BYTES_MAX:
        raise BadInput(f"{path}: longer than {WHOLE_BYTES_MAX >> 20} MiB; split it first")
    return data


def text_of(stream: IO[bytes]) -> Callable[[int], str]:
    """Reads a JSON text in UTF-8 or UTF-16 about so many characters further at each call, and "" at its end."""
    head = stream.read(4)
    coding = "utf-8-sig"
    for mark, begins, name in _UTF16:
        if head.startswith((mark, begins)):
            coding = "utf-16" if head.startswith(mark) else name
    decode = codecs.getincrementaldecoder(coding)("replace").decode

    def read(length: int) -> str:
        nonlocal head
        while True:
            data, head = head + stream.read(length), b""
            text = decode(data, not data)
            if text or not data:
                return text

    return read


def as_utf8(data: bytes) -> bytes:
    """JSON text in UTF-8 without a byte order mark, of a file or its first bytes in UTF-8 or UTF-16 (some shells' own).

    What is no UTF-16 after all stays as it is.
    """
    for mark, begins, coding in _UTF16:
        if data.startswith((mark, begins)):
            return data[: len(data) & ~1].decode(coding, "replace").removeprefix("\ufeff").encode("utf-8", "replace")
    return data.removeprefix(b"\xef\xbb\xbf")


def lines_of(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """(line number from 1, line without its end); None for a line beyond the bound. Empty lines are left out."""
    with opened(path) as stream:
        number = 0
        while line := stream.readline(LINE_BYTES_MAX):
            number += 1
            if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                while rest := stream.readline(LINE_BYTES_MAX):
                    if rest.endswith(b"\n"):
                        break
                yield number, None
            elif line.strip():
                yield number, line.rstrip(b"\r\n")
