"""`understudy capture relay`: the sidecar's command line."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from capture.admin import AdminServer, AdminSource
from capture.cli import LOADER, Command, settings_of
from capture.config import Settings, build
from capture.conservation import Conservation
from capture.errors import UsageError
from capture.options import capture_options, capture_settings
from capture.pipeline import with_redaction_key
from capture.settings import CaptureConfig, GuardConfig, RelayConfig
from capture.sources.relay.address import Address, parse_address
from capture.sources.relay.messages import say, set_up_messages
from capture.sources.relay.probe import upstream_answers
from capture.sources.relay.run import RelayRun, Reload, Worker, run_relay
from capture.sources.relay.server import RelayOptions, bind
from capture.sources.relay.tls import Terminator, TlsOptions, upstream_context
from capture.sources.relay.workers import Fleet

__all__ = ["relay"]

_PATH = click.Path(path_type=Path)


@click.command("relay", cls=Command)
@click.option("--listen", metavar="H:P", help="Where clients connect; port 0 takes a free one; or unix:PATH.")
@click.option("--upstream", metavar="H:P", help="The service behind it; or unix:PATH.")
@click.option("--admin", metavar="H:P", help="Where health and metrics are served; nowhere by default.")
@click.option("--workers", type=int, metavar="N", help="Processes that share the port; 1 by default.")
@click.option("--drain-seconds", type=float, metavar="S", help="How long a stop waits for what is under way; 25.")
@click.option("--proxy-protocol-in", is_flag=True, default=None, help="Read who the client is from a PROXY header.")
@click.option("--proxy-protocol-out", type=click.Choice(["v1", "v2"]), help="Send the upstream a PROXY header.")
@click.option("--tls-cert", type=_PATH, help="PEM file: terminate TLS; read again on SIGHUP.")
@click.option("--tls-key", type=_PATH, help="PEM file of its key, where that is not in the same file.")
@click.option("--alpn", multiple=True, metavar="NAME", help="Protocol that TLS clients may choose; http/1.1.")
@click.option("--upstream-tls", is_flag=True, default=None, help="Speak TLS to the upstream, and verify it.")
@click.option("--upstream-ca", type=_PATH, help="PEM file of authorities for it; the system's by default.")
@click.option("--upstream-name", metavar="NAME", help="Name that its certificate must have; its host by default.")
@click.option("--messages", type=click.Choice(["text", "json"]), help="Form of the lines on stderr; text.")
@capture_options
@click.pass_context
def relay(ctx: click.Context, /, **arguments: Any) -> None:
    """Pass bytes between clients and a service, and capture a sample of the exchanges into a log.

    Prints `listening on H:P` once it accepts. SIGTERM or SIGINT drains, seals the log and prints the conservation
    line; a second signal does not wait for connections. SIGHUP reads certificates, sampling and budgets again.
    """
    settings = settings_of(ctx)
    arguments["alpn"] = arguments["alpn"] or None
    config = build(RelayConfig, "relay", settings, arguments)
    set_up_messages(config.messages)
    options = _options(config)
    captured = capture_settings(settings, arguments)
    run = RelayRun(
        options,
        dataclasses.replace(captured, capture=with_redaction_key(captured.capture)),
        build(GuardConfig, "guard", settings),
        config.drain_seconds,
        _reloader(ctx, arguments),
    )
    sockets = [bind(options.listen, "--listen", reuse_port=config.workers > 1)]
    _refuse_itself(sockets[0], options.upstream)
    where = options.listen
    if where.path is None:
        where = Address(where.host, sockets[0][0].getsockname()[1])
    admin = bind(parse_address(config.admin, "--admin"), "--admin") if config.admin is not None else []
    try:
        if config.workers > 1:
            if where.path is not None:
                raise UsageError("--workers: several processes cannot share a unix socket; listen on a port")
            sockets += [bind(where, "--listen", reuse_port=True) for _ in range(config.workers - 1)]
            counts = _run_fleet(Fleet(run, sockets, config.messages), options.upstream, where, admin)
        else:
            counts = _run_one(run, sockets[0], where, admin)
    finally:
        if where.path is not None:
            Path(where.path).unlink(missing_ok=True)
    _print(counts.line())


def _options(config: RelayConfig) -> RelayOptions:
    """The relay's options; raises UsageError or BadInput for addresses and certificates that cannot be used."""
    tls = TlsOptions(
        config.tls_cert, config.tls_key, config.upstream_tls, config.upstream_ca, config.upstream_name, config.alpn
    )
    if tls.cert is not None:
        Terminator(tls)
    if tls.upstream:
        upstream_context(tls)
    elif tls.upstream_ca is not None or tls.upstream_name is not None:
        raise UsageError("--upstream-ca and --upstream-name mean nothing without --upstream-tls")
    listen, upstream = _address(config.listen, "--listen"), _address(config.upstream, "--upstream")
    if tls.upstream and upstream.path is not None and tls.upstream_name is None:
        raise UsageError("--upstream-tls to a unix socket needs --upstream-name, the name to verify")
    return RelayOptions(
        listen, upstream, tls=tls, proxy_in=config.proxy_protocol_in, proxy_out=config.proxy_protocol_out
    )


def _reloader(ctx: click.Context, arguments: dict[str, Any]) -> Callable[[], Reload]:
    """What SIGHUP calls: the file and the environment again, under the same flags."""
    loader: Callable[[Path | None], Settings] | None = ctx.meta.get(LOADER)
    config_path = ctx.meta.get("understudy.config")

    def reload() -> Reload:
        settings = loader(config_path) if loader is not None else Settings()
        capture = build(CaptureConfig, "capture", settings, {"sample": arguments.get("sample")})
        return Reload(capture.sample, build(GuardConfig, "guard", settings))

    return reload


def _run_one(run: RelayRun, sockets: list[socket.socket], where: Address, admin: list[socket.socket]) -> Conservation:
    async def on_listening(worker: Worker) -> None:
        await _serve_admin(admin, worker.state, lambda: worker.relay.draining, run.options.upstream)
        _announce(where, run, 1)

    return run_relay(run, sockets, on_listening)


def _run_fleet(fleet: Fleet, upstream: Address, where: Address, admin: list[socket.socket]) -> Conservation:
    async def on_listening(fleet: Fleet) -> None:
        await _serve_admin(admin, fleet.state, lambda: fleet.stopping, upstream)
        _announce(where, fleet.run, fleet.size)

    try:
        return asyncio.run(fleet.serve(on_listening))
    finally:
        fleet.close()


async def _serve_admin(
    sockets: list[socket.socket], state: Callable[[], dict[str, Any]], draining: Callable[[], bool], upstream: Address
) -> None:
    async def ready() -> str | None:
        if draining():
            return "draining"
        return await upstream_answers(upstream)

    def degraded() -> str:
        now = state()
        reasons = sorted(now["guard_reasons"]) + (["log"] if now["log_failing"] else [])
        return ", ".join(f"capture off ({reason})" for reason in reasons)

    async def latest() -> dict[str, Any]:
        return state()

    if sockets:
        await AdminServer(AdminSource(latest, ready, degraded)).start(sockets)
        host, port = sockets[0].getsockname()[:2] if sockets[0].family != socket.AF_UNIX else ("", 0)
        say("admin address", listen=str(Address(host, port)) if host else "unix")


def _announce(where: Address, run: RelayRun, workers: int) -> None:
    _print(f"listening on {where}")
    say(
        "relaying",
        upstream=run.options.upstream,
        sample=run.settings.capture.sample,
        redact=run.settings.redact.mode,
        log=run.settings.log,
        workers=workers,
    )


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


def _print(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()
