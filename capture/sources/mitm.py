"""mitmproxy as a source: embedded in any of its modes, with the options that keep it transparent, and drained."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mitmproxy import exceptions, options
from mitmproxy.proxy import mode_specs
from mitmproxy.tools.dump import DumpMaster

from capture.clock import Clock
from capture.errors import RunFailed, UsageError
from capture.pipeline import Pipeline
from capture.sources.mitm_h2c import PlainHttp2
from capture.sources.mitm_own_address import OwnAddress
from capture.sources.mitm_tap import MitmTap
from capture.sources.recording import Stop

__all__ = ["MitmPlan", "serve_mitm"]

_POLL_S = 0.02
_LAST_BYTES_S = 0.5
_STARTED_S = 30.0

_TRANSPARENT: dict[str, Any] = {
    "keep_host_header": True,  # else a reverse proxy rewrites Host, and the service answers another site
    "block_global": False,  # else every client with a public address is turned away
    "keep_alt_svc_header": True,
    "onboarding": False,
    "command_history": False,
}
"""Options that mitmproxy's addons define, and that must not be left at their defaults in production."""


@dataclasses.dataclass(frozen=True, slots=True)
class MitmPlan:
    """What to run. modes: as mitmproxy's --mode. options: `name=value` as its --set. confdir: of its CA; None for its
    own default. drain_s: how long flows under way may still take after a stop."""

    modes: tuple[str, ...]
    body_bytes_max: int
    options: tuple[str, ...] = ()
    confdir: Path | None = None
    drain_s: float = 25.0


async def serve_mitm(
    plan: MitmPlan, pipeline: Pipeline, clock: Clock, stop: Stop, on_listening: Callable[[str], None]
) -> None:
    """Run mitmproxy in the running loop until `stop.asked`, then drain it.

    on_listening: called with "host:port" for each address once all accept. Raises UsageError for a mode or option that
    mitmproxy does not know, RunFailed where it cannot listen.
    """
    tap = MitmTap(pipeline, clock, plan.body_bytes_max)
    with _quiet_logs() as logged:
        master = _master(plan, tap)
        running = asyncio.ensure_future(master.run())
        try:
            for address in await _addresses(master, running, logged):
                on_listening(address)
            asked = asyncio.ensure_future(stop.asked.wait())
            await asyncio.wait({asked, running}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if not running.done():
                await stop.hurried(_drain(master, tap, plan.drain_s))
        finally:
            master.shutdown()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            tap.abandon_all("drain")


def _master(plan: MitmPlan, tap: MitmTap) -> Any:
    try:
        for mode in plan.modes:
            mode_specs.ProxyMode.parse(mode)
        chosen: Any = options.Options(mode=list(plan.modes))
        if plan.confdir is not None:
            chosen.update(confdir=str(plan.confdir))
        master: Any = DumpMaster(chosen, with_termlog=False, with_dumper=False)
        # It would end the whole process on any error that is logged while starting; we look for ourselves.
        master.addons.remove(master.addons.get("errorcheck"))
        server = master.addons.get("proxyserver")
        master.addons.add(tap, PlainHttp2(), OwnAddress(server.listen_addrs))
        chosen.update(**_TRANSPARENT)
        if plan.options:
            chosen.set(*plan.options)
    except (exceptions.OptionsError, KeyError, ValueError) as error:
        raise UsageError(f"--mode or --set: mitmproxy says: {str(error).strip(chr(39))}") from None
    except OSError as error:
        raise RunFailed(f"mitmproxy cannot start: {error}; give --confdir a directory that can be written") from None
    return master


async def _addresses(master: Any, running: asyncio.Future[None], logged: list[str]) -> list[str]:
    """Where it listens, once it does: one address for each mode, of IPv4 where it has one."""
    server = master.addons.get("proxyserver")
    async with asyncio.timeout(_STARTED_S):
        while not server.is_running and not running.done():  # noqa: ASYNC110  # mitmproxy has no event for it
            await asyncio.sleep(_POLL_S)
    failed = [str(one.last_exception) for one in server.servers if one.last_exception is not None]
    if failed or running.done() or not server.listen_addrs():
        why = "; ".join(failed or logged[-1:]) or "no address to listen on"
        raise RunFailed(f"mitmproxy cannot listen: {why}")
    # A mode that listens everywhere does so twice, at 0.0.0.0 and [::], and on UDP once more.
    firsts = [
        min(one.listen_addrs, key=lambda address: ":" in address[0]) for one in server.servers if one.listen_addrs
    ]
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port, *_ in firsts]


async def _drain(master: Any, tap: MitmTap, drain_s: float) -> None:
    """Close the listeners, let the flows under way end, then let their last bytes go out.

    `Master.shutdown` alone returns at once, with listeners open and answers cut off.
    """
    server = master.addons.get("proxyserver")
    # By the option `server` it would check its modes again, and refuse two that were each given a free port.
    closing = asyncio.ensure_future(server.servers.update([]))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(drain_s):
            while not tap.quiet:  # noqa: ASYNC110  # ends with the flows, which mitmproxy runs
                await asyncio.sleep(_POLL_S)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LAST_BYTES_S):
            while server.connections:  # noqa: ASYNC110  # connections that clients keep open are closed by the end
                await asyncio.sleep(_POLL_S)
    closing.cancel()


class _Lines(logging.Handler):
    """Keeps the last few error lines."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(record.getMessage().splitlines()[0] if record.getMessage() else "")
        del self._lines[:-8]


@contextlib.contextmanager
def _quiet_logs() -> Any:
    """mitmproxy logs to the root logger; what matters of it reaches the user as our own errors and counts."""
    lines: list[str] = []
    handler = _Lines(lines)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield lines
    finally:
        root.removeHandler(handler)
