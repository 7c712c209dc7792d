"""`understudy capture relay`: the sidecar's command line."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import click

from capture.admin import AdminServer, AdminSource
from capture.cli import Command, settings_of
from capture.config import build
from capture.conservation import Conservation
from capture.errors import UsageError
from capture.options import capture_options, capture_settings, reloader
from capture.pipeline import with_redaction_key
from capture.settings import GuardConfig, RelayConfig
from capture.sources.relay.address import Address, parse_address
from capture.sources.relay.messages import say, set_up_messages
from capture.sources.relay.probe import upstream_answers
from capture.sources.relay.run import RelayRun, Worker, run_relay
from capture.sources.relay.server import RelayOptions, bind
from capture.sources.relay.tls import Terminator, TlsOptions, upstream_context
from capture.sources.relay.workers import Fleet

__all__ = ["relay"]

_PATH = click.Path(path_type=Path)


@click.command("relay", cls=Command, drains=True)
@click.option("--listen", metavar="H:P", help="Where clients connect; port 0 takes a free one; or unix:PATH.")
@click.option("--upstream", metavar="H:P", help="The service behind it; or unix:PATH.")
@click.option("--admin", metavar="H:P", help="Where health and metrics are served; nowhere by default.")
@click.option("--workers", type=int, metavar="N", help="Processes that share the port; 1 by default.")
@click.option("--drain-seconds", type=float, metavar="S", help="How long a stop waits for what is under way; 25.")
@click.option("--proxy-protocol-in", is_flag=True, default=None, help="Read who the client is from a PROXY header.")
@click.option("--proxy-protocol-out", type=click.Choice(["v1", "v2"]), help="Send the upstream a PROXY header.")
@click.option("--tls-cert", type=_PATH, help="PEM file: terminate TLS; read again on SIGHUP.")
@click.option("--tls-key", type=_PATH, help="PEM file of its key, where that is not in the same file.")
@click.option("--alpn", multiple=True, metavar="NAME", help="Protocols that TLS clients may choose; http/1.1, then h2.")
@click.option("--upstream-tls", is_flag=True, default=None, help="Speak TLS to the upstream, and verify it.")
@click.option("--upstream-ca", type=_PATH, help="PEM file of authorities for it; the system's by default.")
@click.option("--upstream-name", metavar="NAME", help="Name that its certificate must have; its host by default.")
@click.option("--admin-changes", is_flag=True, default=None, help="Take PUT /sampling from every address.")
@click.option("--scribe", type=click.Choice(["on", "off"]), help="Redact and write in a process of its own; off.")
@click.option("--messages", type=click.Choice(["text", "json"]), help="Form of the lines on stderr; text.")
@capture_options
@click.pass_context
def relay(ctx: click.Context, /, **arguments: Any) -> None:
    """Pass bytes between clients and a service, and capture a sample of the exchanges into a log.

    Prints `listening on H:P` once it accepts. SIGTERM or SIGINT drains, seals the log and prints the conservation
    line; a second signal does not wait for connections. SIGHUP reads certificates, sampling, redaction and budgets
    again. `PUT /sampling` on the admin address changes the sampling.
    """
    settings = settings_of(ctx)
    arguments["alpn"] = arguments["alpn"] or None
    config = build(RelayConfig, "relay", settings, arguments)
    set_up_messages(config.messages)
    options = _options(config)
    captured = capture_settings(settings, arguments)
    captured = dataclasses.replace(captured, capture=with_redaction_key(captured.capture))
    guard = build(GuardConfig, "guard", settings)
    run = RelayRun(
        options,
        captured,
        guard,
        config.drain_seconds,
        reloader(ctx, arguments, captured),
        scribe=config.scribe == "on",
        messages=config.messages,
    )
    sockets = [bind(options.listen, "--listen", reuse_port=config.workers > 1)]
    _refuse_itself(sockets[0], options.upstream)
    where = options.listen
    if where.path is None:
        where = Address(where.host, sockets[0][0].getsockname()[1])
    admin_where = parse_address(config.admin, "--admin") if config.admin is not None else None
    admin = _Admin(admin_where, options.upstream, config.admin_changes)
    try:
        if config.workers > 1:
            if where.path is not None:
                raise UsageError("--workers: several processes cannot share a unix socket; listen on a port")
            sockets += [bind(where, "--listen", reuse_port=True) for _ in range(config.workers - 1)]
            counts = _run_fleet(Fleet(run, sockets, config.messages), admin, where)
        else:
            counts = _run_one(run, sockets[0], admin, where)
    finally:
        admin.remove()
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


def _run_one(run: RelayRun, sockets: list[socket.socket], admin: _Admin, where: Address) -> Conservation:
    async def on_listening(worker: Worker) -> None:
        await admin.serve(worker.state, lambda: worker.relay.draining, worker.change_sampling)
        _announce(where, run, 1)

    return run_relay(run, sockets, on_listening)


def _run_fleet(fleet: Fleet, admin: _Admin, where: Address) -> Conservation:
    async def on_listening(fleet: Fleet) -> None:
        await admin.serve(fleet.state, lambda: fleet.stopping, fleet.change_sampling)
        _announce(where, fleet.run, fleet.size)

    try:
        return asyncio.run(fleet.serve(on_listening))
    finally:
        fleet.close()


class _Admin:
    """The admin address: bound at once, None for none; what readiness asks for, and who may change the sampling."""

    def __init__(self, where: Address | None, upstream: Address, open_to_all: bool) -> None:
        self._path = where.path if where is not None else None
        self._sockets = bind(where, "--admin") if where is not None else []
        self._upstream = upstream
        self._open_to_all = open_to_all

    async def serve(
        self,
        state: Callable[[], dict[str, Any]],
        draining: Callable[[], bool],
        sampling: Callable[[Mapping[str, Any] | None], Awaitable[dict[str, Any]]],
    ) -> None:
        """Serve in the running loop, and say where."""

        async def ready() -> str | None:
            return "draining" if draining() else await upstream_answers(self._upstream)

        async def latest() -> dict[str, Any]:
            return state()

        if self._sockets:
            source = AdminSource(latest, ready, lambda: _degraded(state()), sampling, self._open_to_all)
            await AdminServer(source).start(self._sockets)
            name = self._sockets[0].getsockname()
            say("admin address", listen=str(Address(*name[:2]) if self._path is None else Address(path=self._path)))

    def remove(self) -> None:
        """Remove the file of a unix socket."""
        if self._path is not None:
            Path(self._path).unlink(missing_ok=True)


def _degraded(now: dict[str, Any]) -> str:
    reasons = sorted(now["guard_reasons"]) + (["log"] if now["log_failing"] else [])
    given_up = [f"capture off ({reason})" for reason in reasons]
    return ", ".join([*given_up, *(["configuration not reloaded"] if now["reload_failed"] else [])])


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
