"""Ctrl-C while a command begins ends it, at once or as soon as it can drain, and is never lost."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from capture.interrupt import ends_the_process, raises_again, while_importing


def test_an_interrupt_ends_the_process_within_and_raises_again_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with while_importing():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert ends_the_process()
        assert not ends_the_process()
        raises_again()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupt_that_is_ignored_or_handled_stays_so() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with while_importing():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        raises_again()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_nothing_is_changed() -> None:
    said: list[bool] = []

    def ask() -> None:
        said.append(ends_the_process())
        raises_again()
        with while_importing():
            said.append(True)

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert said == [False, True]
    assert signal.getsignal(signal.SIGINT) is before


_INTERRUPTED = """
import builtins, os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # as at a terminal; in the background it may be ignored
real = builtins.__import__
def counted(name, *args, **kwargs):
    if name == {module!r}:
        signal.raise_signal(signal.SIGINT)
    return real(name, *args, **kwargs)
builtins.__import__ = counted
sys.argv = ["understudy", *{arguments!r}]
import understudy
understudy.main()
"""


@pytest.mark.parametrize("module", ["click", "capture.commands"])
def test_an_interrupt_while_modules_are_imported_ends_the_process_without_a_traceback(module: str) -> None:
    program = _INTERRUPTED.format(module=module, arguments=["capture", "relay", "--help"])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_command_that_cleans_up_is_interrupted_by_an_exception() -> None:
    program = (
        "import signal\nfrom capture.cli import Command\nfrom capture.interrupt import ends_the_process\n"
        "def interrupt():\n    signal.raise_signal(signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "ends_the_process()\nCommand('x', callback=interrupt).main([])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, "Aborted" in done.stderr) == (1, True)
