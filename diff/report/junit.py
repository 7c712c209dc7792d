"""The report as JUnit XML for a CI server: a suite for each candidate, a case for each finding and for the verdict."""

from __future__ import annotations

from xml.etree import ElementTree

from diff.findings import Finding
from diff.report.escape import shown_pair, visible
from diff.report.model import CandidateReport, Report

__all__ = ["as_junit"]


def as_junit(report: Report) -> bytes:
    """UTF-8 XML. Findings and slower routes are failures; an inconclusive verdict is an error, not a pass."""
    root = ElementTree.Element("testsuites", name="understudy")
    for name in sorted(report.candidates):
        root.append(_suite(name, report.candidates[name]))
    if not report.candidates:
        suite = ElementTree.SubElement(root, "testsuite", name="understudy", tests="1", failures="0", errors="1")
        case = ElementTree.SubElement(suite, "testcase", classname="understudy", name="verdict")
        ElementTree.SubElement(case, "error", message=visible("; ".join(report.reasons), 500))
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _suite(name: str, candidate: CandidateReport) -> ElementTree.Element:
    suite = ElementTree.Element("testsuite", name=visible(name))
    failures = errors = 0
    verdict = ElementTree.SubElement(suite, "testcase", classname=visible(name), name="verdict")
    reasons = visible("; ".join(candidate.reasons), 2000)
    if candidate.verdict == "inconclusive":
        errors += 1
        ElementTree.SubElement(verdict, "error", message=f"inconclusive: {reasons}")
    elif candidate.verdict == "hold":
        failures += 1
        ElementTree.SubElement(verdict, "failure", message=f"hold: {reasons}")
    for finding in candidate.findings:
        failures += 1
        title = f"{finding.route} {finding.path} {finding.kind}"
        case = ElementTree.SubElement(suite, "testcase", classname=visible(name), name=visible(title, 300))
        failure = ElementTree.SubElement(case, "failure", message=_message(finding), type=finding.severity)
        failure.text = "\n".join(
            f"{visible(sample.exchange)} {visible(sample.path)}: "
            f"{' -> '.join(shown_pair(sample.left, sample.right, 200))}"
            for sample in finding.samples
        )
    for row in candidate.timing:
        if row.verdict == "unknown":
            continue
        case = ElementTree.SubElement(
            suite, "testcase", classname=visible(name), name=visible(f"{row.route} timing {row.quantile}", 300)
        )
        if row.verdict == "slower":
            failures += 1
            text = f"{row.ratio} times ({row.low} to {row.high}), {row.current_ms} ms -> {row.candidate_ms} ms"
            ElementTree.SubElement(case, "failure", message=text, type="slower")
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(failures))
    suite.set("errors", str(errors))
    return suite


def _message(finding: Finding) -> str:
    return visible(
        f"{finding.from_class} -> {finding.to_class} in {finding.count} of {finding.pairs} pairs; "
        f"{finding.severity_reason}",
        500,
    )
