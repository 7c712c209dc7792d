"""The front door: one command that gathers the subcommands of the three rooms, each imported only when it is called."""

from __future__ import annotations

from capture.interrupt import ends_the_process, while_importing

with while_importing():
    import os
    import sys
    from importlib import metadata
    from pathlib import Path

    import click

    from capture.cli import LOADER, Group
    from capture.config import Settings, check_known, read_settings
    from capture.errors import UnderstudyError

__all__ = ["cli", "main"]

_COMMANDS = {
    "demo": ("fixtures.demo", "demo", "The whole way on the sample services, on free loopback ports."),
    "capture": ("capture.commands", "capture", "Capture requests: relay, mitm, sniff, mirror."),
    "log": ("capture.log.commands", "log", "Look into a log: ls, stat, cat, verify, prune, import, export."),
    "replay": ("replay.commands", "replay", "Perform a log on the current and the candidate build at once."),
    "diff": ("diff.commands", "diff", "Compare what a run recorded, judge it, and write the reports."),
    "check": ("diff.commands", "check", "replay, then diff."),
    "show": ("diff.commands", "show", "One exchange: as captured, on every build, and why it was judged so."),
    "accept": ("diff.commands", "accept", "Write the rule that says a finding was meant."),
    "query": ("diff.commands", "query", "SQL over the wide events, one row an exchange and build."),
    "compare": ("diff.compare_command", "compare", "Two bodies, by the rules that diff uses."),
}


def _version() -> str:
    try:
        version = metadata.version("understudy")
    except metadata.PackageNotFoundError:
        version = "0+source"
    from replay.compiled import is_compiled

    return f"{version}, compiled" if is_compiled() else version


def _say_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"understudy, version {_version()}")
        ctx.exit()


@click.group(cls=Group, lazy=_COMMANDS)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_say_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Capture sampled production requests, replay them on the current and the candidate build, report what differs.

    Exit codes: 0 promote, 1 hold, 2 wrong use or bad input, 3 inconclusive, 4 the run itself failed.
    """
    ctx.meta[LOADER] = load_settings


def load_settings(config: Path | None) -> Settings:
    """Read and check the configuration against what all three rooms know."""
    from capture.settings import SECTIONS as CAPTURE
    from diff.settings import SECTIONS as DIFF
    from replay.settings import SECTIONS as REPLAY

    settings = read_settings(config, os.environ)
    check_known(settings, {**CAPTURE, **REPLAY, **DIFF})
    return settings


def _told(error: click.ClickException) -> str:
    """What is wrong, in one line, and where help on that command is, in another; click's own way takes four."""
    message = " ".join(error.format_message().split())
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is None:
        return f"understudy: {message}"
    return f"{ctx.command_path}: {message}\ntry {ctx.command_path} --help"


def main(args: list[str] | None = None) -> None:
    """Run the command line and end the process with its exit code; errors are one or two lines on stderr.

    args: None for those of the process, which an interrupt then ends until the command is ready for one.
    """
    if args is None:
        ends_the_process()
    try:
        result = cli.main(args, prog_name="understudy", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(_told(error), err=True)
        sys.exit(2)
    except UnderstudyError as error:
        click.echo(f"understudy: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # The reader of our output (head, less) went away: not an error, and no traceback at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
