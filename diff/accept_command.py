"""The command `understudy accept`: write the rule that says a finding was meant, into the configuration."""

from __future__ import annotations

import datetime
import os
import tempfile
import tomllib
from pathlib import Path

import click

from capture.cli import Command, settings_of
from capture.config import CONFIG_NAME, Settings
from capture.errors import BadInput, RunFailed
from diff.accept import rule_text
from diff.findings import Finding
from diff.report.escape import visible
from diff.run_judge import prepare
from diff.settings import DiffConfig

__all__ = ["accept"]


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("finding", metavar="FINDING")
@click.option("--reason", required=True, help="Why it is right, for whoever reads the rule.")
@click.option(
    "--as",
    "action",
    type=click.Choice(["expect", "ignore"]),
    default="expect",
    help="expect: it must show from now on (the default); ignore: it may.",
)
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="Judged again from that day on.")
@click.option("--build", "build_name", metavar="NAME", help="Only for the candidate of that name.")
@click.pass_context
def accept(
    ctx: click.Context,
    /,
    run: Path,
    finding: str,
    reason: str,
    action: str,
    expires: datetime.datetime | None,
    build_name: str | None,
) -> None:
    """Accept FINDING of RUN: write a rule for it at the end of understudy.toml, or of the file that [diff] rules names.

    FINDING is the id that the JSON and HTML reports, `show` and `query` give it.
    """
    settings = settings_of(ctx)
    judging = prepare(settings)
    report = judging.judge(run)
    found = [one for candidate in report.candidates.values() for one in candidate.findings if one.id == finding]
    if not found:
        raise BadInput(f"{run}: has no finding {visible(finding)!r}; `understudy diff --json F` names them")
    if not found[0].routes and not found[0].samples:
        raise BadInput(f"{finding}: is about a rule that did not hold; change that rule in {settings.where}")
    place = _place(settings, judging.config)
    text = _text_of(found[0], action, reason, expires, build_name)
    _append(place, text)
    click.echo(text, nl=False)
    click.echo(f"written to {place}", err=True)


def _text_of(
    finding: Finding, action: str, reason: str, expires: datetime.datetime | None, build_name: str | None
) -> str:
    return rule_text(
        finding,
        action="ignore" if action == "ignore" else "expect",
        reason=reason,
        expires=None if expires is None else expires.date(),
        build=build_name,
    )


def _place(settings: Settings, config: DiffConfig) -> Path:
    where = Path(settings.where or CONFIG_NAME)
    return where if config.rules is None else where.parent / config.rules


def _append(place: Path, text: str) -> None:
    """Whole or not at all; what was there stays as it is. Raises BadInput where it is not TOML, RunFailed for I/O."""
    try:
        before = place.read_text(encoding="utf-8") if place.exists() else ""
        gap = "" if not before else "\n" if before.endswith("\n") else "\n\n"
        after = before + gap + text
        tomllib.loads(after)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(after)
            os.chmod(temporary, place.stat().st_mode & 0o777 if place.exists() else 0o644)
            os.replace(temporary, place)
        except BaseException:
            os.unlink(temporary)
            raise
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{place}: not valid TOML, nothing was written: {error}") from None
    except OSError as error:
        raise RunFailed(f"{place}: cannot be written: {error.strerror}") from error
