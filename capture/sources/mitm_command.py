"""`understudy capture mitm`: the command line of mitmproxy as a source."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.clock import Clock
from capture.config import build
from capture.errors import UsageError
from capture.options import capture_options, capture_settings, reloader
from capture.pipeline import Pipeline, with_redaction_key
from capture.settings import GuardConfig, MitmConfig
from capture.sources.recording import Stop, record

__all__ = ["mitm"]


@click.command("mitm", cls=Command, drains=True)
@click.option(
    "--mode",
    multiple=True,
    metavar="MODE",
    help="As mitmproxy's own: reverse:https://HOST, regular, transparent, upstream:..., socks5; @HOST:PORT says where.",
)
@click.option("--set", "options", multiple=True, metavar="NAME=VALUE", help="Any other option of mitmproxy.")
@click.option("--confdir", type=click.Path(path_type=Path), help="Directory of mitmproxy's CA; its own by default.")
@click.option("--drain-seconds", type=float, metavar="S", help="How long a stop waits for what is under way; 25.")
@capture_options
@click.pass_context
def mitm(ctx: click.Context, /, **arguments: Any) -> None:
    """Capture through mitmproxy, in any of its modes: TLS, HTTP/2, gRPC, forward and transparent proxies.

    Prints `listening on H:P` for each address once it accepts. SIGTERM or SIGINT drains, seals the log and prints the
    conservation line; SIGHUP reads sampling, redaction and budgets again. HTTP/1.1 trailers cannot pass mitmproxy;
    where they are used, take `capture relay`.
    """
    settings = settings_of(ctx)
    given = {name: arguments[name] or None for name in ("mode", "options", "confdir")}
    config = build(MitmConfig, "mitm", settings, {**given, "drain_seconds": arguments["drain_seconds"]})
    if not config.mode:
        raise UsageError("--mode is missing; for example --mode reverse:http://127.0.0.1:8000@127.0.0.1:8080")
    try:
        from capture.sources.mitm import MitmPlan, serve_mitm
    except ImportError as error:
        raise UsageError(f"mitmproxy is not installed ({error}); pip install 'understudy[mitm]'") from None
    chosen = capture_settings(settings, arguments)
    chosen = dataclasses.replace(chosen, capture=with_redaction_key(chosen.capture))
    plan = MitmPlan(
        modes=config.mode,
        body_bytes_max=chosen.capture.body_bytes_max,
        options=config.options,
        confdir=config.confdir,
        drain_s=config.drain_seconds,
    )

    async def serve(pipeline: Pipeline, clock: Clock, stop: Stop) -> None:
        await serve_mitm(plan, pipeline, clock, stop, lambda address: _say(f"listening on {address}"))

    guard = build(GuardConfig, "guard", settings)
    # What mitmproxy itself takes is the traffic's, not capture's; of the budgets only rate, memory and disk apply.
    meta = {"source": "mitm", "mode": list(plan.modes)}
    reload = reloader(ctx, arguments, chosen)
    counts = record(chosen, meta, serve, guard=guard, capture_ns=lambda: 0, reload=reload)
    _say(counts.line())


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
