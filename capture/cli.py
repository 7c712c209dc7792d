"""What all commands share: options that take several values, the global options, and errors turned into exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from capture.config import Settings
from capture.interrupt import raises_again

__all__ = ["LOADER", "Command", "Group", "is_url", "read_again", "readers_may_leave", "settings_of"]

LOADER = "understudy.load_settings"
"""Key of `click.Context.meta` under which the front door leaves its function (path or None) -> Settings."""


_CONFIG = "understudy.config"
_Loader = Callable[[Path | None], Settings]


def _choose_config(ctx: click.Context, _param: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.meta[_CONFIG] = value


def is_url(word: str) -> bool:
    """True for a word that is an address of a build: `URL` or `NAME=URL`."""
    return "://" in word


class Command(click.Command):
    """A click command whose options may take several words, as the contract writes `--candidate [NAME=]URL...`.

    several: option names ("--candidate") to the test that tells the option's further words from what follows.
    optional: option names whose value may be left out, with the same kind of test; the flag value must be set on the
    option with `is_flag=False, flag_value=...`.
    drains: the command hears SIGINT and SIGTERM itself, so that until then both end the process.
    """

    def __init__(
        self,
        *args: Any,
        several: dict[str, Callable[[str], bool]] | None = None,
        optional: dict[str, Callable[[str], bool]] | None = None,
        drains: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("context_settings", {}).setdefault("help_option_names", ["-h", "--help"])
        super().__init__(*args, **kwargs)
        self._several = several or {}
        self._optional = optional or {}
        self._drains = drains
        self.params.append(
            click.Option(
                ["--config"],
                type=click.Path(path_type=Path),
                help="Configuration file; ./understudy.toml by default.",
                expose_value=False,
                callback=_choose_config,
            )
        )

    def invoke(self, ctx: click.Context) -> Any:
        loader = ctx.meta.get(LOADER)
        if loader is not None:
            ctx.obj = loader(ctx.meta.get(_CONFIG))
        if not self._drains:
            raises_again()
        return super().invoke(ctx)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self._spread(args))

    def _spread(self, args: Sequence[str]) -> list[str]:
        """`--candidate A B --run R` becomes `--candidate A --candidate B --run R`."""
        spread: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            spread.append(word)
            if word == "--":
                return spread + rest
            name, equals, _ = word.partition("=")
            if name in self._several:
                if not equals and rest:
                    spread.append(rest.pop(0))
                while rest and not rest[0].startswith("-") and self._several[name](rest[0]):
                    spread += [name, rest.pop(0)]
            elif word in self._optional and rest and not self._optional[word](rest[0]):
                # Nothing that looks like a value follows: hand click the flag alone, and what follows after it.
                option = next(p for p in self.params if word in p.opts)
                spread[-1:] = [word, str(getattr(option, "flag_value", ""))]
        return spread


class Group(click.Group):
    """A group whose subcommands are imported only when they are called.

    lazy: subcommand name to ("package.module", "attribute", "one line for the help").
    """

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str, str]] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {}).setdefault("help_option_names", ["-h", "--help"])
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        module_name, attribute, _ = self._lazy[cmd_name]
        __import__(module_name)
        command = getattr(sys.modules[module_name], attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = []
        for name in self.list_commands(ctx):
            if name in self._lazy:
                rows.append((name, self._lazy[name][2]))
            elif (command := super().get_command(ctx, name)) is not None:
                rows.append((name, command.get_short_help_str(100)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            from capture.config import nearest

            ctx.fail(f"no such command {args[0]!r}; {nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def settings_of(ctx: click.Context) -> Settings:
    """The settings that were read for this command, or empty ones where it is called without the front door."""
    found = ctx.find_object(Settings)
    return found if found is not None else Settings()


def read_again(ctx: click.Context) -> Settings:
    """The settings as file and environment say now; empty ones without the front door. Raises as reading them does."""
    loader: _Loader | None = ctx.meta.get(LOADER)
    return loader(ctx.meta.get(_CONFIG)) if loader is not None else Settings()


@contextlib.contextmanager
def readers_may_leave() -> Iterator[None]:
    """Print within it where the exit code is an answer: it stands also where the reader of the output (head) left."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
