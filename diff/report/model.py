"""The report as records: what every rendering (terminal, JSON, Markdown, JUnit, HTML) is made from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from diff.coverage import Coverage
from diff.evidence import Shown
from diff.findings import Finding
from diff.ledger import Ledger, Totals
from diff.rules import ExpectedRow
from diff.significance import Doubt
from diff.timing import TimingRow
from diff.verdict import Verdict

__all__ = ["REPORT_VERSION", "CandidateReport", "Report"]

REPORT_VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class CandidateReport:
    """What is said of one candidate; findings the gravest first, those that follow from another last.

    places: which finding each change at each place belongs to.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    totals: Totals
    findings: tuple[Finding, ...]
    suppressed: tuple[Doubt, ...]
    expected: tuple[ExpectedRow, ...]
    timing: tuple[TimingRow, ...]
    coverage: Coverage
    places: Mapping[Shown, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What is said of a run; `verdict` is the worst of the candidates'."""

    verdict: Verdict
    reasons: tuple[str, ...]
    ledger: Ledger
    candidates: Mapping[str, CandidateReport]
