"""The builds of a run: their names, roles, addresses and what is injected into the requests that they get."""

from __future__ import annotations

import dataclasses
import fnmatch
import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from capture.config import Settings, nearest
from capture.errors import UsageError
from replay.clients.base import Endpoint, endpoint_of
from replay.hook import resolved_hook
from replay.outcome import Role
from replay.settings import ClientKind

__all__ = ["Build", "Guard", "Resolve", "builds_of", "captured_address_refusal"]

Resolve: TypeAlias = Callable[[str], Sequence[str]]
"""The IP addresses of a host, none where it has none; of the path of a unix socket, the path that it leads to."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_KEYS = (
    "connections_max",
    "headers",
    "hook",
    "host",
    "passwords",
    "rate_max",
    "tls_certificate",
    "tls_key",
    "tls_name",
)
_UNIX = "unix:"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


@dataclasses.dataclass(frozen=True, slots=True)
class Build:
    """One build to perform on. headers: injected into each request to it. passwords: by user, in place of redacted ones
    (replay/passwords.py). host: for Host; None takes the address.

    tls_certificate, tls_key: PEM files of what it is shown where it asks for a certificate, None for none.
    tls_name: the name to ask for in the handshake and to find in the certificate; None takes the address. hook: where
    the function is that signs each request to it (replay/hook.py), None for none. connections_max: open to it at once,
    None takes `[replay] connections_max`; rate_max: requests a second to it, None for no cap. Both at most. client:
    what speaks to it, "auto" until it was chosen (replay/preflight.py).
    """

    name: str
    role: Role
    url: str
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    host: str | None = None
    tls_name: str | None = None
    hook: str | None = None
    connections_max: int | None = None
    rate_max: float | None = None
    client: ClientKind = "auto"
    tls_certificate: str | None = None
    tls_key: str | None = None
    passwords: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens. Raises UsageError where the URL is not an address."""
        return dataclasses.replace(
            endpoint_of(self.url), tls_name=self.tls_name, certificate=self.tls_certificate, key=self.tls_key
        )


