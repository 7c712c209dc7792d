"""Relays for tests: one inside the test process on a thread of its own, and the real command as a process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from capture.clock import Clock
from capture.conservation import Conservation
from capture.sources.relay.address import Address
from capture.sources.relay.link import Tap
from capture.sources.relay.server import Relay, RelayOptions, bind
from tests.support.accounts import assert_conserved

__all__ = ["LOOPS", "ROOT", "RelayProcess", "RelayThread", "relay_process", "relay_thread", "understudy"]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}
ROOT = Path(__file__).parents[2]
_WAIT_S = 20


class RelayThread:
    """A relay in this process; `port` is where it listens, 0 for a unix socket."""

    def __init__(self, relay: Relay, loop: asyncio.AbstractEventLoop, port: int) -> None:
        self.relay = relay
        self.loop = loop
        self.port = port

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in the relay's loop and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(_WAIT_S)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; AssertionError after a bounded time."""
        end = time.monotonic() + _WAIT_S
        while not condition():
            assert time.monotonic() < end, "the relay did not get there"
            time.sleep(0.002)


@contextlib.contextmanager
def relay_thread(
    upstream: Address,
    *,
    loop_name: str = "uvloop",
    listen: Address | None = None,
    make_tap: Callable[[str, int], Tap | None] = lambda client, number: None,
    clock: Clock | None = None,
    **options: Any,
) -> Iterator[RelayThread]:
    """A relay to `upstream` on a free port (or `listen`); every connection is ended afterwards."""
    loop = LOOPS[loop_name]()
    thread = threading.Thread(target=loop.run_forever, name="relay", daemon=True)
    thread.start()
    where = listen or Address("127.0.0.1", 0)
    sockets = bind(where, "--listen")
    port = 0 if where.path is not None else sockets[0].getsockname()[1]
    relay = Relay(RelayOptions(where, upstream, **options), make_tap, clock)
    running = RelayThread(relay, loop, port)
    try:
        running.call(relay.start(sockets))
        yield running
    finally:
        # A loop that is closed with open connections waits for them.
        try:
            running.call(relay.abort())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_WAIT_S)
            assert not thread.is_alive(), "the relay's loop does not end"
            loop.close()


class RelayProcess:
    """`understudy capture relay` as a process; `address` is what it printed."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process = process
        self.address = address
        self.host, _, port = address.rpartition(":")
        self.port = int(port) if port.isdigit() else 0
        self.out = ""
        self.err = ""

    def stop(self, sign: int = signal.SIGTERM) -> Conservation:
        """Ask it to stop, wait until it has, and return its counts, which must add up."""
        self.process.send_signal(sign)
        return self.stopped()

    def stopped(self) -> Conservation:
        """Wait for the end of a stop that was asked for; its counts, which must add up."""
        self.wait()
        assert self.process.returncode == 0, (self.process.returncode, self.err)
        lines = [line for line in self.out.splitlines() if line.startswith("conservation ")]
        assert len(lines) == 1, (self.out, self.err)
        return assert_conserved(lines[0])

    def wait(self) -> None:
        """Wait for the end of the process; its output is then in `out` and `err`."""
        out, err = self.process.communicate(timeout=_WAIT_S)
        self.out += out
        self.err += err


@contextlib.contextmanager
def relay_process(
    upstream: str, log: Path, *arguments: str, listen: str = "127.0.0.1:0", environ: dict[str, str] | None = None
) -> Iterator[RelayProcess]:
    """Run the command until the block ends; it is killed there if the test has not stopped it."""
    command = [*understudy("capture", "relay", "--listen", listen, "--upstream", upstream, "--log", str(log))]
    process = subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=log.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})},
    )
    try:
        yield RelayProcess(process, _listening(process))
    finally:
        if process.poll() is None:
            process.kill()
        # Workers of a killed parent hold its stderr until they have drained.
        with contextlib.suppress(ValueError, subprocess.TimeoutExpired):
            process.communicate(timeout=_WAIT_S)


def understudy(*arguments: str) -> Sequence[str]:
    """The command line of this checkout."""
    return (sys.executable, "-m", "understudy", *arguments)


def _listening(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], _WAIT_S)
    line = process.stdout.readline() if ready else ""
    if not line.startswith("listening on "):
        process.kill()
        _, err = process.communicate(timeout=_WAIT_S)
        raise AssertionError(f"the relay did not start: {line!r} {err}")
    return line.removeprefix("listening on ").strip()
