"""Redaction of line formats: server-sent events and tables of comma separated values."""

from __future__ import annotations

import re

from capture.redact.found import Found
from capture.redact.json_text import redact_json
from capture.redact.pairs import redact_text

__all__ = ["redact_csv", "redact_events"]


def redact_events(text: str, found: Found) -> str:
    """Server-sent events (WHATWG HTML section 9.2): the data lines that hold JSON are read as such."""
    parts = []
    for line in re.split(r"(\r\n|\r|\n)", text):
        if line.startswith("data:") and line[5:].lstrip()[:1] in ("{", "["):
            parts.append("data:" + redact_json(line[5:], found, "events"))
        else:
            parts.append(redact_text(line, found))
    return "".join(parts)


def redact_csv(text: str, found: Found) -> str:
    """Comma, semicolon or tab separated values (RFC 4180): the columns whose first row has the name of a secret."""
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    column, row = 0, 0
    parts = []
    secret: dict[int, str] = {}
    for match in re.finditer(rf'"(?:[^"]|"")*"|[{mark}]|\r\n|\r|\n|[^{mark}\r\n"]+|"', text):
        token = match.group()
        found.spend(1)
        if token == mark:
            column += 1
        elif token[0] in "\r\n":
            column, row = 0, row + 1
        elif row == 0:
            if found.rules.names.field(token.strip('" ')):
                secret[column] = token.strip('" ')
        elif column in secret:
            quoted = token[0] == '"' and len(token) > 1
            made = found.replace(token[1:-1].replace('""', '"') if quoted else token, f"csv:{secret[column]}")
            token = '"' + made.replace('"', '""') + '"' if quoted else made
        parts.append(token)
    return found.scrub("".join(parts), "body")
