"""Before anything is sent: which client speaks to each build, and is every build there?"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from capture.clock import Clock
from capture.errors import RunFailed
from capture.exchange import Request
from replay.builds import Build
from replay.clients.base import Endpoint, Job, Limits, tls_context
from replay.clients.choose import client_for, kind_for
from replay.clients.dial import NotConnected, dial
from replay.hook import HookFailed, load_hook, signed
from replay.settings import ClientKind

__all__ = ["preflight", "with_clients"]


async def with_clients(builds: Sequence[Build], kind: ClientKind, http2: bool, limits: Limits) -> list[Build]:
    """The builds with the client of each. kind: the user's; http2: what was captured is HTTP/2."""
    kinds = await asyncio.gather(*(kind_for(kind, build.endpoint, http2, limits) for build in builds))
    return [dataclasses.replace(build, client=kind) for build, kind in zip(builds, kinds, strict=True)]


async def preflight(builds: Sequence[Build], limits: Limits, path: str | None = None) -> None:
    """Connect to every build and close again; with a path, GET it and expect a status below 500.

    The builds have their clients. A build that its client reaches through a forward proxy may not be reached from here
    at all, so then the connection is to the proxy.

    Raises RunFailed naming each build that does not answer.
    """
    found = await asyncio.gather(*(_problem(build, limits, path) for build in builds))
    problems = [f"{build.name} {build.url}: {problem}" for build, problem in zip(builds, found, strict=True) if problem]
    if problems:
        raise RunFailed(
            f"the preflight failed, nothing was sent: {'; '.join(problems)}. Start it, or give --no-preflight"
        )


async def _problem(build: Build, limits: Limits, path: str | None) -> str | None:
    endpoint = build.endpoint
    proxy = _proxy_of(endpoint) if build.client == "aiohttp" else None
    if proxy is not None:
        problem = await _not_there(proxy, limits, None)
        if problem is not None:
            return f"its proxy {proxy.address}: {problem}"
    else:
        problem = await _not_there(endpoint, limits, build.client)
        if problem is not None:
            return problem
    return None if path is None else await _get(build, limits, path)


def _proxy_of(endpoint: Endpoint) -> Endpoint | None:
    """The forward proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name for a build; None for none."""
    proxy = getproxies().get("https" if endpoint.tls else "http")
    if not proxy or endpoint.unix is not None or proxy_bypass(endpoint.host):
        return None
    try:
        parts = urlsplit(proxy)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = None
    # aiohttp goes past a proxy that is itself behind TLS. The address is not shown: there may be a password in it.
    if not host or parts.scheme != "http":
        raise RunFailed("the forward proxy of the environment is not one that can be used; write http://HOST:PORT")
    return Endpoint("http", host, port or 80, host)


async def _not_there(endpoint: Endpoint, limits: Limits, kind: ClientKind | None) -> str | None:
    """Connect and close again; what stood against it."""

    async def greet(sock: socket.socket) -> str | None:
        context = tls_context(limits, endpoint, ["h2"] if kind == "h2" else None) if endpoint.tls else None
        name = endpoint.tls_name or endpoint.host
        _, writer = await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=name if context is not None else None
        )
        tls = writer.get_extra_info("ssl_object")
        writer.transport.abort()
        if kind == "h2" and tls is not None and tls.selected_alpn_protocol() != "h2":
            return "it does not speak HTTP/2 here"
        return None

    try:
        return await dial(endpoint, limits, greet)
    except NotConnected as problem:
        if problem.kind == "refused" and "refused" in problem.detail:
            return "refuses connections"
        if problem.kind == "dns":
            return f"the name does not resolve: {problem.detail.removeprefix(f'{endpoint.host}: ')}"
        return f"TLS: {problem.detail}" if problem.kind == "tls" else problem.detail


async def _get(build: Build, limits: Limits, path: str) -> str | None:
    client = client_for(build.client, build.endpoint, limits, Clock())
    answered: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
    await client.open()
    try:
        headers = (("Host", build.host or build.endpoint.authority), ("Accept", "*/*"), *build.headers.items())
        request = Request("GET", path, "HTTP/1.1", headers)
        if build.hook is not None:
            request, _ = signed(load_hook(build.hook, f"[build.{build.name}] hook"), request)
        client.perform(Job(request, answered.set_result))
        job = await answered
    except HookFailed as error:
        return f"its hook failed: {error}"
    finally:
        await client.close()
    if job.failure is not None:
        return f"GET {path}: {job.failure.kind}: {job.failure.detail}"
    assert job.response is not None
    return f"GET {path} answers {job.response.status}" if job.response.status >= 500 else None
