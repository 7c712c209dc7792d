"""The report for a person at a terminal: the verdict and why, counts, the gravest findings with values, what to do.

Everything that was captured is escaped before it is written, control characters and the markup of rich alike.
"""

from __future__ import annotations

import io
import textwrap
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from diff.explain import words
from diff.findings import Finding
from diff.report.escape import shown_pair, visible, visible_path
from diff.report.model import CandidateReport, Report
from diff.verdict import Verdict

__all__ = ["as_text", "print_report"]

_COLOURS: dict[Verdict, str] = {"promote": "bold green", "hold": "bold red", "inconclusive": "bold yellow"}
_SEVERITY_COLOURS = {"breaking": "red", "behavioural": "yellow", "cosmetic": "cyan"}
_FINDINGS_SHOWN_MAX = 12
_ROWS_SHOWN_MAX = 12


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """rich would end the process with 1, which here is a verdict."""
        raise BrokenPipeError


def print_report(
    report: Report, where: str, out: TextIO, *, width: int | None = None, colour: bool | None = None
) -> None:
    """Write the report to `out`.

    where: the run's path as the user named it, for the commands that are suggested. width: columns; None is what the
    terminal has. colour: None is "where `out` is a terminal that wants it". Raises BrokenPipeError where nobody reads.
    """
    console = _Console(
        file=out, width=width, force_terminal=colour, no_color=colour is False, highlight=False, soft_wrap=False
    )
    console.print(_headline(report))
    for reason in report.reasons:
        _print_indented(console, visible(reason, 400), 2)
    console.print()
    console.print(_counts(report))
    for name in sorted(report.candidates):
        _print_candidate(console, name, report.candidates[name], several=len(report.candidates) > 1)
    console.print()
    for line in _next_steps(report, where):
        console.print(Text(line, style="dim"))


def as_text(report: Report, where: str, width: int = 100) -> str:
    """The same without colour, as a text."""
    out = io.StringIO()
    print_report(report, where, out, width=width, colour=False)
    return out.getvalue()


def _print_indented(console: Console, line: str, columns: int) -> None:
    """One paragraph whose further lines are indented a little more than its first."""
    for part in textwrap.wrap(line, max(20, console.width - columns - 2), break_on_hyphens=False) or [""]:
        console.print(Text(" " * columns + part), soft_wrap=True)
        columns += 2 if part and columns in (0, 2, 6) else 0


def _headline(report: Report) -> Text:
    text = Text()
    text.append(report.verdict.upper(), style=_COLOURS[report.verdict])
    for name in sorted(report.candidates):
        candidate = report.candidates[name]
        if len(report.candidates) > 1:
            text.append(f"  {visible(name, 40)}: ")
            text.append(candidate.verdict, style=_COLOURS[candidate.verdict])
    return text


def _counts(report: Report) -> Table:
    ledger = report.ledger
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("candidate", "pairs", "same", "expected", "noisy", "different", "not comparable"):
        table.add_column(heading, justify="left" if heading == "candidate" else "right", no_wrap=True)
    for name in sorted(report.candidates):
        totals = report.candidates[name].totals
        numbers = (totals.same, totals.expected, totals.noisy, totals.different, sum(totals.not_comparable.values()))
        table.add_row(Text(visible(name, 30)), str(ledger.sent), *(str(number) for number in numbers))
    skipped = sum(ledger.skipped.values())
    why = ", ".join(f"{visible(reason, 60)} {n}" for reason, n in ledger.skipped.most_common(4))
    table.caption = Text(
        f"{ledger.planned} planned = {ledger.sent} sent + {skipped} skipped" + (f" ({why})" if why else ""), style="dim"
    )
    table.caption_justify = "left"
    return table


def _print_candidate(console: Console, name: str, candidate: CandidateReport, *, several: bool) -> None:
    first = [finding for finding in candidate.findings if finding.caused_by is None]
    if first:
        console.print()
        caused = len(candidate.findings) - len(first)
        title = f"{visible(name, 40)}: {len(first)} finding{'s' if len(first) != 1 else ''}"
        console.print(Text(title + (f", {caused} that follow from them" if caused else ""), style="bold"))
    for number, finding in enumerate(first[:_FINDINGS_SHOWN_MAX], 1):
        follow = [other for other in candidate.findings if other.caused_by == finding.id]
        _print_finding(console, number, finding, follow)
    if not first and several:
        console.print()
        console.print(Text(f"{visible(name, 40)}: no finding", style="bold"))
    if len(first) > _FINDINGS_SHOWN_MAX:
        console.print(Text(f"  and {len(first) - _FINDINGS_SHOWN_MAX} more: see --json or --html", style="dim"))
    _print_timing(console, candidate)
    _print_rest(console, candidate)


