"""The shared command class: options that take several words, optional values, lazy groups."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from capture.cli import LOADER, Command, Group, is_url, settings_of
from capture.config import Settings, read_settings


def _words(args: list[str]) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    @click.command(cls=Command, several={"--candidate": is_url}, optional={"--reference": is_url})
    @click.argument("directory", required=False)
    @click.option("--candidate", multiple=True)
    @click.option("--reference", is_flag=False, flag_value="again")
    def perform(**values: Any) -> None:
        seen.update(values)

    result = CliRunner().invoke(perform, args)
    assert result.exit_code == 0, result.output
    return seen


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["d", "--candidate", "http://x"], ("d", ("http://x",), None)),
        (["--candidate", "http://x", "n=http://y", "d"], ("d", ("http://x", "n=http://y"), None)),
        (["--candidate=http://x", "http://y", "d"], ("d", ("http://x", "http://y"), None)),
        (["--candidate", "http://x", "--candidate", "http://y"], (None, ("http://x", "http://y"), None)),
        (["--reference", "d"], ("d", (), "again")),
        (["d", "--reference"], ("d", (), "again")),
        (["--reference", "http://r", "d"], ("d", (), "http://r")),
        (["--reference", "--candidate", "http://x", "d"], ("d", ("http://x",), "again")),
        (["--", "http://d"], ("http://d", (), None)),
    ],
)
def test_several_and_optional_words_are_taken_as_the_contract_writes_them(args: list[str], expected: Any) -> None:
    seen = _words(args)
    assert (seen["directory"], tuple(seen["candidate"]), seen["reference"]) == expected


def test_the_config_option_of_a_subcommand_reaches_the_loader(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[log]\nflush_ms = 9\n")
    found: list[Settings] = []

    @click.command(cls=Command)
    @click.pass_context
    def look(ctx: click.Context) -> None:
        found.append(settings_of(ctx))

    @click.group()
    @click.pass_context
    def front(ctx: click.Context) -> None:
        ctx.meta[LOADER] = lambda named: read_settings(named, {})

    front.add_command(look)
    result = CliRunner().invoke(front, ["look", "--config", str(path)])
    assert result.exit_code == 0, result.output
    assert found[0].tables == {"log": {"flush_ms": 9}}


def test_a_lazy_group_imports_only_what_is_called_and_suggests_the_nearest() -> None:
    group = Group("g", lazy={"present": ("capture.cli", "Command", "a"), "absent": ("no.such.module", "x", "never")})
    listing = CliRunner().invoke(group, ["--help"])
    assert listing.exit_code == 0
    assert "absent" in listing.output
    missed = CliRunner().invoke(group, ["presnet"])
    assert missed.exit_code == 2
    assert "no such command 'presnet'; did you mean 'present'?" in missed.output
