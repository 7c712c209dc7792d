"""The wide events: one row an exchange and build, with every fact that is known, in SQLite for `understudy query`.

The table is built anew from the run for each question, in a temporary file, so that it is never out of date; SQL can
read it and nothing else.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from capture.errors import UsageError
from capture.exchange import Response, header
from diff.judge import PairFate
from diff.report.model import Report
from replay.outcome import Outcome, Performance

__all__ = ["COLUMNS", "EventTable"]

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("position", "INTEGER", "place in the plan, from 0"),
    ("iteration", "INTEGER", "0 unless the plan was looped"),
    ("exchange", "TEXT", "id of the recorded exchange"),
    ("session", "TEXT", "opaque key of the session"),
    ("source", "TEXT", "what captured it"),
    ("recorded_at_ns", "INTEGER", "first byte of the recorded request, ns since the Unix epoch"),
    ("kept_with", "REAL", "probability with which it was kept; 1 / kept_with is its production weight"),
    ("method", "TEXT", "of the recorded request"),
    ("target", "TEXT", "of the recorded request"),
    ("route", "TEXT", "the template that was learned"),
    ("request_headers", "TEXT", "JSON: [[name, value], ...] as recorded"),
    ("request_body_bytes", "INTEGER", "as recorded"),
    ("recorded_status", "INTEGER", "NULL where no response was recorded"),
    ("recorded_latency_ns", "INTEGER", "end of the request to end of the response, as recorded"),
    ("skipped", "TEXT", "why it was not sent, else NULL; then there is one row and no build"),
    ("build", "TEXT", "name of the build"),
    ("role", "TEXT", "current, reference or candidate"),
    ("status", "INTEGER", "NULL where there was no response"),
    ("failure", "TEXT", "kind of failure, else NULL"),
    ("failure_phase", "TEXT", "where it failed, else NULL"),
    ("failure_detail", "TEXT", "in words, else NULL"),
    ("planned_ns", "INTEGER", "when the plan wanted it sent"),
    ("sent_ns", "INTEGER", "when its first byte was sent, NULL where never"),
    ("first_byte_ns", "INTEGER", "of the response"),
    ("end_ns", "INTEGER", "last byte of the response, or the failure"),
    ("latency_ns", "INTEGER", "sent to end"),
    ("latency_from_plan_ns", "INTEGER", "planned to end"),
    ("send_order", "INTEGER", "this build's place in the shuffled order, from 0"),
    ("reused", "INTEGER", "1 where the connection had carried a request before"),
    ("attempts", "INTEGER", "2 where a dead connection was replaced"),
    ("sent_bytes", "INTEGER", "on the wire"),
    ("received_bytes", "INTEGER", "on the wire"),
    ("content_type", "TEXT", "of the response"),
    ("response_headers", "TEXT", "JSON: [[name, value], ...]"),
    ("response_body_bytes", "INTEGER", "after transfer coding, before content coding"),
    ("bindings", "TEXT", "JSON: [[place, origin], ...] of what was replaced in the request"),
    ("traceparent", "TEXT", "as sent"),
    ("was_left", "INTEGER", "1 where the answer was left, or given up, as production's client had left it"),
    ("verdict", "TEXT", "of a candidate: same, expected, noisy, different, not comparable; else NULL"),
    ("findings", "TEXT", "ids of the findings that it shows, separated by blanks; '' for none"),
    ("differences", "INTEGER", "at how many places it differs from the current build"),
)
"""Name, type and meaning of each column of `events`."""

_BATCH = 2000
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE})
_NUMBER_MAX = (1 << 63) - 1


class EventTable:
    """Build with `watch`, give the report with `finish`, then `ask`; a context manager.

    path: a file that is not there yet, in a private directory; "" keeps it where SQLite puts temporary tables.
    """

    def __init__(self, path: Path | str = "") -> None:
        self._db = sqlite3.connect(str(path), isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        columns = ", ".join(f"{name} {kind}" for name, kind, _ in COLUMNS)
        self._db.execute(f"CREATE TABLE events ({columns}, shown TEXT)")
        self._db.execute("BEGIN")
        self._insert = f"INSERT INTO events VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"
        self._rows: list[tuple[Any, ...]] = []
        self._last: tuple[int, int] | None = None
        self._sets: dict[tuple[str, Any], int] = {}

    def __enter__(self) -> EventTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def watch(self, fate: PairFate) -> None:
        """Take a pair as `judge` tells of it; the current build's and the reference's rows come with the first."""
        performance = fate.performance
        head = _of_exchange(performance, fate.route)
        if performance.skipped is not None:
            self._add((*head, performance.skipped, *(None,) * 24, "", 0, None))
            return
        key = (performance.position, performance.iteration)
        if key != self._last:
            self._last = key
            for outcome in performance.outcomes:
                if outcome.role != "candidate":
                    self._add((*head, None, *_of_outcome(outcome), None, "", 0, None))
        candidate = performance.outcome_of(fate.candidate)
        if candidate is not None:
            kinds = (fate.candidate, (fate.shown, fate.explained, fate.not_comparable))
            number = self._sets.setdefault(kinds, len(self._sets))
            places = len({one.key for one in fate.shown})
            self._add((*head, None, *_of_outcome(candidate), None, "", places, str(number)))

    def finish(self, report: Report) -> None:
        """Write verdicts and findings, which are known only now; nothing can be added or changed any more."""
        self._flush()
        fates = []
        for (candidate, (shown, explained, not_comparable)), number in self._sets.items():
            fate = PairFate(candidate, _NOTHING, "", shown, explained, not_comparable)
            verdict, findings = fate.verdict(report.candidates[candidate])
            fates.append((str(number), verdict, " ".join(findings)))
        self._sets.clear()
        self._db.execute("CREATE TABLE fates (number TEXT PRIMARY KEY, verdict TEXT, findings TEXT)")
        self._db.executemany("INSERT INTO fates VALUES (?, ?, ?)", fates)
        self._db.execute("ALTER TABLE events RENAME TO raw")
        names = ", ".join(
            f"fates.{name} AS {name}" if name == "verdict" else
            "coalesce(fates.findings, '') AS findings" if name == "findings" else f"raw.{name}"
            for name, _, _ in COLUMNS
        )  # fmt: skip
        self._db.execute(f"CREATE VIEW events AS SELECT {names} FROM raw LEFT JOIN fates ON raw.shown = fates.number")
        self._db.execute("COMMIT")
        for function in ("json_each", "json_tree"):
            # Table-valued functions register themselves at their first use, which reading alone would not allow.
            self._db.execute(f"SELECT 1 FROM {function}('[]')")
        self._db.execute("PRAGMA query_only = ON")
        self._db.set_authorizer(_authorise)

    def ask(self, sql: str) -> tuple[list[str], Iterator[Sequence[Any]]]:
        """The names of the columns and the rows. Raises UsageError for SQL that is wrong or does more than read."""
        try:
            cursor = self._db.execute(sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise UsageError(f"the query cannot be run: {_advice(error)}") from None
        if cursor.description is None:
            raise UsageError("the query selects nothing; begin it with SELECT, the table is `events`")
        return [column[0] for column in cursor.description], _rows(cursor)

    def _add(self, row: tuple[Any, ...]) -> None:
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._db.executemany(self._insert, self._rows)
        self._rows.clear()


_NOTHING: Any = None


def _rows(cursor: sqlite3.Cursor) -> Iterator[Sequence[Any]]:
    try:
        yield from cursor
    except sqlite3.Error as error:
        raise UsageError(f"the query cannot be run: {error}") from None


def _advice(error: Exception) -> str:
    text = str(error)
    if "not authorized" in text or "prohibited" in text or "readonly" in text:
        return f"{text}; only SELECT on `events` is possible"
    if "no such table" in text:
        return f"{text}; the table is `events`"
    if "no such column" in text:
        return f"{text}; its columns are {', '.join(name for name, _, _ in COLUMNS)}"
    return text


def _authorise(action: int, first: str | None, _second: str | None, _db: str | None, _trigger: str | None) -> int:
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (_second or first or "").lower() in ("load_extension", "readfile"):
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _of_exchange(performance: Performance, route: str) -> tuple[Any, ...]:
    exchange = performance.exchange
    request, response, times = exchange.request, exchange.response, exchange.times
    latency = None
    if times.response_end is not None:
        latency = times.response_end - (times.request_end or times.request_start)
    return (
        performance.position, performance.iteration, exchange.id, exchange.session, exchange.source,
        _number(times.request_start), exchange.kept_with, request.method, _text(request.target), _text(route),
        _pairs(request.headers), request.body_bytes, None if response is None else response.status, _number(latency),
    )  # fmt: skip


def _of_outcome(outcome: Outcome) -> tuple[Any, ...]:
    response, failure = outcome.response, outcome.failure
    return (
        outcome.build, outcome.role, None if response is None else response.status,
        *((failure.kind, failure.phase, _text(failure.detail)) if failure is not None else (None, None, None)),
        _number(outcome.planned_ns), _number(outcome.sent_ns), _number(outcome.first_byte_ns), _number(outcome.end_ns),
        _number(outcome.latency_ns), _number(outcome.latency_from_plan_ns), outcome.order, int(outcome.reused),
        outcome.attempts, outcome.sent_bytes, outcome.received_bytes, *_of_response(response),
        json.dumps([[one.place, one.origin] for one in outcome.bindings]), outcome.traceparent, int(outcome.left),
    )  # fmt: skip


def _of_response(response: Response | None) -> tuple[Any, ...]:
    if response is None:
        return None, None, None
    kind = header(response.headers, "content-type")
    return None if kind is None else _text(kind), _pairs(response.headers), response.body_bytes


def _pairs(headers: Sequence[tuple[str, str]]) -> str:
    return json.dumps([[name, value] for name, value in headers])


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _number(value: int | None) -> int | None:
    return value if value is None or abs(value) <= _NUMBER_MAX else None