def _print_finding(console: Console, number: int, finding: Finding, follow: list[Finding]) -> None:
    text = Text(f" {number:>2} ")
    text.append(f"{finding.severity:<11} ", style=_SEVERITY_COLOURS[finding.severity])
    route = "every route" if finding.route == "*" and not finding.routes else finding.route
    if finding.routes:
        route = f"{len(finding.routes)} routes"
    text.append(f"{visible(route, 60)}  {visible_path(finding.path, 80)}", style="bold")
    console.print(text)
    size = f"{finding.count} of {finding.pairs} pairs"
    share = f"{_percent(finding.share)} of production ({_percent(finding.share_low)} to {_percent(finding.share_high)})"
    change = f"{finding.kind}: {visible(finding.from_class, 40)} -> {visible(finding.to_class, 40)}"
    _print_indented(console, f"{change}; {size}, {share}; {finding.severity_reason}", 6)
    if finding.samples:
        sample = finding.samples[0]
        left, right = shown_pair(sample.left, sample.right, 60)
        left = "(absent)" if finding.kind == "extra" else left
        right = "(absent)" if finding.kind == "missing" else right
        _print_indented(console, f"e.g. {visible(sample.exchange, 60)}: {left} -> {right}", 6)
    for one in finding.explained_by[:1]:
        _print_indented(
            console,
            f"{_percent(one.inside)} of them have {' and '.join(visible(words(fact), 80) for fact in one.facts)}, "
            f"{_percent(one.outside)} of the rest",
            6,
        )
    for parts, label, make in ((finding.parts, "together with", visible_path), (finding.routes, "on", visible)):
        if parts:
            more = f" and {len(parts) - 4} more" if len(parts) > 4 else ""
            _print_indented(console, f"{label} {', '.join(make(part, 50) for part in parts[:4])}{more}", 6)
    for other in follow[:3]:
        _print_indented(
            console, f"then  {visible(other.route, 50)}  {visible_path(other.path, 50)} ({other.count} pairs)", 6
        )


def _print_timing(console: Console, candidate: CandidateReport) -> None:
    moved = [row for row in candidate.timing if row.verdict in ("slower", "faster")]
    if not moved:
        return
    console.print()
    table = Table(box=None, pad_edge=False, show_edge=False, header_style="dim")
    for heading in ("timing", "route", "at", "current ms", "candidate ms", "ratio", "interval", "pairs"):
        left = heading in ("timing", "route", "at")
        table.add_column(heading, justify="left" if left else "right", no_wrap=heading != "route")
    for row in moved[:_ROWS_SHOWN_MAX]:
        style = "red" if row.verdict == "slower" else "green"
        table.add_row(
            Text(row.verdict, style=style), Text(visible(row.route, 60)), row.quantile, f"{row.current_ms:.1f}",
            f"{row.candidate_ms:.1f}", f"{row.ratio:.2f}", f"{row.low:.2f} to {row.high:.2f}", str(row.pairs),
        )  # fmt: skip
    console.print(table)


def _print_rest(console: Console, candidate: CandidateReport) -> None:
    lines = []
    for row in candidate.expected:
        if row.state != "seen":
            lines.append(f"rule {visible(row.rule, 80)}: {row.state} (count {row.count}; {visible(row.reason, 80)})")
    quiet = sum(1 for doubt in candidate.suppressed if doubt.grave is None)
    if quiet:
        lines.append(f"{quiet} places differ by noise or too rarely to tell; --json says which, and what is excluded")
    coverage = candidate.coverage
    lines.append(
        f"coverage: {coverage.behaviours_performed} of {coverage.behaviours_seen} behaviours seen were performed; "
        f"the next production request does something never performed with probability "
        f"{_percent(coverage.unseen_probability)} ({_percent(coverage.low)} to {_percent(coverage.high)})"
    )
    console.print()
    for line in lines:
        _print_indented(console, line, 0)


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return f"{share * 100:.2f} %"
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


def _next_steps(report: Report, where: str) -> list[str]:
    place = visible(where, 200)
    lines = []
    for name in sorted(report.candidates):
        for finding in report.candidates[name].findings[:1]:
            if finding.examples:
                lines.append(f"look at one:  understudy show {place} {visible(finding.examples[0], 80)}")
                break
        if lines:
            break
    if report.verdict == "hold":
        first = next((c.findings[0].id for c in report.candidates.values() if c.findings), None)
        if first is not None:
            lines.append(f"meant it?     understudy accept {place} {first} --reason ...")
    elif report.verdict == "inconclusive":
        lines.append("next:         add the evidence that the reasons name, then judge again")
    return lines
