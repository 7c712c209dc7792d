"""The report as one HTML file that works offline: no script, nothing fetched, captured content escaped.

A Content-Security-Policy in the file forbids everything but its own style sheet, which is named by its hash, so that
even a mistake in escaping could neither run nor load anything.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterable, Sequence

from diff.explain import words
from diff.findings import Finding
from diff.report.escape import shown_pair, visible
from diff.report.model import CandidateReport, Report

__all__ = ["as_html"]

_ROWS_MAX = 500

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--dim:#666;--red:#c62828;--amber:#9a5b00;--green:#2e7d32;--blue:#1565c0}
@media (prefers-color-scheme:dark){:root{--dim:#aaa;--red:#ff8a80;--amber:#ffb74d;--green:#81c784;--blue:#90caf9}}
body{font:15px/1.5 system-ui,sans-serif;max-width:76rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2rem 0 .5rem}h3{font-size:1rem;margin:1.5rem 0 .3rem}
table{border-collapse:collapse;width:100%;font-size:.92em}th,td{text-align:left;padding:.25rem 1.4rem .25rem 0;
border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--dim);font-weight:500}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
code{font:.92em ui-monospace,monospace;word-break:break-all;unicode-bidi:isolate}
details{border:1px solid var(--line);border-radius:.4rem;margin:.4rem 0;padding:.4rem .8rem}summary{cursor:pointer}
table.small{width:auto}li,td,p,h2,summary{overflow-wrap:anywhere}details:target{outline:2px solid var(--blue)}
.promote,.faster{color:var(--green)}.hold,.slower,.breaking{color:var(--red)}
.inconclusive,.behavioural{color:var(--amber)}.cosmetic{color:var(--blue)}.dim{color:var(--dim)}.tag{font-weight:600}
""".strip()


