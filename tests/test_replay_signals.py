"""Signals that end a spread replay are handled while it runs, and as before when it is over."""

from __future__ import annotations

import os
import signal
import threading

from replay.signals import handled


def test_each_signal_is_told_with_those_before_it_and_afterwards_all_is_as_it_was() -> None:
    told: list[list[int]] = []
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with handled(lambda got: told.append(list(got))) as got:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert got == [signal.SIGTERM, signal.SIGINT]
    assert told == [[signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_outside_the_main_thread_nothing_is_handled() -> None:
    found: list[object] = []

    def work() -> None:
        with handled(lambda got: None):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert found == [signal.getsignal(signal.SIGTERM)]
