"""One curl command a request, for bash and its like, that sends the same method, target, fields and body."""

from __future__ import annotations

import base64
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator

from capture.exchange import Exchange, Request, header
from capture.log.exporters.har import origin_of

__all__ = ["command_of", "write"]

_HOP = frozenset(
    ("connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_ARGUMENT_BYTES_MAX = 100_000
_OWN_FIELDS = ("Accept", "User-Agent")


def _plain(text: str) -> bool:
    """True for text that may stand in a command line: nothing that a shell or a terminal would act on in quotes."""
    return text.isascii() and all(c.isprintable() or c in "\n\t" for c in text)


def _fits_a_line(text: str) -> bool:
    """True where it can stand in a request line: no blanks and no control characters."""
    return bool(text) and not any(c <= " " or c == "\x7f" for c in text)


def _join(words: list[str]) -> str:
    """A command line; bytes that are not plain text are written as bash's $'\\OOO', so the line itself is ASCII."""
    return " ".join(shlex.quote(word) if _plain(word) else _ansi(word) for word in words)


def _ansi(word: str) -> str:
    escaped = "".join(c if c.isascii() and c.isprintable() and c not in "'\\" else f"\\{ord(c):03o}" for c in word)
    return f"$'{escaped}'"


def command_of(exchange: Exchange) -> str | None:
    """The command, one line but for line feeds in a body; None where its bytes cannot stand in a command line."""
    request = exchange.request
    target, origin = request.target, origin_of(exchange)
    if not _fits_a_line(target) or not _plain(origin) or not _fits_a_line(origin) or not request.method.isascii():
        return None
    words = ["curl", "--silent", "--show-error", "--include", "--path-as-is", "--globoff"]
    words += ["--head"] if request.method == "HEAD" else ["--request", request.method]
    if request.version == "HTTP/1.0":
        words.append("--http1.0")
    if target.startswith("/") and _plain(target):
        url = origin + target
    else:
        # Of an address curl would send the path alone, and encode what is no ASCII.
        url = origin + "/"
        words += ["--request-target", target]
    for name, value in request.headers:
        if name.lower() in _HOP:
            continue
        if any(c in name + value for c in "\0\r\n"):
            return None
        words += ["--header", f"{name}: {value}" if value else f"{name};"]
    # What curl would add by itself and the client did not send.
    added = [*_OWN_FIELDS, "Content-Type"] if request.body else list(_OWN_FIELDS)
    for name in added:
        if header(request.headers, name) is None:
            words += ["--header", f"{name}:"]
    if request.body:
        return _with_body(words, request.body, url)
    if request.method in ("POST", "PUT", "PATCH"):
        words += ["--header", "Content-Length: 0"]
    return _join([*words, url])


def _with_body(words: list[str], body: bytes, url: str) -> str:
    text = body.decode("latin-1")
    if _plain(text) and len(body) <= _ARGUMENT_BYTES_MAX:
        return _join([*words, "--data-raw", text, url])
    packed = base64.b64encode(body).decode("ascii")
    return f"printf %s {packed} | base64 -d | " + _join([*words, "--data-binary", "@-", url])


def _note(request: Request, left_out: Counter[str]) -> None:
    if request.body is None:
        left_out["a request whose body was not seen is written without one"] += 1
    if request.truncated:
        left_out["a body that was cut is written as far as it was kept"] += 1
    if request.trailers:
        left_out["trailers cannot be sent by curl"] += 1


def write(exchanges: Iterable[Exchange], left_out: Counter[str]) -> Iterator[bytes]:
    """The commands, each ended by a line feed."""
    for exchange in exchanges:
        command = command_of(exchange)
        if command is None:
            left_out["the target or a field has bytes that no command line can carry: not written"] += 1
            continue
        _note(exchange.request, left_out)
        yield command.encode("ascii") + b"\n"
