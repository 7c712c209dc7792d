"""The commands of the diff room: `diff` judges a run, `check` replays and then judges; a thin shell over `judge`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from capture.cli import Command, readers_may_leave, settings_of
from capture.config import Settings
from capture.errors import RunFailed
from diff.accept_command import accept
from diff.compare_command import compare
from diff.inspect_commands import query, show
from diff.report.escape import visible
from diff.report.model import Report
from diff.verdict import EXIT_CODES
from replay.commands import OPTIONAL, SEVERAL, replay_from_flags, replay_options

__all__ = ["accept", "check", "compare", "diff", "judge_run", "query", "report_options", "show", "write_reports"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def report_options(function: _Function) -> _Function:
    """Add the options that name the reports, and those that say how a run is judged."""
    path = click.Path(path_type=Path, dir_okay=False)
    for option in reversed(
        (
            click.option("--json", "json", type=path, metavar="F", help="Write the report as JSON."),
            click.option("--html", "html", type=path, metavar="F", help="As one HTML file that works offline."),
            click.option("--markdown", "markdown", type=path, metavar="F", help="As Markdown, for a pull request."),
            click.option("--junit", "junit", type=path, metavar="F", help="As JUnit XML, for a CI server."),
            click.option("--fdr", type=float, help="False discovery rate over everything tested (0.01)."),
            click.option(
                "--openapi",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="F",
                help="Routes from this OpenAPI description, JSON or YAML.",
            ),
            click.option("--timing/--no-timing", default=None, help="Whether timing counts for the verdict."),
            click.option("--quiet", "-q", is_flag=True, help="Only the verdict on stdout."),
        )
    ):
        function = option(function)
    return function


def judge_run(path: Path, settings: Settings, flags: dict[str, Any] | None = None) -> Report:
    """The report of the run at `path`, as the command makes it.

    Raises BadInput where there is no such run, UsageError for a wrong configuration, RunFailed where its totals do not
    close.
    """
    from diff.run_judge import prepare

    return prepare(settings, flags).judge(path)


def write_reports(report: Report, path: Path, files: Mapping[str, Path | None], *, quiet: bool = False) -> int:
    """Write the reports that were asked for, print the one for a person, and return the exit code.

    files: "json", "html", "markdown", "junit" to where each goes, None for not at all. Raises RunFailed where one
    cannot be written.
    """
    written = [(kind, place) for kind, place in files.items() if place is not None]
    for kind, place in written:
        _write(place, _rendered(kind, report, str(path)))
    with readers_may_leave():
        _print(report, path, written, quiet=quiet)
    return EXIT_CODES[report.verdict]


def _print(report: Report, path: Path, written: Sequence[tuple[str, Path]], *, quiet: bool) -> None:
    if quiet:
        click.echo(report.verdict)
        return
    from diff.report.terminal import print_report

    print_report(report, str(path), sys.stdout)
    for kind, place in written:
        click.echo(f"{kind + ':':<13} {place}")


def _rendered(kind: str, report: Report, where: str) -> bytes:
    if kind == "json":
        from diff.report.json import as_json

        return as_json(report)
    if kind == "html":
        from diff.report.html import as_html

        return as_html(report, where).encode()
    if kind == "markdown":
        from diff.report.markdown import as_markdown

        return as_markdown(report, where).encode()
    from diff.report.junit import as_junit

    return as_junit(report)


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all: into a file beside it, then renamed. Raises RunFailed where it cannot be written."""
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            os.chmod(temporary, 0o666 & ~umask)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise RunFailed(f"{path}: the report cannot be written: {error.strerror}") from error


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@report_options
@click.option(
    "--workers", type=click.IntRange(min=0), metavar="N", help="Processes that judge a large run, 0: one a core (0)."
)
@click.option("--routes", is_flag=True, help="Only list the routes, how often each was asked for, and its origin.")
@click.pass_context
def diff(
    ctx: click.Context,
    /,
    run: Path,
    fdr: float | None,
    openapi: Path | None,
    timing: bool | None,
    quiet: bool,
    workers: int | None,
    routes: bool,
    **files: Path | None,
) -> None:
    """Judge RUN: say what changed between the current build and each candidate, once each, and how sure that is.

    Exit codes: 0 promote, 1 hold, 2 wrong use or bad input, 3 inconclusive, 4 the run itself failed.
    """
    from diff.run_judge import prepare

    judging = prepare(settings_of(ctx), _flags(fdr, openapi, timing) | {"workers": workers})
    if routes:
        for name, count, origin in judging.routes(run):
            click.echo(f"{count:>9}  {origin:<10}  {visible(name)}")
        return
    ctx.exit(write_reports(judging.judge(run), run, files, quiet=quiet))


def _flags(fdr: float | None, openapi: Path | None, timing: bool | None) -> dict[str, Any]:
    """A file that a flag names lies in the working directory, not beside the configuration."""
    return {"fdr": fdr, "openapi": None if openapi is None else str(openapi.absolute()), "timing": timing}


@click.command(cls=Command, several=SEVERAL, optional=OPTIONAL)
@click.argument("log", metavar="DIR")
@replay_options
@report_options
@click.pass_context
def check(
    ctx: click.Context,
    /,
    log: str,
    fdr: float | None,
    openapi: Path | None,
    timing: bool | None,
    quiet: bool,
    **flags: Any,
) -> None:
    """Perform the log in DIR as `replay` does, then judge the run as `diff` does.

    Exit codes: 0 promote, 1 hold, 2 wrong use or bad input, 3 inconclusive, 4 the run itself failed.
    """
    from diff.run_judge import prepare

    settings = settings_of(ctx)
    # Wrong rules or settings must show before anything is sent.
    judging = prepare(settings, _flags(fdr, openapi, timing))
    files = {kind: flags.pop(kind) for kind in ("json", "html", "markdown", "junit")}
    run = replay_from_flags(settings, log, **flags)
    ctx.exit(write_reports(judging.judge(run.path), run.path, files, quiet=quiet))
