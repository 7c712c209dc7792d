"""The preflight: is every build there before anything is sent to any of them?"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from capture.clock import Clock
from capture.errors import RunFailed
from capture.exchange import Request
from replay.builds import Build
from replay.clients.base import Endpoint, Job, Limits, tls_context
from replay.clients.choose import client_for
from replay.hook import HookFailed, load_hook, signed
from replay.settings import ClientKind

__all__ = ["preflight"]


async def preflight(
    builds: Sequence[Build], limits: Limits, path: str | None = None, kind: ClientKind = "auto"
) -> None:
    """Connect to every build and close again; with a path, GET it and expect a status below 500.

    kind: the client of the replay. A build that it reaches through a forward proxy may not be reached from here at all,
    so then the connection is to the proxy.

    Raises RunFailed naming each build that does not answer.
    """
    found = await asyncio.gather(*(_problem(build, limits, path, kind) for build in builds))
    problems = [f"{build.name} {build.url}: {problem}" for build, problem in zip(builds, found, strict=True) if problem]
    if problems:
        raise RunFailed(
            f"the preflight failed, nothing was sent: {'; '.join(problems)}. Start it, or give --no-preflight"
        )


async def _problem(build: Build, limits: Limits, path: str | None, kind: ClientKind) -> str | None:
    endpoint = build.endpoint
    proxy = _proxy_of(endpoint) if kind == "aiohttp" else None
    problem = await _not_there(endpoint if proxy is None else proxy, limits)
    if problem is not None:
        return problem if proxy is None else f"its proxy {proxy.address}: {problem}"
    return None if path is None else await _get(build, limits, path, kind)


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


async def _not_there(endpoint: Endpoint, limits: Limits) -> str | None:
    """Connect and close again; what stood against it."""
    try:
        async with asyncio.timeout(limits.connect_timeout_ns / 1e9):
            if endpoint.unix is not None:
                _, writer = await asyncio.open_unix_connection(endpoint.unix)
            else:
                context = tls_context(limits) if endpoint.tls else None
                _, writer = await asyncio.open_connection(
                    endpoint.host, endpoint.port, ssl=context, server_hostname=_name(endpoint) if context else None
                )
            writer.transport.abort()
    except TimeoutError:
        return f"no connection within {limits.connect_timeout_ns / 1e9:g} s"
    except ConnectionRefusedError:
        return "refuses connections"
    except socket.gaierror as error:
        return f"the name does not resolve: {error.strerror}"
    except ssl.SSLError as error:
        return f"TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
    except OSError as error:
        return error.strerror or str(error)
    return None


def _name(endpoint: Endpoint) -> str:
    return endpoint.tls_name or endpoint.host


async def _get(build: Build, limits: Limits, path: str, kind: ClientKind) -> str | None:
    client = client_for("aiohttp" if kind == "aiohttp" else "wire", build.endpoint, limits, Clock())
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
