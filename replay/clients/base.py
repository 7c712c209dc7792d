"""What every client shares: the address of a build, the bounds of one request, and the job that it answers."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol
from urllib.parse import quote, unquote, urlsplit

import msgspec

from capture.errors import UsageError
from capture.exchange import Request, Response
from replay.outcome import Failure, FailureKind

__all__ = ["REPEATABLE", "Client", "Endpoint", "Job", "Limits", "endpoint_of", "so_far", "tls_context"]

REPEATABLE: Final = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PUT", "DELETE"))
"""Methods that may be sent a second time where it is not known whether the first was done (RFC 9110 section 9.2.2)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a build listens.

    unix: path of its socket, then host and port only name it. authority: as in Host. tls_name: the name that is asked
    for (SNI) and that the certificate must have; None takes host. certificate, key: PEM files of what it is shown where
    it asks for a certificate; without a key file the key is in the certificate's.
    """

    scheme: str
    host: str
    port: int
    authority: str
    unix: str | None = None
    tls_name: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def tls(self) -> bool:
        """True where the connection is encrypted."""
        return self.scheme == "https"

    @property
    def address(self) -> str:
        """host:port, IPv6 addresses in brackets; for messages and for comparison with Exchange.server."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def endpoint_of(url: str) -> Endpoint:
    """The endpoint of `http://host[:port]`, `https://...`, `h2c://...` or `http+unix://%2Fpath%2Fto.sock`.

    Raises UsageError naming the address where it is none of these, or has a path, a query or credentials.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is not an address of a build: {error}") from None
    if parts.scheme in ("unix", "http+unix") and (parts.scheme == "unix" or not parts.hostname):
        raise UsageError(f"{url!r} is not an address of a build; write http+unix://{quote(parts.path or '/run/x', '')}")
    if parts.scheme not in ("http", "https", "h2c", "http+unix"):
        raise UsageError(f"{url!r} is not an address of a build; write http://HOST[:PORT] or https://HOST[:PORT]")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc or not parts.hostname:
        raise UsageError(
            f"{url!r}: give the address alone, without a path, a query or credentials; the log has the targets"
            " and [build.NAME.headers] in the configuration the credentials"
        )
    if parts.scheme == "http+unix":
        return Endpoint("http", "localhost", 0, "localhost", unquote(parts.netloc))
    standard = 443 if parts.scheme == "https" else 80
    if port == 0:
        raise UsageError(f"{url!r}: port 0 is not an address; name the port that the build listens on")
    host = parts.hostname
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port is None or port == standard else f"{shown}:{port}"
    return Endpoint(parts.scheme, host, port or standard, authority)


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of a client: times in ns, counts per build, bytes per response."""

    timeout_ns: int = 30_000_000_000
    first_byte_timeout_ns: int = 30_000_000_000
    connect_timeout_ns: int = 5_000_000_000
    body_bytes_max: int = 16 << 20
    head_bytes_max: int = 256 << 10
    connections_max: int = 256
    insecure: bool = False
    ca_file: str | None = None


def tls_context(limits: Limits, endpoint: Endpoint, alpn: list[str] | None = None) -> ssl.SSLContext:
    """A client context that verifies name and certificate unless limits.insecure.

    Raises UsageError where a file of certificates or keys cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=limits.ca_file)
    except OSError as error:
        raise UsageError(f"[replay] ca_file {limits.ca_file}: {_unreadable(error)}") from None
    if limits.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if endpoint.certificate is not None:
        files = endpoint.certificate if endpoint.key is None else f"{endpoint.certificate}, tls_key {endpoint.key}"
        try:
            context.load_cert_chain(endpoint.certificate, endpoint.key, _no_password)
        except OSError as error:
            raise UsageError(f"tls_certificate {files}: {_unreadable(error)}") from None
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def _no_password() -> str:
    """Asked for where a key is encrypted; nobody is there to type it."""
    raise UsageError("tls_key: the key is encrypted; give one that is not, readable by you alone")


def _unreadable(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no PEM file of what is needed ({error.reason or error})"
    return error.strerror or str(error)


def so_far(arrived: Response) -> Response:
    """What has come of a response as a response of its own, whatever its length was to be."""
    return msgspec.structs.replace(arrived, body_bytes=len(arrived.body or b""), truncated=False)


class Job:
    """One request on its way through a client, and in the end what came of it.

    The caller sets request and done; done(job) is called exactly once, on the loop, with response or failure set.
    payload: the bytes to send, for a client whose `sends_bytes` is True, then request only says the method; else b"".
    context: whatever the caller wants to have with it. sent_ns stays None where not one byte was handed to a
    connection. Times as in `Outcome`.

    heard: set by the caller for a job that it may leave (`Client.leave`); called each time more of the answer has come,
    with the bytes of its body so far, but not for an answer that is whole at once. stays: likewise, for an answer that
    may have no end; from its first byte on no timeout of the client holds for it, and the cap on bodies does not make
    it fail. left: it was ended because production's client had left. carrier: the client's own.
    """

    __slots__ = (
        "attempts",
        "carrier",
        "context",
        "deadline_ns",
        "done",
        "end_ns",
        "failure",
        "first_byte_ns",
        "heard",
        "left",
        "payload",
        "received_bytes",
        "request",
        "response",
        "reused",
        "sent_bytes",
        "sent_ns",
        "stays",
    )

    def __init__(
        self, request: Request, done: Callable[[Job], None], payload: bytes = b"", context: Any = None
    ) -> None:
        self.request = request
        self.done = done
        self.payload = payload
        self.context = context
        self.sent_ns: int | None = None
        self.first_byte_ns: int | None = None
        self.end_ns = 0
        self.deadline_ns = 0
        self.response: Response | None = None
        self.failure: Failure | None = None
        self.attempts = 1
        self.reused = False
        self.sent_bytes = 0
        self.received_bytes = 0
        self.stays = False
        self.left = False
        self.heard: Callable[[Job, int], None] | None = None
        self.carrier: Any = None

    def answer(self, response: Response, at_ns: int) -> None:
        """End with a response."""
        self.response = response
        self.end_ns = at_ns
        self.done(self)

    def leave(self, arrived: Response, at_ns: int) -> None:
        """End as a client does that listens no longer. arrived: what had come, whatever its length was to be."""
        self.left = True
        self.answer(so_far(arrived), at_ns)

    def fail(self, kind: FailureKind, phase: str, detail: str, at_ns: int, partial: Response | None = None) -> None:
        """End with a failure."""
        self.failure = Failure(kind, phase, detail, partial)
        self.end_ns = at_ns
        self.done(self)


class Client(Protocol):
    """Performs requests on one build; every implementation passes the same conformance suite.

    sends_bytes: True where a job may bring its request as bytes that go on the wire as they are.
    """

    sends_bytes: bool

    async def open(self) -> None:
        """Begin; needs the running loop."""

    def perform(self, job: Job) -> None:
        """Send the job's request, exactly as it is, and call job.done once, from the loop, also on every failure."""

    def peek(self, job: Job) -> Response | None:
        """What has come so far of the answer to a job with `heard`; None before its head, or once it has ended."""

    def leave(self, job: Job, late: str | None = None) -> None:
        """End a job under way: by leaving with what has come, of which there must be the head; or, where `late` says
        what did not come in time, as a timeout. Does nothing where the job has ended, or was not sent yet."""

    async def close(self) -> None:
        """Close all connections; jobs still under way end as failures first."""
