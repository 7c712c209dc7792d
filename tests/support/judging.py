"""Judge performances in memory; the sums of every report that a test makes are checked."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from capture.config import Settings
from diff.judge import Subject, judge
from diff.report.json import as_plain
from diff.report.model import Report
from diff.rules import read_rules
from diff.settings import DiffConfig
from replay.outcome import Performance
from replay.run import RunWriter
from tests.support.accounts import assert_ledger_closes

TODAY = datetime.date(2026, 9, 21)


def judged(
    performances: Sequence[Performance],
    *,
    reference: bool = True,
    partial: str | None = None,
    tables: dict[str, Any] | None = None,
    **settings: Any,
) -> Report:
    subject = Subject(
        lambda: performances,
        current="current",
        candidates=["candidate"],
        reference="reference" if reference else None,
        partial=partial,
    )
    rules = read_rules(Settings("understudy.toml", tables or {}, {}))
    report = judge(subject, DiffConfig(**settings), rules, TODAY)
    assert_ledger_closes(as_plain(report))
    return report


def write_run(directory: Path, performances: Sequence[Performance], **final: object) -> Path:
    builds = [{"name": one.build, "role": one.role, "url": "http://127.0.0.1:9"} for one in performances[0].outcomes]
    writer = RunWriter(directory, {"builds": builds, "ledger": None})
    for performance in performances:
        writer.record(performance)
    writer.close({"partial": False, **final})
    return directory


def told(report: Report) -> list[tuple[str, str, str]]:
    """Route, path and kind of every finding of the candidate that no other one has caused."""
    return [(one.route, one.path, one.kind) for one in report.candidates["candidate"].findings if one.caused_by is None]
