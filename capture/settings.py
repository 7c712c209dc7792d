"""The typed configuration of the capture room; the sections of `understudy.toml` that it knows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

__all__ = [
    "SECTIONS",
    "CaptureConfig",
    "GuardConfig",
    "LogConfig",
    "MirrorConfig",
    "MitmConfig",
    "RedactConfig",
    "RelayConfig",
]


@dataclasses.dataclass(frozen=True, slots=True)
class CaptureConfig:
    """[capture]: what is observed and how much of it.

    sample: probability in (0, 1] with which a session is kept. session_key: specs of the contract, the first that a
    request carries decides. body_bytes_max: a longer body is cut, its full length kept. redaction_key: hex or text from
    the environment, never from the command line; redaction_key_file: a file that holds it. trust_forwarded: the client
    is what X-Forwarded-For says. rare_factor: a session that begins on a rare route is kept with this multiple of
    `sample`, 1 for no such floor. session_idle_s, sessions_max: how long, and how many, sessions are remembered.
    """

    sample: float = 1.0
    session_key: tuple[str, ...] = ("client",)
    body_bytes_max: int = 1 << 20
    redaction_key: str | None = None
    redaction_key_file: Path | None = None
    trust_forwarded: bool = False
    rare_factor: float = 10.0
    session_idle_s: int = 1800
    sessions_max: int = 65536

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError(f"sample must be a probability from 0 to 1, found {self.sample}")
        if not 1 <= self.rare_factor <= 1000:
            raise ValueError(f"rare_factor must be from 1 (no floor) to 1000, found {self.rare_factor}")
        if self.session_idle_s < 1:
            raise ValueError(f"session_idle_s must be at least 1, found {self.session_idle_s}")
        if self.sessions_max < 1:
            raise ValueError(f"sessions_max must be at least 1, found {self.sessions_max}")
        if self.body_bytes_max < 0:
            raise ValueError(f"body_bytes_max must not be negative, found {self.body_bytes_max}")


@dataclasses.dataclass(frozen=True, slots=True)
class RedactConfig:
    """[redact]: what may leave memory.

    mode: as `--redact`. keep: what must stay readable, as "header:authorization", "json:$.password", "query:token".
    fields: further names of query, form, JSON and XML fields that are secret, plain or as "json:$.user.name".
    headers: further names of secret headers. decoded_bytes_max: a compressed body is decoded up to this length to be
    searched; one that is longer is not kept. work_max: about how many microseconds one exchange may take; a body that
    would take longer is not kept, so that no request can hold up the others. None: 100,000, and thirty times that
    where a process of its own redacts.
    """

    mode: Literal["off", "default", "strict"] = "default"
    keep: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    decoded_bytes_max: int = 8 << 20
    work_max: int | None = None

    def __post_init__(self) -> None:
        for name in ("decoded_bytes_max", "work_max"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, found {value}")


@dataclasses.dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]: how the log is written and where it goes.

    flush_ms, block_bytes: a block is written when its oldest record is that old or it has that many bytes, whichever
    is first. segment_bytes, segment_seconds: when a segment is sealed and the next one begun. fsync: "off", when a
    segment is sealed, or after each flush. disk_bytes_max: budget of the directory, 0 for none; when_full: "prune"
    removes the oldest sealed segments, "stop" refuses and counts. queue_records, queue_bytes: bounds of what waits for
    the writer. level: of zstd. compact: rewrite segments for size once they are sealed. retry_ms: how
    soon writing is tried again after a disk error, doubled up to thirty times that. key: 64 hex digits, from the
    environment; key_file: a file that holds them; encryption is on where either is there. ship_to: URL of an object
    store to which sealed segments are copied; ship_keep: keep the local copy. spool: local directory of a log whose
    location is such an URL.
    """

    flush_ms: int = 250
    block_bytes: int = 512 << 10
    segment_bytes: int = 64 << 20
    segment_seconds: float = 600.0
    fsync: Literal["off", "seal", "flush"] = "seal"
    disk_bytes_max: int = 0
    when_full: Literal["prune", "stop"] = "prune"
    queue_records: int = 1 << 16
    queue_bytes: int = 64 << 20
    level: int = 3
    compact: bool = True
    retry_ms: int = 1000
    key: str | None = None
    key_file: Path | None = None
    ship_to: str | None = None
    ship_keep: bool = True
    spool: Path | None = None

    def __post_init__(self) -> None:
        for name in ("flush_ms", "segment_bytes", "queue_records", "queue_bytes", "retry_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 1 << 10 <= self.block_bytes <= 4 << 20:
            raise ValueError(f"block_bytes must be from 1 KiB to 4 MiB, found {self.block_bytes}")
        if not self.segment_seconds > 0:
            raise ValueError(f"segment_seconds must be above 0, found {self.segment_seconds}")
        if self.disk_bytes_max < 0:
            raise ValueError(f"disk_bytes_max must not be negative, found {self.disk_bytes_max}")
        if not 1 <= self.level <= 19:
            raise ValueError(f"level must be from 1 to 19, found {self.level}")


@dataclasses.dataclass(frozen=True, slots=True)
class RelayConfig:
    """[relay]: the sidecar's own settings; the flags of `capture relay` have the same names.

    listen, upstream, admin: addresses, HOST:PORT or unix:PATH; admin None for none. workers: processes that share the
    port. drain_seconds: how long exchanges under way may still take after SIGTERM. proxy_protocol_in: clients are load
    balancers that say who the client is; proxy_protocol_out: say so to the upstream, in this version.
    tls_cert, tls_key: PEM files with which TLS is terminated. alpn: protocols that clients may choose, the first that
    a client offers is taken; the upstream must speak it. upstream_tls: speak TLS to the upstream, verified with
    upstream_ca (else the system's authorities) for the name upstream_name (else its host). messages: form of the lines
    on stderr. admin_changes: the admin address takes changes (PUT) from every address, and not only from this machine.
    scribe: redact and write the log in a process of its own, one for each worker.
    """

    listen: str | None = None
    upstream: str | None = None
    admin: str | None = None
    workers: int = 1
    drain_seconds: float = 25.0
    proxy_protocol_in: bool = False
    proxy_protocol_out: Literal["v1", "v2"] | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    alpn: tuple[str, ...] = ("http/1.1", "h2")
    upstream_tls: bool = False
    upstream_ca: Path | None = None
    upstream_name: str | None = None
    messages: Literal["text", "json"] = "text"
    admin_changes: bool = False
    scribe: Literal["on", "off"] = "off"

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= 256:
            raise ValueError(f"workers must be from 1 to 256, found {self.workers}")
        if not 0 <= self.drain_seconds <= 86_400:
            raise ValueError(f"drain_seconds must be from 0 to 86400, found {self.drain_seconds}")
        if self.tls_key is not None and self.tls_cert is None:
            raise ValueError("tls_key needs tls_cert beside it")
        if self.tls_cert is not None and self.proxy_protocol_in:
            raise ValueError("proxy_protocol_in cannot be read where tls_cert terminates TLS; end TLS before or behind")
        if not self.alpn or any(not 0 < len(name) < 256 or not name.isascii() for name in self.alpn):
            raise ValueError("alpn must name protocols, for example http/1.1 or h2")


@dataclasses.dataclass(frozen=True, slots=True)
class GuardConfig:
    """[guard]: what capture may take before it gives way; 0 for no limit where that makes sense.

    exchanges_per_s: captured exchanges a second. memory_bytes_max: resident memory of the process, that of its scribe
    included. cpu_share_max: share of one core that capture takes, the log's thread and the scribe included; None: 0.9
    for each of these processes. free_bytes_min: space to be left on the log's disk.
    stall_ms: the event loop may run that late before the watchdog stops capture. cooldown_s: how long a stop lasts.
    """

    exchanges_per_s: float = 0.0
    memory_bytes_max: int = 0
    cpu_share_max: float | None = None
    free_bytes_min: int = 0
    stall_ms: int = 250
    cooldown_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("exchanges_per_s", "memory_bytes_max", "free_bytes_min", "cooldown_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, found {getattr(self, name)}")
        if self.cpu_share_max is not None and not 0 < self.cpu_share_max <= 64:
            raise ValueError(f"cpu_share_max must be above 0, found {self.cpu_share_max}")
        if self.stall_ms < 1:
            raise ValueError(f"stall_ms must be at least 1, found {self.stall_ms}")


@dataclasses.dataclass(frozen=True, slots=True)
class MirrorConfig:
    """[mirror]: the sink for mirrored requests.

    listen: HOST:PORT or unix:PATH. connections_max: further connections are refused. held_bytes_max: bodies under way
    together. body_seconds: how long a body may take to arrive.
    """

    listen: str | None = None
    connections_max: int = 1024
    held_bytes_max: int = 64 << 20
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connections_max", "held_bytes_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, found {getattr(self, name)}")
        if not 0 < self.body_seconds <= 3600:
            raise ValueError(f"body_seconds must be above 0 and at most 3600, found {self.body_seconds}")


@dataclasses.dataclass(frozen=True, slots=True)
class MitmConfig:
    """[mitm]: mitmproxy as a source.

    mode: as mitmproxy's --mode, one or several. options: "name=value" as its --set. confdir: directory of its CA, None
    for mitmproxy's own default. drain_seconds: how long flows under way may still take after SIGTERM.
    """

    mode: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    confdir: Path | None = None
    drain_seconds: float = 25.0

    def __post_init__(self) -> None:
        if not 0 <= self.drain_seconds <= 86_400:
            raise ValueError(f"drain_seconds must be from 0 to 86400, found {self.drain_seconds}")


SECTIONS: dict[str, type | None] = {
    "capture": CaptureConfig,
    "redact": RedactConfig,
    "log": LogConfig,
    "relay": RelayConfig,
    "guard": GuardConfig,
    "mirror": MirrorConfig,
    "mitm": MitmConfig,
}