def builds_of(
    current: str,
    candidates: Sequence[str],
    reference: str | None = None,
    settings: Settings | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[Build]:
    """The builds in the order current, reference, candidates, from what the command line says.

    candidates: "URL" or "NAME=URL"; unnamed ones are candidate, candidate-2 and so on. reference: an URL; "" performs
    the current build twice; None none. settings: its [build.NAME] tables give the rest; environ: where
    `${NAME}` in a header's value is looked up. A reference that has no table of its own takes that of the current
    build. Raises UsageError.
    """
    tables = settings.table("build") if settings is not None else {}
    builds = [Build("current", "current", current)]
    if reference is not None:
        builds.append(Build("reference", "reference", reference or current))
    taken = {"current", "reference"}
    unnamed = 0
    for word in candidates:
        name, equals, url = word.partition("=")
        if not equals or "://" in name:
            unnamed += 1
            name, url = "candidate" if unnamed == 1 else f"candidate-{unnamed}", word
        if not _NAME.match(name):
            raise UsageError(f"--candidate {word!r}: a name has letters, digits, '.', '_' and '-' alone")
        if name in taken:
            raise UsageError(f"--candidate {word!r}: there is another build called {name!r}; give each its own name")
        taken.add(name)
        builds.append(Build(name, "candidate", url))
    if not candidates:
        raise UsageError("no candidate: give at least one as --candidate [NAME=]URL")
    unknown = [name for name in tables if name not in taken]
    if unknown and settings is not None:
        raise UsageError(
            f"{settings.where}: [build.{unknown[0]}] is no build of this run; {nearest(unknown[0], [*taken])}"
        )
    where = settings.where if settings is not None else ""
    named = {"reference": tables.get("current", {}), **tables}
    builds = [_with_table(build, named.get(build.name, {}), where, environ or {}) for build in builds]
    for build in builds:
        endpoint_of(build.url)
    return builds


def _with_table(build: Build, table: Any, where: str, environ: Mapping[str, str]) -> Build:
    place = f"{where}: [build.{build.name}]"
    if not isinstance(table, Mapping):
        raise UsageError(f"{place} must be a table")
    for key in table:
        if key not in _KEYS:
            raise UsageError(f"{place}: unknown key {key!r}; {nearest(key, list(_KEYS))}")
    host, tls_name = table.get("host"), table.get("tls_name")
    hook = table.get("hook")
    files = {key: table.get(key) for key in ("tls_certificate", "tls_key")}
    for key, value in (("host", host), ("tls_name", tls_name), ("hook", hook), *files.items()):
        if value is not None and not isinstance(value, str):
            raise UsageError(f"{place} {key}: expected text")

    expanded = _texts(table, "headers", place, environ)
    for name, value in [*expanded.items(), ("host", host or "")]:
        if not re.fullmatch(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", name) or re.search(r"[\x00\r\n]", value):
            raise UsageError(f"{place} headers: {name!r} is not a header that can be sent")
    if hook is not None:
        hook = resolved_hook(hook, f"{place} hook", Path(where).parent)
    if files["tls_key"] is not None and files["tls_certificate"] is None:
        raise UsageError(f"{place} tls_key: means nothing without tls_certificate")
    shown = {key: None if file is None else str(_path(file, where)) for key, file in files.items()}
    connections_max, rate_max = _caps(table, place)
    return dataclasses.replace(
        build, headers=expanded, host=host, tls_name=tls_name, hook=hook, connections_max=connections_max,
        rate_max=rate_max, passwords=_texts(table, "passwords", place, environ),
        tls_certificate=shown["tls_certificate"], tls_key=shown["tls_key"],
    )  # fmt: skip


def _texts(table: Mapping[str, Any], key: str, place: str, environ: Mapping[str, str]) -> dict[str, str]:
    """A table of texts by name inside a build's table, `${NAME}` taken from the environment."""
    given = table.get(key, {})
    if not isinstance(given, Mapping) or not all(isinstance(value, str) for value in given.values()):
        what = "header names" if key == "headers" else "user names"
        raise UsageError(f"{place} {key}: expected a table of {what} and text values")

    def from_environment(match: re.Match[str]) -> str:
        if match[1] not in environ:
            raise UsageError(f"{place} {key}: the environment has no {match[1]}; set it, or leave the entry out")
        return environ[match[1]]

    return {name: _VARIABLE.sub(from_environment, value) for name, value in given.items()}


def _path(file: str, where: str) -> Path:
    """A file that is named in the configuration, relative to it."""
    return (Path(where).parent / Path(file).expanduser()).absolute()


def _caps(table: Mapping[str, Any], place: str) -> tuple[int | None, float | None]:
    """connections_max and rate_max of a build's table."""
    connections, rate = table.get("connections_max"), table.get("rate_max")
    if connections is not None and (type(connections) is not int or connections < 1):
        raise UsageError(f"{place} connections_max: expected a whole number of at least 1, found {connections!r}")
    if rate is not None and (type(rate) not in (int, float) or not math.isfinite(rate) or rate <= 0):
        raise UsageError(f"{place} rate_max: expected a positive number of requests a second, found {rate!r}")
    return connections, None if rate is None else float(rate)


def _written(host: str) -> tuple[str, ...]:
    """A host in lower case, and as it is usually written."""
    name = host.lower().strip("[]").rstrip(".")
    ip = _address(name)
    return (name,) if ip is None else (name, str(ip))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address, that of IPv4 where it is one mapped into IPv6; None for a name."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip


def _normal(address: str) -> tuple[str, str]:
    if address.startswith(_UNIX):
        return _UNIX, address.removeprefix(_UNIX)
    host, _, port = address.lower().rpartition(":")
    host = host.strip("[]").rstrip(".")
    if host in ("localhost", "ip6-localhost", "0.0.0.0", "::", "*", ""):
        return "loopback", port
    ip = _address(host)
    if ip is None:
        return host, port
    return ("loopback" if ip.is_loopback else str(ip)), port


def captured_address_refusal(
    builds: Sequence[Build],
    captured: Sequence[str],
    deny_hosts: Sequence[str],
    allowed: bool,
    resolve: Resolve = lambda host: (),
) -> str | None:
    """One line that says why these builds must not be sent to, None where they may.

    captured: "host:port" or "unix:PATH" that the log was captured from. deny_hosts: names, addresses or patterns of
    them. allowed: said twice. resolve: the IP addresses of a host, none where it has none; two names of one address
    are one.
    """
    known = {other for address in captured for other in _spellings(address, resolve)}
    for build in builds:
        endpoint = build.endpoint
        hosts = () if endpoint.unix is not None else (endpoint.host, *resolve(endpoint.host))
        for pattern in deny_hosts:
            if any(fnmatch.fnmatchcase(name, pattern.lower()) for host in hosts for name in _written(host)):
                return f"{build.name} {build.url} is denied by [replay] deny_hosts {pattern!r}; nothing was sent"
        if not allowed and not known.isdisjoint(_spellings_of(build, resolve)):
            return (
                f"{build.name} {build.url} is the address that the log was captured from; nothing was sent. Replay"
                " on another, or give --allow-captured-address twice if it is not production"
            )
    return None


class Guard:
    """Tells whether a captured exchange came from one of the builds, whose names are looked up once."""

    def __init__(self, builds: Sequence[Build], resolve: Resolve) -> None:
        self._builds = {other for build in builds for other in _spellings_of(build, resolve)}
        self._known: dict[str, bool] = {}

    def __call__(self, server: str) -> bool:
        """server: "host:port" or "unix:PATH", as `Exchange.server` has it; a name is taken as it is written."""
        known = self._known.get(server)
        if known is None:
            if len(self._known) > 10_000:
                self._known.clear()
            known = self._known[server] = _normal(server) in self._builds
        return known


def _spellings_of(build: Build, resolve: Resolve) -> set[tuple[str, str]]:
    endpoint = build.endpoint
    return _spellings(endpoint.address if endpoint.unix is None else f"{_UNIX}{endpoint.unix}", resolve)


def _spellings(address: str, resolve: Resolve) -> set[tuple[str, str]]:
    """An address as it is written, and as its name resolves."""
    if address.startswith(_UNIX):
        path = address.removeprefix(_UNIX)
        return {(_UNIX, path), *((_UNIX, real) for real in resolve(path))}
    host, _, port = address.rpartition(":")
    if not host:
        return set()
    return {_normal(address), *(_normal(f"{ip}:{port}") for ip in resolve(host.strip("[]")))}
