"""The options that every capture command and `log import` take, and the configuration they make."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from capture.cli import read_again
from capture.config import Settings, build
from capture.live import Change
from capture.pipeline import with_redaction_key
from capture.pseudonym import Pseudonyms
from capture.redact import Redactor
from capture.sample import parse_specs
from capture.settings import CaptureConfig, GuardConfig, LogConfig, RedactConfig

__all__ = ["CaptureSettings", "capture_options", "capture_settings", "reloader", "starting"]

_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--log", "log", type=click.Path(path_type=Path), required=True, help="Directory of the log."),
    click.option(
        "--redact",
        type=click.Choice(["off", "default", "strict"]),
        default=None,
        help="What may be written: everything, all but secrets (default), or only what is allowed by name.",
    ),
    click.option("--sample", type=float, metavar="P", default=None, help="Probability with which a session is kept."),
    click.option(
        "--session-key",
        "session_key",
        multiple=True,
        metavar="SPEC",
        help="client, cookie:NAME, header:NAME, query:NAME or traceparent; the first that a request carries decides.",
    ),
    click.option(
        "--redaction-key-file",
        type=click.Path(path_type=Path),
        default=None,
        help="File that holds the key of the pseudonyms; else UNDERSTUDY_CAPTURE_REDACTION_KEY, else a random one.",
    ),
    click.option(
        "--trust-forwarded",
        is_flag=True,
        default=None,
        help="The client is what the first X-Forwarded-For address says.",
    ),
)
_NAMES = ("redact", "sample", "session_key", "redaction_key_file", "trust_forwarded")


@dataclasses.dataclass(frozen=True, slots=True)
class CaptureSettings:
    """What the shared options, the environment and the file say together. log: the directory of the log."""

    log: Path
    capture: CaptureConfig
    redact: RedactConfig
    log_config: LogConfig


def capture_options(command: _F) -> _F:
    """Decorator: --log, --redact, --sample, --session-key, --redaction-key-file and --trust-forwarded.

    The command gets them as keyword arguments log, redact, sample, session_key, redaction_key_file, trust_forwarded;
    `capture_settings(settings, arguments)` makes the typed configuration of them.
    """
    return functools.reduce(lambda made, option: option(made), reversed(_OPTIONS), command)


def capture_settings(settings: Settings, arguments: Mapping[str, Any]) -> CaptureSettings:
    """The typed configuration of a capture command; flags win. Other keys of `arguments` are left alone.

    Raises UsageError naming the place of a value that cannot be used.
    """
    given = {name: arguments.get(name) for name in _NAMES}
    mode = given.pop("redact")
    given["session_key"] = given["session_key"] or None
    made = CaptureSettings(
        log=arguments["log"],
        capture=build(CaptureConfig, "capture", settings, given),
        redact=build(RedactConfig, "redact", settings, {"mode": mode}),
        log_config=build(LogConfig, "log", settings),
    )
    # Specs and rules are refused here, before a log is opened that would be left behind.
    parse_specs(made.capture.session_key)
    Redactor(made.redact, Pseudonyms(b"only to see whether the rules can be used"))
    return made


def starting(settings: CaptureSettings, guard: GuardConfig, at_ns: int) -> Change:
    """What holds when a capture begins. settings: with the redaction key in them."""
    return Change(settings.capture, settings.redact, guard, at_ns)


def reloader(
    ctx: click.Context,
    arguments: Mapping[str, Any],
    settings: CaptureSettings,
    adjust: Callable[[CaptureConfig], CaptureConfig] = lambda capture: capture,
) -> Callable[[int], Change]:
    """What SIGHUP calls: the file, the environment and the redaction key file again, under the same flags.

    settings: as the command began, with the redaction key in them; a key that was made at random is kept. adjust: what
    the command does to each configuration. The function takes the time, ns since the epoch, and raises UnderstudyError
    where anything cannot be used.
    """

    def reload(at_ns: int) -> Change:
        found = read_again(ctx)
        read = capture_settings(found, arguments)
        capture = adjust(read.capture)
        if capture.redaction_key is None and capture.redaction_key_file is None:
            capture = dataclasses.replace(capture, redaction_key=settings.capture.redaction_key)
        return Change(with_redaction_key(capture), read.redact, build(GuardConfig, "guard", found), at_ns, "sighup")

    return reload
