"""An exchange's messages as HTTP/1.1 bytes that frame themselves, for formats that carry raw messages."""

from __future__ import annotations

from capture.exchange import Headers, Request, Response, header

__all__ = ["request_bytes", "response_bytes"]

_BODILESS = (204, 304)


def _framed(headers: Headers, body: bytes, trailers: Headers, *, may_add: bool) -> tuple[Headers, bytes]:
    """Fields and body that agree: chunked where that is what the fields say, else with the length that is there."""
    coding = (header(headers, "transfer-encoding") or "").lower()
    if "chunked" in coding:
        chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
        return headers, chunk + b"0\r\n" + _head(trailers) + b"\r\n"
    declared = header(headers, "content-length")
    if declared is None:
        return ((*headers, ("Content-Length", str(len(body)))) if body and may_add else headers), body
    if declared != str(len(body)) and may_add:
        headers = tuple((n, str(len(body))) if n.lower() == "content-length" else (n, v) for n, v in headers)
    return headers, body


def _head(headers: Headers) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1", "replace")


def _version(version: str) -> str:
    return version if version in ("HTTP/1.0", "HTTP/1.1") else "HTTP/1.1"


def request_bytes(request: Request) -> bytes:
    """The request; one that came over HTTP/2 is written as HTTP/1.1."""
    headers, body = _framed(request.headers, request.body or b"", request.trailers, may_add=True)
    line = f"{request.method} {request.target} {_version(request.version)}\r\n".encode("latin-1", "replace")
    return line + _head(headers) + b"\r\n" + body


def response_bytes(response: Response, method: str) -> bytes:
    """The response to a request of that method: to HEAD, and with 204 and 304, the fields alone."""
    line = f"{_version(response.version)} {response.status} {response.reason}\r\n".encode("latin-1", "replace")
    if method == "HEAD" or response.status in _BODILESS or response.status < 200:
        return line + _head(response.headers) + b"\r\n"
    headers, body = _framed(response.headers, response.body or b"", response.trailers, may_add=True)
    return line + _head(headers) + b"\r\n" + body
