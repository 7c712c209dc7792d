"""The report as JSON, version 1: the same run gives the same bytes."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from diff.explain import Explanation
from diff.findings import Finding
from diff.report.model import REPORT_VERSION, CandidateReport, Report
from diff.significance import Doubt
from diff.timing import TimingRow

__all__ = ["as_json", "as_plain"]


# Whoever reads the report knows three states; what is known beyond them is a key of its own.
_STATES: Final = {"seen": "seen", "exceeded": "seen", "missing": "missing", "unused": "missing", "expired": "expired"}


def as_json(report: Report) -> bytes:
    """UTF-8, indented, with a line feed at the end."""
    text = msgspec.json.encode(as_plain(report))
    return msgspec.json.format(text, indent=2) + b"\n"


def as_plain(report: Report) -> dict[str, Any]:
    """The report as plain dicts and lists, keys as in the documented format."""
    return {
        "version": REPORT_VERSION,
        "verdict": report.verdict,
        "reasons": list(report.reasons),
        "ledger": report.ledger.as_dict(),
        "candidates": {name: _candidate(report.candidates[name]) for name in sorted(report.candidates)},
    }


def _candidate(candidate: CandidateReport) -> dict[str, Any]:
    coverage = candidate.coverage
    return {
        "verdict": candidate.verdict,
        "reasons": list(candidate.reasons),
        "totals": candidate.totals.as_dict(),
        "findings": [_finding(finding) for finding in candidate.findings],
        "suppressed": [_doubt(doubt) for doubt in candidate.suppressed],
        "expected": [
            {
                "rule": row.rule,
                "count": row.count,
                "state": _STATES[row.state],
                "detail": row.state,
                "action": row.action,
                "reason": row.reason,
            }
            for row in candidate.expected
        ],
        "timing": [_timing(row) for row in candidate.timing],
        "coverage": {
            "behaviours_seen": coverage.behaviours_seen,
            "behaviours_performed": coverage.behaviours_performed,
            "unseen_probability": coverage.unseen_probability,
            "low": coverage.low,
            "high": coverage.high,
        },
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "route": finding.route,
        "path": finding.path,
        "kind": finding.kind,
        "from": finding.from_class,
        "to": finding.to_class,
        "severity": finding.severity,
        "severity_reason": finding.severity_reason,
        "count": finding.count,
        "pairs": finding.pairs,
        "share": finding.share,
        "share_low": finding.share_low,
        "share_high": finding.share_high,
        "p": float(f"{finding.p:.3g}"),
        "examples": list(finding.examples),
        "samples": [
            {"id": sample.exchange, "path": sample.path, "current": sample.left, "candidate": sample.right}
            for sample in finding.samples
        ],
        "explained_by": [_explanation(one) for one in finding.explained_by],
        "caused_by": finding.caused_by,
        "parts": list(finding.parts),
        "routes": list(finding.routes),
    }


def _explanation(one: Explanation) -> dict[str, Any]:
    told = {"dimension": one.dimension, "value": one.value, "inside": one.inside, "outside": one.outside}
    if one.parts:
        told["and"] = [{"dimension": name, "value": value} for name, value in one.parts]
    return told


def _doubt(doubt: Doubt) -> dict[str, Any]:
    return {
        "route": doubt.key.route,
        "path": doubt.key.path,
        "kind": doubt.kind,
        "count": doubt.count,
        "why": doubt.why,
        "decisive": doubt.grave is not None,
    }


def _timing(row: TimingRow) -> dict[str, Any]:
    return {
        "route": row.route,
        "quantile": row.quantile,
        "pairs": row.pairs,
        "ratio": row.ratio,
        "low": row.low,
        "high": row.high,
        "detectable": row.detectable,
        "verdict": row.verdict,
        "current_ms": row.current_ms,
        "candidate_ms": row.candidate_ms,
        "reason": row.reason,
    }
