"""The report as Markdown for a pull request: verdict, reasons, counts, findings, what is slower; bounded in length."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from diff.explain import words
from diff.report.escape import shown_pair, visible
from diff.report.model import CandidateReport, Report

__all__ = ["as_markdown"]

_FINDINGS_MAX = 50
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~&$@])")


def as_markdown(report: Report, where: str) -> str:
    """GitHub's dialect; captured content stands in code spans, which nothing in it can leave."""
    lines = [f"## Verdict: {report.verdict}", ""]
    lines += [f"- {_plain(reason, 500)}" for reason in report.reasons]
    ledger = report.ledger
    lines += [
        "",
        f"{ledger.planned} planned = {ledger.sent} sent + {sum(ledger.skipped.values())} skipped; run {_code(where)}",
        "",
    ]
    rows = []
    for name in sorted(report.candidates):
        totals = report.candidates[name].totals
        counts = (totals.same, totals.expected, totals.noisy, totals.different, sum(totals.not_comparable.values()))
        rows.append((_plain(name), report.candidates[name].verdict, *(str(count) for count in counts)))
    lines += _table(("candidate", "verdict", "same", "expected", "noisy", "different", "not comparable"), rows)
    for name in sorted(report.candidates):
        lines += _candidate(name, report.candidates[name])
    return "\n".join(lines) + "\n"


def _candidate(name: str, candidate: CandidateReport) -> list[str]:
    lines: list[str] = []
    if candidate.findings:
        lines += ["", f"### {_plain(name)}: {_findings(len(candidate.findings))}", ""]
        rows = []
        for finding in candidate.findings[:_FINDINGS_MAX]:
            sample = ""
            if finding.samples:
                first = finding.samples[0]
                left, right = map(_code, shown_pair(first.left, first.right, 60))
                left = "absent" if finding.kind == "extra" else left
                right = "absent" if finding.kind == "missing" else right
                sample = f"{left} → {right}"
            route = f"{len(finding.routes)} routes" if finding.routes else _code(finding.route)
            remark = "; ".join(
                f"{one.inside:.0%} have {' and '.join(_code(words(fact)) for fact in one.facts)}, "
                f"{one.outside:.0%} of the rest"
                for one in finding.explained_by[:1]
            )
            if finding.caused_by:
                remark = f"follows from {finding.caused_by}"
            rows.append(
                (
                    finding.severity, route, _code(finding.path), finding.kind, f"{finding.count} of {finding.pairs}",
                    sample, remark,
                )
            )  # fmt: skip
        lines += _table(("severity", "route", "place", "kind", "pairs", "example", "remark"), rows)
        if len(candidate.findings) > _FINDINGS_MAX:
            lines += ["", f"and {len(candidate.findings) - _FINDINGS_MAX} more."]
    moved = [row for row in candidate.timing if row.verdict in ("slower", "faster")]
    if moved:
        lines += ["", f"### {_plain(name)}: timing", ""]
        lines += _table(
            ("route", "at", "verdict", "current ms", "candidate ms", "ratio", "interval"),
            [
                (
                    _code(row.route), row.quantile, row.verdict, f"{row.current_ms:.1f}", f"{row.candidate_ms:.1f}",
                    f"{row.ratio:.2f}", f"{row.low:.2f} to {row.high:.2f}",
                )
                for row in moved[:_FINDINGS_MAX]
            ],
        )  # fmt: skip
    return lines


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(headings) + " |", "|" + " --- |" * len(headings)]
    return lines + ["| " + " | ".join(cells) + " |" for cells in rows]


def _plain(text: str, chars_max: int = 200) -> str:
    return _SPECIAL.sub(r"\\\1", visible(text, chars_max))


def _code(text: str) -> str:
    """A code span; backticks become another character, and a bar, which would end the table's cell, an escaped one."""
    safe = visible(text).replace("`", "ˋ").replace("|", "\\|")
    return f"`{safe}`" if safe.strip() else "` `"


def _findings(count: int) -> str:
    return f"{count} finding" if count == 1 else f"{count} findings"
