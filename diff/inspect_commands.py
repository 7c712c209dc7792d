"""The commands that look into a run: `show` one exchange, `query` the wide events; thin shells."""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from capture.cli import Command, settings_of
from capture.errors import BadInput
from diff.judge import PairFate
from diff.report.escape import visible
from diff.report.model import Report
from diff.run_judge import prepare

__all__ = ["query", "show"]

_CELL_CHARS_MAX = 60
_WIDTHS_FROM_ROWS = 200


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("identity", metavar="ID")
@click.option("--body", "body_chars_max", type=click.IntRange(min=0), default=2000, help="Characters of a body (2000).")
@click.pass_context
def show(ctx: click.Context, /, run: Path, identity: str, body_chars_max: int) -> None:
    """Show one exchange: as captured, what every build answered, what differs, and why it was judged so.

    ID is the id of an exchange, as reports name it, or of a finding: then its first example is shown.
    """
    from diff.show import show_lines

    fates: dict[tuple[str, int], list[PairFate]] = {}
    wanted = identity
    judging = prepare(settings_of(ctx))
    if identity.startswith("f-"):
        wanted = _example_of(judging.judge(run), identity, run)

    def watch(fate: PairFate) -> None:
        if fate.performance.exchange.id == wanted:
            fates.setdefault((fate.performance.exchange.id, fate.performance.iteration), []).append(fate)

    subject, report = judging.subject(run), judging.judge(run, watch)
    if not fates:
        raise BadInput(f"{run}: has no exchange {visible(identity)!r}; reports and `query` name the ids")
    for number, found in enumerate(fates.values()):
        if number:
            click.echo()
        lines = show_lines(
            found[0].performance,
            [fate for fate in found if fate.candidate],
            report,
            subject.current,
            subject.addresses,
            body_chars_max=body_chars_max,
        )
        for line in lines:
            click.echo(line)


def _example_of(report: Report, identity: str, run: Path) -> str:
    for candidate in report.candidates.values():
        for finding in candidate.findings:
            if finding.id == identity and finding.examples:
                return finding.examples[0]
    raise BadInput(f"{run}: has no finding {visible(identity)!r}; `understudy diff` names them")


@click.command(cls=Command)
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("sql", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "jsonl"]),
    default="table",
    help="How rows are written (table).",
)
@click.option("--columns", is_flag=True, help="Say what columns there are, and what they mean.")
@click.pass_context
def query(ctx: click.Context, /, run: Path, sql: str | None, form: str, columns: bool) -> None:
    """Ask the wide events of RUN in SQL: the table `events` has one row an exchange and build.

    For example: SELECT build, status, count(*) FROM events GROUP BY 1, 2
    """
    from diff.events import COLUMNS, EventTable

    if columns:
        for name, kind, meaning in COLUMNS:
            click.echo(f"{name:<22}{kind:<9}{meaning}")
        return
    if sql is None:
        raise click.UsageError('Missing argument "SQL"; --columns says what can be asked')
    with (
        tempfile.TemporaryDirectory(prefix="understudy-events-") as directory,
        EventTable(Path(directory) / "events.sqlite") as table,
    ):
        table.finish(prepare(settings_of(ctx)).judge(run, table.watch))
        names, rows = table.ask(sql)
        _WRITERS[form](names, rows)


def _write_jsonl(names: list[str], rows: Iterator[Sequence[Any]]) -> None:
    for row in rows:
        values = [value.hex() if isinstance(value, bytes) else value for value in row]
        click.echo(json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=True))


def _write_csv(names: list[str], rows: Iterator[Sequence[Any]]) -> None:
    writer = csv.writer(sys.stdout)
    writer.writerow(names)
    writer.writerows(rows)


def _write_table(names: list[str], rows: Iterator[Sequence[Any]]) -> None:
    """Columns as wide as the first rows ask for; later rows may stick out."""
    first: list[list[str]] = []
    for row in rows:
        first.append([_cell(value) for value in row])
        if len(first) >= _WIDTHS_FROM_ROWS:
            break
    widths = [max(len(name), *(len(row[index]) for row in first), 0) for index, name in enumerate(names)]

    def line(cells: Sequence[str]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    click.echo(line(names))
    click.echo(line(["-" * width for width in widths]))
    for cells in first:
        click.echo(line(cells))
    for row in rows:
        click.echo(line([_cell(value) for value in row]))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return visible(value.hex() if isinstance(value, bytes) else str(value), _CELL_CHARS_MAX)


_WRITERS: dict[str, Callable[[list[str], Iterator[Sequence[Any]]], None]] = {
    "table": _write_table,
    "csv": _write_csv,
    "jsonl": _write_jsonl,
}
