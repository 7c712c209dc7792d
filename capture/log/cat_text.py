"""One exchange as text for a person: heads as sent, bodies where they are text, nothing that a terminal would obey."""

from __future__ import annotations

from capture.clock import rfc3339
from capture.exchange import Exchange, Headers, Request, Response
from capture.log.text import printable

__all__ = ["text_of"]

_BODY_CHARACTERS_MAX = 2000


def text_of(exchange: Exchange) -> str:
    """Several lines, ended by an empty one."""
    times, request, response = exchange.times, exchange.request, exchange.response
    took = ""
    if times.response_end is not None:
        took = f" {(times.response_end - times.request_start) / 1e6:.3f} ms"
    lines = [
        f"=== {printable(exchange.id)} {rfc3339(times.request_start)}{took} session={printable(exchange.session)}"
        f" source={printable(exchange.source)} kept_with={exchange.kept_with:g}"
    ]
    if exchange.incomplete_reason is not None:
        lines.append(f"!!! incomplete: {printable(exchange.incomplete_reason)}")
    if times.left is not None:
        lines.append(f"!!! left by the client after {(times.left - times.request_start) / 1e6:.3f} ms")
    lines += [f"!!! {printable(note)}" for note in exchange.notes]
    lines.append(f"> {printable(request.method)} {printable(request.target)} {printable(request.version)}")
    lines += _rest("> ", request)
    if response is None:
        lines.append("< no response")
    else:
        lines.append(f"< {printable(response.version)} {response.status} {printable(response.reason)}")
        lines += _rest("< ", response)
    return "\n".join(lines) + "\n\n"


def _rest(mark: str, message: Request | Response) -> list[str]:
    lines = _fields(mark, message.headers)
    if message.body is None:
        lines.append(f"{mark}({message.body_bytes} bytes of body, not seen)")
    elif message.body:
        lines.append(mark.rstrip())
        lines += [mark + line for line in _body(message.body)]
    if message.truncated:
        lines.append(f"{mark}(cut: the body had {message.body_bytes} bytes)")
    return lines + _fields(mark + "trailer ", message.trailers)


def _fields(mark: str, fields: Headers) -> list[str]:
    return [f"{mark}{printable(name)}: {printable(value)}" for name, value in fields]


def _body(body: bytes) -> list[str]:
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return [f"({len(body)} bytes that are no text, beginning {body[:24].hex(' ')})"]
    if text.isprintable() or all(c.isprintable() or c in "\r\n\t" for c in text):
        shown = text[:_BODY_CHARACTERS_MAX]
        lines = [printable(line.replace("\t", "    "), _BODY_CHARACTERS_MAX) for line in shown.splitlines()]
        return lines if len(text) <= len(shown) else [*lines, f"({len(text) - len(shown)} more characters)"]
    return [f"({len(body)} bytes with control characters)"]
