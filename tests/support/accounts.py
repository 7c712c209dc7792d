"""The two sums that must close wherever a sidecar or a replay ran; every such test calls these."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from capture.conservation import Conservation

_PAIR = re.compile(r"(\S+?)=(\d+)")


def parse_conservation_line(line: str) -> Conservation:
    """The counts of a `conservation seen=...` line; raises AssertionError where it is not one."""
    assert line.startswith("conservation "), f"not a conservation line: {line!r}"
    values = {name: int(count) for name, count in _PAIR.findall(line)}
    counts = Conservation()
    counts.seen, counts.kept = values["seen"], values["kept"]
    counts.sampled_out, counts.opaque = values["sampled_out"], values["opaque"]
    for name, count in values.items():
        kind, colon, reason = name.partition(":")
        if colon:
            getattr(counts, kind)[reason] += count
    assert sum(counts.shed.values()) == values["shed"], line
    assert sum(counts.incomplete.values()) == values["incomplete"], line
    return counts


def assert_conserved(line: str) -> Conservation:
    """Every exchange seen has exactly one fate; returns the counts."""
    counts = parse_conservation_line(line)
    assert counts.balanced(), line
    return counts


def assert_ledger_closes(report: Mapping[str, Any]) -> None:
    """planned = sent + skipped; sent = answered + failed for each build; each candidate's totals sum to sent."""
    ledger = report["ledger"]
    assert ledger["planned"] == ledger["sent"] + sum(ledger["skipped"].values()), ledger
    for build, answered in ledger["answered"].items():
        assert ledger["sent"] == answered + sum(ledger["failed"].get(build, {}).values()), (build, ledger)
    for name, candidate in report.get("candidates", {}).items():
        totals = dict(candidate["totals"])
        not_comparable = sum(totals.pop("not_comparable").values())
        assert ledger["sent"] == sum(totals.values()) + not_comparable, (name, candidate["totals"], ledger)
