"""Captured text made safe for a terminal, and tables that are readable on one and plain in a pipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

__all__ = ["bytes_text", "print_table", "printable", "quiet_json", "time_text"]

_LOUD = re.compile(rb"\xc2[\x80-\x9f]|\xd8\x9c|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]")


def printable(text: str, length_max: int = 500) -> str:
    """The text without control characters (they become \\xNN), cut at `length_max` with a mark that says so."""
    cut = len(text) - length_max
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text[:length_max])
    return f"{safe}... ({cut} more)" if cut > 0 else safe


def quiet_json(data: bytes) -> bytes:
    """The same JSON in UTF-8, with \\u escapes for what terminals obey or hide: C1 controls and turns of direction.

    Its encoder has escaped the other controls.
    """
    return data if data.isascii() else _LOUD.sub(_escaped, data)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


def bytes_text(size: float) -> str:
    """A byte count for a person: 999 B, 1.2 kB, 3.4 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def time_text(at_ns: int) -> str:
    """UTC to the second; `at_ns` is ns since the Unix epoch. A time that no calendar has is given in seconds."""
    try:
        return f"{datetime.fromtimestamp(at_ns // 1_000_000_000, UTC):%Y-%m-%d %H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{at_ns / 1e9:.0f} s"


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """To stdout: ruled on a terminal, aligned with blanks elsewhere. A name with # before it puts its column right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    console = Console(file=sys.stdout, width=None if on_terminal else 200, highlight=False)
    table = Table(
        title=title if on_terminal else None, box=box.SIMPLE_HEAD if on_terminal else None, pad_edge=on_terminal
    )
    for column in columns:
        number = column.startswith("#")
        table.add_column(column.removeprefix("#"), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    if not on_terminal and title:
        console.print(Text(title))
    console.print(table)
