"""TLS at either side of the relay: certificates for clients, renewed on SIGHUP, and a verified connection upstream."""

from __future__ import annotations

import dataclasses
import ssl
from pathlib import Path

from capture.errors import BadInput

__all__ = ["Terminator", "TlsOptions", "upstream_context"]


@dataclasses.dataclass(frozen=True, slots=True)
class TlsOptions:
    """How TLS is spoken; None for cert means that client bytes are passed as they come.

    cert, key: PEM files; the key may be in the file of the certificate. upstream: speak TLS to the upstream.
    upstream_ca: PEM file to verify it with, None for the system's. upstream_name: name that its certificate must have,
    None for the host that is connected to. alpn: protocols that clients may choose from; of those that a client offers
    the first one here is taken. The relay does not translate, so the upstream must speak it: a client that offers
    HTTP/1.1 gets that, and one that offers HTTP/2 alone, as gRPC does, means a service that speaks it.
    """

    cert: Path | None = None
    key: Path | None = None
    upstream: bool = False
    upstream_ca: Path | None = None
    upstream_name: str | None = None
    alpn: tuple[str, ...] = ("http/1.1", "h2")

    def upstream_alpn(self, chosen: str | None) -> list[str]:
        """What the upstream is offered; chosen: what the client has chosen, None where it has no such choice."""
        if chosen is not None:
            return [chosen]
        # Nobody said what will be spoken: most likely what was spoken before there was a choice.
        return ["http/1.1"] if "http/1.1" in self.alpn else list(self.alpn)


class Terminator:
    """The certificate for clients. `reload` makes new connections use what the files hold now."""

    def __init__(self, options: TlsOptions) -> None:
        """Raises BadInput where the files cannot be used."""
        assert options.cert is not None
        self._options = options
        self.context = _server_context(options)

    def reload(self) -> None:
        """Read the files again; raises BadInput, and goes on with the old certificate, where they cannot be used."""
        _server_context(self._options)
        # Tried on a new context first: a key that does not fit must not spoil the one that is in use.
        assert self._options.cert is not None
        self.context.load_cert_chain(self._options.cert, self._options.key)


def _server_context(options: TlsOptions) -> ssl.SSLContext:
    assert options.cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(options.alpn))
    try:
        context.load_cert_chain(options.cert, options.key)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"--tls-cert: {options.cert}: {_reason(error)}") from None
    return context


def upstream_context(options: TlsOptions) -> ssl.SSLContext:
    """A context that verifies the upstream; raises BadInput where the authorities cannot be read."""
    try:
        return ssl.create_default_context(cafile=None if options.upstream_ca is None else str(options.upstream_ca))
    except (OSError, ssl.SSLError) as error:
        raise BadInput(f"--upstream-ca: {options.upstream_ca}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return str(error.strerror or error.args[-1]) if not isinstance(error, ssl.SSLError) else "not a PEM file that fits"
