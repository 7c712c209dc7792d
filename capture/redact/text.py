"""Redaction of line formats: server-sent events and tables of comma separated values."""

from __future__ import annotations

import re

from capture.redact.found import Found
from capture.redact.json_text import redact_json
from capture.redact.pairs import redact_text

__all__ = ["redact_csv", "redact_events"]


def redact_events(text: str, found: Found) -> str:
    """Server-sent events (WHATWG HTML section 9.2): data that holds JSON, on one line or several, is read as such."""
    parts = re.split(r"(\r\n|\r|\n)", text)
    place = 0
    while place < len(parts):
        end = place
        while end < len(parts) and parts[end].startswith("data:"):
            end += 2
        if end > place and parts[place][5:].lstrip()[:1] in ("{", "["):
            # A line feed ends no value of JSON, so as many lines come out as went in.
            data = "\n".join([part[5:] for part in parts[place:end:2]])
            parts[place:end:2] = ["data:" + line for line in redact_json(data, found, "events").split("\n")]
        else:
            end = max(end, place + 2)
            parts[place:end:2] = [redact_text(part, found) for part in parts[place:end:2]]
        place = end
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
