"""What the relay says about itself on stderr: one line an event, as text or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Literal

from capture.clock import rfc3339

__all__ = ["LOGGER", "say", "set_up_messages"]

LOGGER = logging.getLogger("understudy.relay")


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {name}={value}" for name, value in getattr(record, "facts", {}).items())
        return f"understudy: {_plain(record)}{facts}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": rfc3339(int(record.created * 1e9)),
            "level": record.levelname.lower(),
            "pid": record.process,
            "message": _plain(record),
            **getattr(record, "facts", {}),
        }
        return json.dumps(line, default=str)


def _plain(record: logging.LogRecord) -> str:
    """The message, with the kind and place of an error but never its text: that may hold captured content."""
    message = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f" in {trace.tb_frame.f_code.co_qualname}" if trace is not None else ""
        message += f" ({type(error).__name__}{where})"
    return message


def set_up_messages(form: Literal["text", "json"]) -> None:
    """Send the relay's messages to stderr in this form; called once by the command."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if form == "json" else _Text())
    LOGGER.handlers[:] = [handler]
    LOGGER.propagate = False
    LOGGER.setLevel(logging.INFO)


def say(message: str, level: int = logging.INFO, **facts: object) -> None:
    """One event: a fixed message and the facts that go with it."""
    LOGGER.log(level, message, extra={"facts": facts})
