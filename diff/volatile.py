"""The visible lists of response headers whose values say nothing about behaviour, and how each is still checked.

Kept short on purpose: what a service itself makes noisy (ETag, Last-Modified, Set-Cookie values) is learned from the
current build and its reference, not listed here.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "FRAMING_HEADERS",
    "VOLATILE_HEADERS",
    "VOLATILE_PREFIXES",
    "is_request_id",
    "is_volatile",
]

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
"""Not compared, neither presence nor value; of Connection only whether the connection ends with the answer."""

_REQUEST_IDS: Final[frozenset[str]] = frozenset(
    {
        "cf-ray",
        "request-id",
        "x-amz-cf-id",
        "x-amz-id-2",
        "x-amz-request-id",
        "x-amzn-requestid",
        "x-amzn-trace-id",
        "x-correlation-id",
        "x-github-request-id",
        "x-ms-request-id",
        "x-request-id",
        "x-trace-id",
    }
)
"""Ids that a service makes for each request or hands back: volatile; `diff/request_ids.py` looks whether they are."""

VOLATILE_HEADERS: Final[frozenset[str]] = _REQUEST_IDS | {
    "age",
    "date",
    "server-timing",
    "traceparent",
    "tracestate",
    "x-cloud-trace-context",
    "x-datadog-trace-id",
    "x-envoy-upstream-service-time",
    "x-process-time",
    "x-request-start",
    "x-response-time",
    "x-runtime",
    "x-timer",
}
"""Another value every time: presence, and being empty or not, are compared; the value is not. Of Server-Timing the
names of the metrics are compared as well."""

VOLATILE_PREFIXES: Final[tuple[str, ...]] = ("x-b3-",)


def is_volatile(name: str) -> bool:
    """True for the lower-case name of a header whose value is another one every time."""
    return name in VOLATILE_HEADERS or name.startswith(VOLATILE_PREFIXES)


def is_request_id(name: str) -> bool:
    """True for the lower-case name of a header with an id that is one request's own."""
    return name in _REQUEST_IDS
