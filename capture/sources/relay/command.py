"""`understudy capture relay`: the sidecar's command line."""

from __future__ import annotations

import socket
import sys
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.config import build
from capture.errors import UsageError
from capture.options import capture_options, capture_settings
from capture.settings import RelayConfig
from capture.sources.relay.address import Address, parse_address
from capture.sources.relay.run import RelayRun, run_relay
from capture.sources.relay.server import RelayOptions, bind

__all__ = ["relay"]


@click.command("relay", cls=Command)
@click.option("--listen", metavar="H:P", help="Where clients connect; port 0 takes a free one; or unix:PATH.")
@click.option("--upstream", metavar="H:P", help="The service behind it; or unix:PATH.")
@click.option("--admin", metavar="H:P", help="Where health and metrics are served; nowhere by default.")
@click.option("--workers", type=int, metavar="N", help="Processes that share the port; 1 by default.")
@click.option("--drain-seconds", type=float, metavar="S", help="How long a stop waits for what is under way; 25.")
@capture_options
@click.pass_context
def relay(ctx: click.Context, /, **arguments: Any) -> None:
    """Pass bytes between clients and a service, and capture a sample of the exchanges into a log.

    Prints `listening on H:P` once it accepts. SIGTERM or SIGINT drains, seals the log and prints the conservation
    line; a second signal does not wait for connections.
    """
    settings = settings_of(ctx)
    config = build(RelayConfig, "relay", settings, arguments)
    listen, upstream = _address(config.listen, "--listen"), _address(config.upstream, "--upstream")
    run = RelayRun(RelayOptions(listen, upstream), capture_settings(settings, arguments), config.drain_seconds)
    sockets = bind(listen, "--listen")
    _refuse_itself(sockets, upstream)
    where = listen if listen.path is not None else Address(listen.host, sockets[0].getsockname()[1])
    counts = run_relay(run, sockets, lambda: _say(f"listening on {where}"))
    _say(counts.line())


def _address(text: str | None, option: str) -> Address:
    if text is None:
        raise UsageError(f"{option} is missing; give it, or {option[2:]} in [relay] of the configuration file")
    return parse_address(text, option)


def _refuse_itself(sockets: list[socket.socket], upstream: Address) -> None:
    """Refuse an upstream that is one of our own listeners: each connection would open the next, without end."""
    for sock in sockets:
        name = sock.getsockname()
        if sock.family == socket.AF_UNIX:
            itself = name == upstream.path
        else:
            every = name[0] in ("0.0.0.0", "::") and upstream.host in ("localhost", "127.0.0.1", "::1", name[0])
            itself = upstream.path is None and name[1] == upstream.port and (every or name[0] == upstream.host)
        if itself:
            raise UsageError(f"--listen and --upstream are both {upstream}; the relay would call itself")


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
