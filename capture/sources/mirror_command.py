"""`understudy capture mirror`: the command line of the sink for mirrored requests."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.clock import Clock
from capture.config import build
from capture.errors import UsageError
from capture.options import capture_options, capture_settings, reloader
from capture.pipeline import Pipeline, with_redaction_key
from capture.settings import CaptureConfig, GuardConfig, MirrorConfig
from capture.sources.mirror import MirrorLimits, MirrorSink
from capture.sources.recording import Stop, record
from capture.sources.relay.address import Address, parse_address
from capture.sources.relay.run import new_loop
from capture.sources.relay.server import bind

__all__ = ["mirror"]


@click.command("mirror", cls=Command, drains=True)
@click.option("--listen", metavar="H:P", help="Where proxies send their copies; port 0 takes a free one; or unix:PATH.")
@capture_options
@click.pass_context
def mirror(ctx: click.Context, /, **arguments: Any) -> None:
    """Record requests that Envoy, Istio, nginx, HAProxy or Traefik mirror; every one is answered 204 at once.

    The log holds requests only; replay compares builds with each other. The client is what X-Forwarded-For says, as
    the peer is always a proxy. Prints `listening on H:P` once it accepts. SIGTERM or SIGINT drains, seals the log and
    prints the conservation line. SIGHUP reads sampling, redaction and budgets again.
    """
    settings = settings_of(ctx)
    config = build(MirrorConfig, "mirror", settings, {"listen": arguments["listen"]})
    if config.listen is None:
        raise UsageError("--listen is missing; give it, or listen in [mirror] of the configuration file")
    chosen = capture_settings(settings, arguments)
    chosen = dataclasses.replace(chosen, capture=with_redaction_key(_behind_proxies(chosen.capture)))
    limits = MirrorLimits(
        body_bytes_max=chosen.capture.body_bytes_max,
        held_bytes_max=config.held_bytes_max,
        connections_max=config.connections_max,
        body_s=config.body_seconds,
    )
    listen = parse_address(config.listen, "--listen")
    sockets = bind(listen, "--listen")
    where = listen if listen.path is not None else Address(listen.host, sockets[0].getsockname()[1])

    async def serve(pipeline: Pipeline, clock: Clock, stop: Stop) -> None:
        sink = MirrorSink(pipeline, clock, limits)
        await sink.start(sockets)
        _say(f"listening on {where}")
        await stop.asked.wait()
        await stop.hurried(sink.drain())

    guard = build(GuardConfig, "guard", settings)
    reload = reloader(ctx, arguments, chosen, _behind_proxies)
    counts = record(chosen, {"source": "mirror", "listen": str(listen)}, serve, new_loop, guard, reload=reload)
    _say(counts.line())


def _behind_proxies(capture: CaptureConfig) -> CaptureConfig:
    """The peer of a mirror is never the client."""
    return dataclasses.replace(capture, trust_forwarded=True)


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
