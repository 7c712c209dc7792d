"""Text bodies, compared line by line."""

from __future__ import annotations

import codecs
import re
from typing import Final

from diff.body.tree import compare_values
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["compare_text", "decode_text", "split_lines"]

_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's own codecs that no HTTP body is in, some of them slow or able to make what is not text.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7", "mbcs"}
)
_LINE_END: Final = re.compile(r"\r\n|\n|\r")


def decode_text(body: bytes, charset: str | None) -> tuple[str, str | None]:
    """The text of a body, and what was wrong with it, None where nothing was.

    A byte order mark wins over the charset (WHATWG Encoding), which wins over UTF-8; what is then not valid is read as
    ISO 8859-1, in which every byte has a meaning, so that no difference is lost.
    """
    for mark, encoding in _BOMS:
        if body.startswith(mark):
            body, charset = body[len(mark) :], encoding
            break
    name, problem = charset or "utf-8", None
    if not _is_charset(name):
        name, problem = "utf-8", f"charset {name[:40]!r} is not known; read as UTF-8"
    try:
        return body.decode(name), problem
    except UnicodeError:
        read_as = "read as ISO 8859-1"
        return body.decode("latin-1"), f"{problem}, {read_as}" if problem else f"not valid {name[:40]}; {read_as}"


def _is_charset(name: str) -> bool:
    try:
        codec = codecs.lookup(name)
    except (LookupError, ValueError):
        return False
    return codec._is_text_encoding and codec.name not in _NO_CHARSETS


def split_lines(text: str) -> list[str]:
    """The lines of a text without their ends (CRLF, LF or CR); a last line that is empty is none."""
    lines = _LINE_END.split(text)
    if not lines[-1]:
        lines.pop()
    return lines


def compare_text(left: str, right: str, collector: Collector, options: CompareOptions) -> None:
    """Add the differences of two texts: at the root where each is one line, else at the index of the line.

    Where only line ends or the last line feed differ, that is one difference at the root, with a note.
    Raises TooManyDifferences.
    """
    if left == right:
        return
    left_lines, right_lines = split_lines(left), split_lines(right)
    if left_lines == right_lines:
        collector.note("only the line ends differ")
        collector.add((), "value", left, right)
    elif len(left_lines) <= 1 and len(right_lines) <= 1:
        collector.add((), "value", left, right)
    else:
        compare_values(left_lines, right_lines, collector, options, faithful=True, trusting=True)
