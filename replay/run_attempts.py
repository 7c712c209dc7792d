"""How often each share of a run was begun: once, or again by another process after the first one died."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["again", "begin", "clear"]

_NAME = "attempts-"


def begin(run_dir: Path, index: int) -> None:
    """Note that a process begins the share. Raises OSError where the run cannot be written."""
    # One short write at the end of a file, so that two processes that begin it at once are two.
    descriptor = os.open(_path(run_dir, index), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, b".")
    finally:
        os.close(descriptor)


def again(run_dir: Path) -> list[dict[str, int]]:
    """The shares that were begun more than once, as the manifest has them."""
    found = {int(path.name.removeprefix(_NAME)): path.stat().st_size for path in run_dir.glob(f"{_NAME}*")}
    return [{"share": index + 1, "attempts": count} for index, count in sorted(found.items()) if count > 1]


def clear(run_dir: Path) -> None:
    """Forget all of it."""
    for path in run_dir.glob(f"{_NAME}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def _path(run_dir: Path, index: int) -> Path:
    return run_dir / f"{_NAME}{index}"