def as_html(report: Report, where: str) -> str:
    """The page. where: the run's path as the user named it."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    parts = [
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="referrer" content="no-referrer">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{report.verdict}: {_text(where)}</title><style>{_STYLE}</style></head><body>",
        f'<h1>Verdict: <span class="{report.verdict}">{report.verdict}</span></h1>',
        f'<p class="dim">run {_text(where, 300)}</p>',
        _list(report.reasons),
        _ledger(report),
    ]
    several = len(report.candidates) > 1
    if several:
        parts.append(_contents(report))
    for number, name in enumerate(sorted(report.candidates), 1):
        # Candidates may share a finding, and an anchor is one place.
        parts += _candidate(name, report.candidates[name], f"c{number}-" if several else "")
    parts.append("</body></html>\n")
    return "\n".join(parts)


def _text(value: str, chars_max: int = 200) -> str:
    return html.escape(visible(value, chars_max), quote=True)


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(line, 500)}</li>" for line in lines) + "</ul>"


def _contents(report: Report) -> str:
    rows = [
        (
            f'<a href="#c{number}-">{_text(name)}</a>',
            f'<span class="{candidate.verdict}">{candidate.verdict}</span>',
            str(len(candidate.findings)),
        )
        for number, (name, candidate) in enumerate(sorted(report.candidates.items()), 1)
    ]
    return "<h2>Candidates</h2>" + _table(("candidate", "verdict", "findings"), rows, frozenset((2,)), small=True)


def _table(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: frozenset[int] = frozenset(),
    *,
    small: bool = False,
) -> str:
    """Cells are HTML already; small: no wider than its content."""

    def row(tag: str, cells: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=' + chr(34) + 'n' + chr(34) if index in numbers else ''}>{cell}</{tag}>"
            for index, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in rows)
    kind = ' class="small"' if small else ""
    return f"<table{kind}><thead><tr>{row('th', headings)}</tr></thead><tbody>{body}</tbody></table>"


def _ledger(report: Report) -> str:
    ledger = report.ledger
    skipped = ", ".join(f"{_text(reason)} {n}" for reason, n in sorted(ledger.skipped.items())) or "none"
    rows = []
    for build in sorted(ledger.failed):
        kinds = ", ".join(f"{kind} {n}" for kind, n in sorted(ledger.failed[build].items())) or "none"
        left = f" ({ledger.left[build]} left before their end)" if ledger.left[build] else ""
        rows.append((_text(build), f"{ledger.answered[build]}{left}", kinds))
    return f"<h2>Ledger</h2><p>{ledger.planned} planned, {ledger.sent} sent; skipped: {skipped}</p>" + _table(
        ("build", "answered", "failed"), rows, frozenset((1,)), small=True
    )


def _candidate(name: str, candidate: CandidateReport, anchor: str) -> list[str]:
    totals = candidate.totals
    not_comparable = sum(totals.not_comparable.values())
    why = ", ".join(f"{_text(reason)} {n}" for reason, n in sorted(totals.not_comparable.items()))
    numbers = (totals.same, totals.expected, totals.noisy, totals.different, not_comparable)
    heading = f' id="{anchor}"' if anchor else ""
    parts = [
        f'<h2{heading}>{_text(name)}: <span class="{candidate.verdict}">{candidate.verdict}</span></h2>',
        _table(
            ("same", "expected", "noisy", "different", "not comparable"),
            [tuple(str(number) for number in numbers)],
            frozenset(range(5)),
            small=True,
        ),
        f'<p class="dim">not comparable: {why}</p>' if why else "",
        f"<h3>Findings ({len(candidate.findings)})</h3>",
        *(_finding(finding, anchor) for finding in candidate.findings[:_ROWS_MAX]),
        _cut(len(candidate.findings)),
    ]
    if candidate.expected:
        rules = [(_text(row.rule), str(row.count), row.state, _text(row.reason)) for row in candidate.expected]
        parts += ["<h3>Rules</h3>", _table(("rule", "count", "state", "reason"), rules, frozenset((1,)))]
    parts += _timing(candidate)
    rows = [
        (
            _text(doubt.key.route),
            f"<code>{_text(doubt.key.path)}</code>",
            doubt.kind,
            str(doubt.count),
            _text(doubt.why, 400),
        )
        for doubt in candidate.suppressed[:_ROWS_MAX]
    ]
    parts += [
        f"<details><summary>Not claimed: noise, or too rare to tell ({len(candidate.suppressed)})</summary>",
        _table(("route", "place", "kind", "count", "why"), rows, frozenset((3,))),
        _cut(len(candidate.suppressed)),
        "</details>",
    ]
    coverage = candidate.coverage
    parts.append(
        f"<h3>Coverage</h3><p>{coverage.behaviours_performed} of {coverage.behaviours_seen} behaviours that were seen "
        f"were performed. The next production request does something never performed with probability "
        f"{coverage.unseen_probability:.2%} ({coverage.low:.2%} to {coverage.high:.2%}).</p>"
    )
    return parts


def _cut(count: int) -> str:
    return f'<p class="dim">{count - _ROWS_MAX} more are in the JSON report.</p>' if count > _ROWS_MAX else ""


def _finding(finding: Finding, anchor: str) -> str:
    route = f"{len(finding.routes)} routes" if finding.routes else finding.route
    cause = finding.caused_by
    follows = f' <span class="dim">follows from <a href="#{anchor}{cause}">{cause}</a></span>' if cause else ""
    head = (
        f'<span class="tag {finding.severity}">{finding.severity}</span> {_text(route)} '
        f"<code>{_text(finding.path)}</code> {finding.kind}, {finding.count} of {finding.pairs}{follows}"
    )
    rows = []
    for sample in finding.samples:
        left, right = (f"<code>{html.escape(side)}</code>" for side in shown_pair(sample.left, sample.right, 400))
        rows.append(
            (
                f"<code>{_text(sample.exchange)}</code>",
                f"<code>{_text(sample.path)}</code>",
                "<i>absent</i>" if finding.kind == "extra" else left,
                "<i>absent</i>" if finding.kind == "missing" else right,
            )
        )
    lines = [
        f"{_text(finding.from_class)} &rarr; {_text(finding.to_class)}; {_text(finding.severity_reason)}; "
        f"{finding.share:.2%} of production ({finding.share_low:.2%} to {finding.share_high:.2%}); id {finding.id}"
    ]
    lines += [
        f"{one.inside:.0%} of them have {' and '.join(f'<code>{_text(words(fact))}</code>' for fact in one.facts)}, "
        f"{one.outside:.0%} of the rest"
        for one in finding.explained_by
    ]
    for label, names in (("together with", finding.parts), ("on", finding.routes)):
        if names:
            lines.append(f"{label} " + ", ".join(f"<code>{_text(name)}</code>" for name in names[:50]))
    body = "".join(f"<p>{line}</p>" for line in lines)
    is_open = "" if finding.caused_by else " open"
    table = _table(("example", "place", "current", "candidate"), rows) if rows else ""
    return f'<details id="{anchor}{finding.id}"{is_open}><summary>{head}</summary>{body}{table}</details>'


def _timing(candidate: CandidateReport) -> list[str]:
    rows = []
    for row in candidate.timing[:_ROWS_MAX]:
        numbers = (
            ("", "", "", "", "")
            if row.ratio is None
            else (
                f"{row.current_ms:.2f}", f"{row.candidate_ms:.2f}", f"{row.ratio:.2f}",
                f"{row.low:.2f} to {row.high:.2f}", f"{row.detectable:.2f}",
            )
        )  # fmt: skip
        verdict = f'<span class="{row.verdict}">{row.verdict}</span>'
        rows.append((_text(row.route), row.quantile, str(row.pairs), *numbers, verdict, _text(row.reason or "")))
    headings = (
        "route", "at", "pairs", "current ms", "candidate ms", "ratio", "interval", "could have seen", "verdict",
        "remark",
    )  # fmt: skip
    return [
        "<details><summary>Timing</summary>",
        _table(headings, rows, frozenset(range(2, 8))),
        _cut(len(candidate.timing)),
        "</details>",
    ]
