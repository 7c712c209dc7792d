"""The typed configuration of the capture room; the sections of `understudy.toml` that it knows."""

from __future__ import annotations

import dataclasses
from typing import Literal

__all__ = ["SECTIONS", "CaptureConfig", "LogConfig", "RedactConfig"]


@dataclasses.dataclass(frozen=True, slots=True)
class CaptureConfig:
    """[capture]: what is observed and how much of it.

    sample: probability in (0, 1] with which a session is kept. session_key: specs of the contract, the first that a
    request carries decides. body_bytes_max: a longer body is cut, its full length kept. redaction_key: hex or text from
    the environment, never from the command line.
    """

    sample: float = 1.0
    session_key: tuple[str, ...] = ("client",)
    body_bytes_max: int = 1 << 20
    redaction_key: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.sample <= 1:
            raise ValueError(f"sample must be a probability from 0 to 1, found {self.sample}")
        if self.body_bytes_max < 0:
            raise ValueError(f"body_bytes_max must not be negative, found {self.body_bytes_max}")


@dataclasses.dataclass(frozen=True, slots=True)
class RedactConfig:
    """[redact]: what may leave memory.

    mode: as `--redact`. keep: what must stay readable, as "header:authorization", "json:$.password", "query:token".
    """

    mode: Literal["off", "default", "strict"] = "default"
    keep: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class LogConfig:
    """[log]: how the log is written."""

    flush_ms: int = 250

    def __post_init__(self) -> None:
        if self.flush_ms < 1:
            raise ValueError(f"flush_ms must be at least 1, found {self.flush_ms}")


SECTIONS: dict[str, type | None] = {"capture": CaptureConfig, "redact": RedactConfig, "log": LogConfig}
