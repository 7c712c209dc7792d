"""Children never outlive the one that started them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from capture.errors import RunFailed
from fixtures.processes import Child, Children


def test_a_child_says_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        shop = children.start("shop", "fixtures.shop", ["--listen", "127.0.0.1:0"])
        assert shop.address().startswith("127.0.0.1:")
        assert shop.stop() == ""
        assert shop.process.returncode == 0


def test_an_error_in_the_block_ends_every_child(tmp_path: Path) -> None:
    started: list[Child] = []

    def start_and_fail() -> None:
        with Children(tmp_path) as children:
            started.append(children.start("shop", "fixtures.shop", []))
            started[0].address()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        start_and_fail()
    assert started[0].process.poll() is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(started[0].process.pid, 0)


def test_a_child_that_ends_too_early_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        shop = children.start("shop", "fixtures.shop", ["--build", "nonesuch"])
        with pytest.raises(RunFailed, match=r"shop ended with 2; its last words: .*unknown build 'nonesuch'"):
            shop.address()


def test_a_silent_child_is_not_waited_for_without_end(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        shop = children.start("shop", "fixtures.shop", [])
        shop.address()
        with pytest.raises(RunFailed, match="shop said nothing"):
            shop.line(0.05)


def test_the_environment_of_the_caller_does_not_configure_the_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNDERSTUDY_CAPTURE_NONSENSE", "1")
    with Children(tmp_path) as children:
        assert children.run("front door", "understudy", ["compare", "--help"], 30) in (0, 1)


def test_a_taken_port_is_one_clear_line_and_status_1(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        address = children.start("first", "fixtures.shop", []).address()
        second = children.start("second", "fixtures.shop", ["--listen", address])
        with pytest.raises(RunFailed, match=r"second ended with 1; its last words: Error: cannot listen on 127"):
            second.address()
