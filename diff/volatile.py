"""The visible lists of response headers whose values say nothing about behaviour, and how each is still checked.

Kept short on purpose: what a service itself makes noisy (ETag, Last-Modified, Set-Cookie values) is learned from the
current build and its reference, not listed here.
"""

from __future__ import annotations

from typing import Final

__all__ = ["FRAMING_HEADERS", "VOLATILE_HEADERS", "VOLATILE_PREFIXES", "is_volatile"]

FRAMING_HEADERS: Final[frozenset[str]] = frozenset(
    {
        # Of one connection, not of the response (RFC 9110, section 7.6.1; RFC 9112, sections 6 and 7).
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        # The length of a body that is itself compared. Where both bodies are empty (HEAD, 304) it is compared.
        "content-length",
    }
)
"""Not compared at all, neither presence nor value."""

VOLATILE_HEADERS: Final[frozenset[str]] = frozenset(
    {
        "age",
        "date",
        "request-id",
        "traceparent",
        "tracestate",
        "x-amz-id-2",
        "x-amz-request-id",
        "x-amzn-requestid",
        "x-amzn-trace-id",
        "x-amz-cf-id",
        "x-cloud-trace-context",
        "x-correlation-id",
        "x-datadog-trace-id",
        "x-envoy-upstream-service-time",
        "x-github-request-id",
        "x-ms-request-id",
        "x-process-time",
        "x-request-id",
        "x-request-start",
        "x-response-time",
        "x-runtime",
        "x-timer",
        "x-trace-id",
        "cf-ray",
        "server-timing",
    }
)
"""Another value every time: presence, and being empty or not, are compared; the value is not. Of Server-Timing the
names of the metrics are compared as well."""

VOLATILE_PREFIXES: Final[tuple[str, ...]] = ("x-b3-",)


def is_volatile(name: str) -> bool:
    """True for the lower-case name of a header whose value is another one every time."""
    return name in VOLATILE_HEADERS or name.startswith(VOLATILE_PREFIXES)
