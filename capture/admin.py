"""The admin address: health for probes and metrics in the Prometheus text format, on a tiny HTTP responder of its own.

    /livez /healthz   200 while the process answers; /healthz says what capture has given up
    /readyz           200 while traffic is accepted and the upstream takes connections, else 503 with the reason
    /metrics          Prometheus text format 0.0.4
    /sampling         how sessions are chosen now, as JSON; PUT changes it, where that is allowed

One request a connection, and at most a few kilobytes of anything are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import json
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

import msgspec

from capture.errors import UsageError

__all__ = ["AdminServer", "AdminSource", "Answer", "render_metrics"]

_HEAD_BYTES_MAX = 8192
_READ_S = 5.0
_CONNECTIONS_MAX = 64
_BODY_BYTES_MAX = 4096
_REASONS = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    503: "Service Unavailable",
}
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """Status code and text of one answer."""

    status: int
    text: str
    content_type: str = "text/plain; charset=utf-8"


@dataclasses.dataclass(frozen=True, slots=True)
class AdminSource:
    """Where the answers come from.

    state: the merged state of all processes (see `render_metrics`). ready: None where traffic is served, else why not.
    degraded: what capture has given up at the moment, "" for nothing. sampling: what holds now (`live.holding`), after
    a change where one is given; raises UsageError for one that cannot be used. open_to_all: take changes from every
    address, not only from this machine.
    """

    state: Callable[[], Awaitable[dict[str, Any]]]
    ready: Callable[[], Awaitable[str | None]]
    degraded: Callable[[], str]
    sampling: Callable[[Mapping[str, Any] | None], Awaitable[dict[str, Any]]]
    open_to_all: bool = False

    async def answer(self, path: str) -> Answer:
        """The answer to GET of a path without its query."""
        if path == "/metrics":
            return Answer(200, render_metrics(await self.state()), _METRICS_TYPE)
        if path == "/livez":
            return Answer(200, "ok\n")
        if path == "/healthz":
            given_up = self.degraded()
            return Answer(200, f"degraded: {given_up}\n" if given_up else "ok\n")
        if path in ("/readyz", "/startupz"):
            reason = await self.ready()
            return Answer(200, "ok\n") if reason is None else Answer(503, f"not ready: {reason}\n")
        if path == "/sampling":
            return _as_json(await self.sampling(None))
        return Answer(404, "not found; there are /livez, /healthz, /readyz, /metrics and /sampling\n")

    async def change(self, path: str, body: bytes) -> Answer:
        """The answer to PUT of a path, from someone who may. 202 where not all workers have followed in time."""
        if path != "/sampling":
            return Answer(405, "only GET and HEAD\n")
        try:
            wanted = msgspec.json.decode(body, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return Answer(400, 'not a JSON object; expected for example {"sample": 0.05}\n')
        try:
            return _as_json(await self.sampling(wanted))
        except UsageError as error:
            return Answer(400, f"{error}\n")


def _as_json(holding: dict[str, Any]) -> Answer:
    status = 200 if holding["workers"] == holding["workers_following"] else 202
    return Answer(status, json.dumps(holding) + "\n", "application/json")


class AdminServer:
    """Serves an AdminSource in the running loop on sockets that are bound already."""

    def __init__(self, source: AdminSource) -> None:
        self._source = source
        self._servers: list[asyncio.Server] = []
        self._open = 0

    async def start(self, sockets: list[socket.socket]) -> None:
        for sock in sockets:
            if sock.family == socket.AF_UNIX:
                server = await asyncio.start_unix_server(self._serve, sock=sock, limit=_HEAD_BYTES_MAX)
            else:
                server = await asyncio.start_server(self._serve, sock=sock, limit=_HEAD_BYTES_MAX)
            self._servers.append(server)

    def close(self) -> None:
        for server in self._servers:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            # Reading a head, answering and writing are bounded together: a stuck probe must not hold anything.
            with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_READ_S):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._respond(head, reader, _is_local(writer.get_extra_info("peername"))))
                    await writer.drain()
        finally:
            self._open -= 1
            writer.close()

    async def _respond(self, head: bytes, reader: asyncio.StreamReader, local: bool) -> bytes:
        first, *lines = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            answer = Answer(400, "not a request of HTTP/1\n")
        elif self._open > _CONNECTIONS_MAX:
            answer = Answer(503, "too many connections\n")
        elif words[0] == "PUT":
            answer = await self._change(words[1].partition("?")[0], lines, reader, local)
        elif words[0] not in ("GET", "HEAD"):
            answer = Answer(405, "only GET and HEAD, and PUT of /sampling\n")
        else:
            answer = await self._source.answer(words[1].partition("?")[0])
        body = answer.text.encode()
        made = [
            f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
            f"Content-Type: {answer.content_type}",
            f"Content-Length: {len(body)}",
            "Cache-Control: no-store",
            "Connection: close",
        ]
        response = "\r\n".join([*made, "", ""]).encode("latin-1")
        return response if words[0] == "HEAD" else response + body

    async def _change(self, path: str, lines: list[str], reader: asyncio.StreamReader, local: bool) -> Answer:
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if not (local or self._source.open_to_all):
            return Answer(403, "changes are taken from this machine only; --admin-changes takes them from everywhere\n")
        if "origin" in headers:
            return Answer(403, "changes are not taken from web pages\n")
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or "transfer-encoding" in headers:
            return Answer(411, "the body needs a Content-Length\n")
        if len(length) > 9 or int(length) > _BODY_BYTES_MAX:
            return Answer(413, f"the body may have {_BODY_BYTES_MAX} bytes\n")
        return await self._source.change(path, await reader.readexactly(int(length)))


def _is_local(peer: object) -> bool:
    """True for a peer on this machine: a loopback address or a unix socket."""
    if not isinstance(peer, tuple):
        return True
    address = ipaddress.ip_address(str(peer[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


_COUNTERS = (
    ("understudy_connections_total", "accepted", "Client connections accepted."),
    ("understudy_connections_reset_total", "resets", "Connections that ended with a reset or an error."),
    (
        "understudy_upstream_connect_failed_total",
        "connect_failed",
        "Clients reset because the upstream did not accept.",
    ),
    ("understudy_bypassed_connections_total", "bypassed", "Connections relayed without any look at them."),
    ("understudy_log_records_total", "log_written", "Records written to the log."),
    ("understudy_log_bytes_total", "log_bytes", "Bytes written to the log."),
    ("understudy_log_segments_total", "log_segments", "Segments sealed."),
    ("understudy_log_segments_pruned_total", "log_pruned", "Segments removed to stay within the disk budget."),
)
_GAUGES = (
    ("understudy_connections_active", "active", "Client connections that are open."),
    ("understudy_exchanges_in_flight", "in_flight", "Exchanges under way that will be recorded."),
    ("understudy_queue_records", "queue_records", "Records that wait for the log."),
    ("understudy_queue_bytes", "queue_bytes", "Bytes that wait for the log, estimated."),
    ("understudy_sampling_ratio", "sampling_ratio", "Probability with which a session is kept now."),
    ("understudy_capture_core_share", "core_share", "Share of one core that capture took lately."),
    ("understudy_capture_off", "guard_off", "1 while a budget or the watchdog has stopped capture."),
    ("understudy_log_failing", "log_failing", "1 while the disk refuses the log."),
    ("understudy_config_reload_failed", "reload_failed", "1 where the last SIGHUP found something it cannot use."),
    ("understudy_draining", "draining", "1 while connections end and none is accepted."),
    ("understudy_resident_memory_bytes", "rss_bytes", "Resident memory of all processes."),
    ("understudy_workers", "workers", "Processes that relay."),
)


def render_metrics(state: dict[str, Any]) -> str:
    """The Prometheus text of a state; a name that the state does not have is left out.

    Exchanges are counted as seen here once they have a fate, so that in every scrape understudy_exchanges_seen_total is
    the sum of understudy_exchanges_total; those that have none yet are understudy_exchanges_in_flight.
    """
    return "\n".join([*_exchanges(state["counts"]), *_plain(state), *_labelled(state), *_latency(state), *_build(), ""])


def _exchanges(counts: dict[str, Any]) -> Iterator[str]:
    fates = {
        "kept": counts["kept"],
        "sampled_out": counts["sampled_out"],
        "shed": sum(counts["shed"].values()),
        "incomplete": sum(counts["incomplete"].values()),
        "opaque": counts["opaque"],
    }
    yield from _head(
        "understudy_exchanges_seen_total", "counter", "Exchanges, tunnels and unreadable connections seen."
    )
    yield f"understudy_exchanges_seen_total {sum(fates.values())}"
    yield from _head("understudy_exchanges_total", "counter", "What became of them.")
    for fate, count in fates.items():
        yield f'understudy_exchanges_total{{fate="{fate}"}} {count}'
    for kind, text in (("shed", "given up"), ("incomplete", "not seen whole")):
        yield from _head(f"understudy_{kind}_total", "counter", f"Exchanges {text}, by reason.")
        for reason, count in sorted(counts[kind].items()):
            yield f"understudy_{kind}_total{{{_label('reason', reason)}}} {count}"


def _plain(state: dict[str, Any]) -> Iterator[str]:
    for kind, table in (("counter", _COUNTERS), ("gauge", _GAUGES)):
        for name, key, text in table:
            if key in state:
                yield from _head(name, kind, text)
                yield f"{name} {_number(state[key])}"
    if "capture_ns" in state:
        yield from _head("understudy_capture_cpu_seconds_total", "counter", "Processor time that capture has taken.")
        yield f"understudy_capture_cpu_seconds_total {_number(state['capture_ns'] / 1e9)}"


def _labelled(state: dict[str, Any]) -> Iterator[str]:
    for name, key, label, text in (
        ("understudy_capture_errors_total", "capture_errors", "reason", "Errors inside capture; the traffic went on."),
        ("understudy_capture_stops_total", "guard_stops", "reason", "How often a budget stopped capture."),
        ("understudy_log_lost_total", "log_lost", "reason", "Records that the log had taken, and then could not keep."),
        ("understudy_log_errors_total", "log_errors", "error", "Writes that the disk refused."),
    ):
        yield from _head(name, "counter", text)
        for value, count in sorted(state.get(key, {}).items()):
            yield f"{name}{{{_label(label, value)}}} {count}"
    yield from _head("understudy_bytes_total", "counter", "Bytes passed on.")
    for direction, key in (("to_upstream", "client_bytes"), ("to_client", "server_bytes")):
        yield f'understudy_bytes_total{{direction="{direction}"}} {state.get(key, 0)}'


def _latency(state: dict[str, Any]) -> Iterator[str]:
    for name, key, text in (
        ("understudy_added_latency_seconds", "added", "Time of a chunk in this process until it was written on."),
        ("understudy_loop_lag_seconds", "lag", "How late the event loop ran, probed ten times a second."),
    ):
        if key not in state:
            continue
        yield from _head(name, "histogram", text)
        total = 0
        for bound_ns, count in zip([*state[key]["bounds_ns"], None], state[key]["counts"], strict=True):
            total += count
            bound = "+Inf" if bound_ns is None else _number(bound_ns / 1e9)
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {_number(state[key]['sum_ns'] / 1e9)}"
        yield f"{name}_count {total}"


def _build() -> Iterator[str]:
    try:
        version = metadata.version("understudy")
    except metadata.PackageNotFoundError:
        version = "source"
    yield from _head("understudy_build_info", "gauge", "The version that runs.")
    yield f"understudy_build_info{{{_label('version', version)}}} 1"


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.10g}"
