"""Multipart bodies and the messages in them, put together as a client or a service does it."""

from __future__ import annotations

Message = tuple[str, tuple[tuple[str, str], ...], bytes]
"""First line, header fields and body."""


def written(message: Message) -> bytes:
    """An HTTP message as its bytes."""
    first, headers, body = message
    return "\r\n".join([first, *(f"{name}: {value}" for name, value in headers), "", ""]).encode() + body


def multipart(boundary: str, *parts: tuple[tuple[tuple[str, str], ...], bytes]) -> bytes:
    """A multipart body of parts, each its header fields and its content."""
    made = b""
    for headers, content in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in headers)
        made += f"--{boundary}\r\n{head}\r\n".encode() + content + b"\r\n"
    return made + f"--{boundary}--\r\n".encode()


def message_part(message: Message, *headers: tuple[str, str]) -> tuple[tuple[tuple[str, str], ...], bytes]:
    """A part that is an HTTP message."""
    return (("Content-Type", "application/http"), ("Content-Transfer-Encoding", "binary"), *headers), written(message)
