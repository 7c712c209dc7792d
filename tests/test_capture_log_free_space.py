"""Free space is asked for beside whoever wants to know, and a disk that hangs holds up nobody."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from capture.log.free_space import FreeSpace


def wait_until_known(space: FreeSpace) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if space.free_bytes is not None:
            return
        pause.wait(0.005)
    raise AssertionError("nothing was found")


def test_the_free_bytes_of_the_disk_are_found(tmp_path: Path) -> None:
    space = FreeSpace(tmp_path)
    wait_until_known(space)
    assert space.free_bytes is not None
    assert 0 <= space.free_bytes <= os.statvfs(tmp_path).f_blocks * os.statvfs(tmp_path).f_frsize
    space.close()


def test_a_disk_that_hangs_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def hang(path: Path) -> os.statvfs_result:
        asked.set()
        answer.wait(20)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", hang)
    space = FreeSpace(tmp_path)
    assert asked.wait(10)
    assert space.free_bytes is None
    space.close()
    answer.set()
