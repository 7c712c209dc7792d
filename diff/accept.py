"""From a finding to the rule that accepts it, as TOML that is made for review."""

from __future__ import annotations

import datetime
import json
from typing import Literal

from diff.findings import Finding
from diff.significance import EVERY_ROUTE

__all__ = ["rule_text"]


def rule_text(
    finding: Finding,
    *,
    action: Literal["expect", "ignore"],
    reason: str,
    expires: datetime.date | None,
    build: str | None = None,
) -> str:
    """One table for `understudy.toml`, with what was seen as a comment, and a further one for each part.

    expect: the change must show from now on; ignore: it may. build: only for the candidate of that name.
    """
    seen = f"{finding.id}: {finding.from_class} -> {finding.to_class} in {finding.count} of {finding.pairs} pairs"
    tables = [_table(finding, finding.path, finding.kind, action, reason, expires, build, seen)]
    for part in finding.parts:
        # What came together with the finding: of any kind, and not asked for by itself.
        tables.append(_table(finding, part, None, "ignore", reason, expires, build, f"part of {finding.id}"))
    return "\n".join(tables)


def _table(
    finding: Finding,
    path: str,
    kind: str | None,
    action: str,
    reason: str,
    expires: datetime.date | None,
    build: str | None,
    comment: str,
) -> str:
    lines = [f"[[{action}]]  # {_comment(comment)}"]
    if finding.route != EVERY_ROUTE:
        lines.append(f"route = {_quoted(finding.route)}")
    lines.append(f"path = {_quoted(path)}")
    if kind is not None:
        lines.append(f"kind = {_quoted(kind)}")
    if build is not None:
        lines.append(f"build = {_quoted(build)}")
    lines.append(f"reason = {_quoted(reason)}")
    if expires is not None:
        lines.append(f"expires = {expires.isoformat()}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are TOML's, but for lone surrogates and DEL."""
    safe = text.encode("utf-8", "replace").decode("utf-8")
    return json.dumps(safe, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
