"""What people said about differences beforehand: ignore, tolerate and expect, each scoped, with a reason, expiring.

[[ignore]]                        # never judged: counted as expected
route = "GET /products/{id}"      # as the report names it; * stands for anything; left out: every route
path = "$['rating']"              # as the report names it, or with [*] and *; left out: every place
kind = "value"                    # missing, extra, type, value, order, length; left out: every kind
build = "next"                    # the candidate's name; left out: every candidate
reason = "ratings are recomputed"
expires = 2027-01-31              # judged again from that day on; optional

[[tolerate]]                      # numbers that are near enough, texts of the same class
path = "$['price']"
absolute = 0.01                   # or relative = 0.001, or class = true
reason = "rounding of the new library"

[[expect]]                        # a change that is meant: it must show
path = "header:x-api-version"
min = 1                           # fewer pairs than this, and the change did not happen: a finding
max = 1000                        # more, and it spread: a finding
reason = "the release bumps the version"
"""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from capture.config import Settings, check_known, nearest, read_settings
from capture.errors import UsageError
from diff.difference import KINDS
from diff.odd import Seen
from diff.rule_path import Documents, RulePath
from diff.settings import DiffConfig

__all__ = ["ExpectedRow", "Rule", "RuleBook", "read_all_rules", "read_rules"]

Action = Literal["ignore", "tolerate", "expect"]
_COMMON = ("route", "path", "kind", "build", "reason", "expires")
_KEYS: dict[Action, tuple[str, ...]] = {
    "ignore": _COMMON,
    "tolerate": (*_COMMON, "absolute", "relative", "class"),
    "expect": (*_COMMON, "min", "max", "from", "to"),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One rule; None stands for "whatever". name: how reports call it, e.g. "expect[0] $['a']: REASON"."""

    action: Action
    name: str
    route: re.Pattern[str] | None
    path: RulePath | None
    kind: str | None
    build: str | None
    reason: str
    expires: datetime.date | None
    absolute: float | None = None
    relative: float | None = None
    same_class: bool = False
    count_min: int = 1
    count_max: int | None = None
    from_class: str | None = None
    to_class: str | None = None

    def matches(self, route: str, seen: Seen, build: str, documents: Documents | None = None) -> bool:
        """True where this rule speaks about that difference; documents: the bodies in which it was found."""
        if self.kind is not None and self.kind != seen.change.kind:
            return False
        if self.build is not None and self.build != build:
            return False
        if self.route is not None and not self.route.fullmatch(route):
            return False
        if self.from_class is not None and self.from_class != seen.change.from_class:
            return False
        if self.to_class is not None and self.to_class != seen.change.to_class:
            return False
        if self.path is not None and not self.path.speaks_of(seen.difference, documents):
            return False
        return self.action != "tolerate" or self._tolerable(seen)

    def _tolerable(self, seen: Seen) -> bool:
        left, right = seen.difference.left, seen.difference.right
        if self.same_class and seen.change.kind == "value" and seen.change.from_class == seen.change.to_class:
            return True
        if not _is_number(left) or not _is_number(right):
            return False
        gap = abs(Decimal(str(left)) - Decimal(str(right)))
        if self.absolute is not None and gap <= Decimal(str(self.absolute)):
            return True
        return self.relative is not None and gap <= Decimal(str(self.relative)) * abs(Decimal(str(left)))


@dataclasses.dataclass(frozen=True, slots=True)
class ExpectedRow:
    """What a rule did for one candidate; state "exceeded" where a change went beyond its bound."""

    rule: str
    count: int
    state: Literal["seen", "missing", "expired", "exceeded", "unused"]
    action: Action
    reason: str


class RuleBook:
    """The rules for one candidate at one date, with the count of pairs that each one explained."""

    __slots__ = ("_active", "_build", "_counts", "_rules")

    def __init__(self, rules: Sequence[Rule], build: str, today: datetime.date) -> None:
        self._rules = [rule for rule in rules if rule.build is None or rule.build == build]
        self._build = build
        self._active = [
            (index, rule) for index, rule in enumerate(self._rules) if rule.expires is None or rule.expires > today
        ]
        self._counts = [0] * len(self._rules)

    def sift(self, route: str, seen: Sequence[Seen], documents: Documents | None = None) -> tuple[list[Seen], bool]:
        """The differences that no rule explains, and whether a rule explained any; counts each rule once a pair."""
        if not self._active:
            return list(seen), False
        left, used = [], set()
        for one in seen:
            found = next(
                (index for index, rule in self._active if rule.matches(route, one, self._build, documents)), None
            )
            if found is None:
                left.append(one)
            else:
                used.add(found)
        for index in used:
            self._counts[index] += 1
        return left, bool(used)

    def without(self, route: str, seen: Sequence[Seen], documents: Documents | None = None) -> list[Seen]:
        """As `sift`, for what the witness differs in: what a rule speaks about is not judged, and not counted."""
        if not self._active:
            return list(seen)
        return [
            one for one in seen if not any(rule.matches(route, one, self._build, documents) for _, rule in self._active)
        ]

    def merge(self, other: RuleBook) -> None:
        """Add the counts of the same rules for other pairs of the same candidate."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]

    def rows(self) -> list[ExpectedRow]:
        """What every rule did, in the order of the file."""
        active = {index for index, _ in self._active}
        rows = []
        for index, rule in enumerate(self._rules):
            count = self._counts[index]
            state: Literal["seen", "missing", "expired", "exceeded", "unused"]
            if index not in active:
                state = "expired"
            elif rule.action == "expect" and count < rule.count_min:
                state = "missing"
            elif rule.action == "expect" and rule.count_max is not None and count > rule.count_max:
                state = "exceeded"
            elif count == 0:
                state = "unused"
            else:
                state = "seen"
            rows.append(ExpectedRow(rule.name, count, state, rule.action, rule.reason))
        return rows


def read_rules(settings: Settings) -> list[Rule]:
    """The rules of the configuration, in the order ignore, tolerate, expect. Raises UsageError naming the rule."""
    rules: list[Rule] = []
    actions: tuple[Action, ...] = ("ignore", "tolerate", "expect")
    for action in actions:
        tables = settings.tables.get(action, [])
        if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
            raise UsageError(f"{settings.where}: write [[{action}]], with two brackets, for a rule")
        for index, table in enumerate(tables):
            rules.append(_rule(action, index, table, f"{settings.where}: [[{action}]] number {index + 1}"))
    return rules


def read_all_rules(settings: Settings, config: DiffConfig) -> list[Rule]:
    """The rules of the configuration and of the file that [diff] rules names, which lies beside it.

    Raises UsageError as `read_rules` does, BadInput where that file is not there or not TOML.
    """
    rules = read_rules(settings)
    if config.rules is None:
        return rules
    place = Path(settings.where).parent / config.rules
    more = read_settings(place, {})
    known: dict[str, type | None] = {"ignore": None, "tolerate": None, "expect": None}
    check_known(more, known)
    return rules + read_rules(more)


def _rule(action: Action, index: int, table: Mapping[str, Any], where: str) -> Rule:
    known = list(_KEYS[action])
    for key in table:
        if key not in known:
            raise UsageError(f"{where}: unknown key {key!r}; {nearest(key, known)}")
    reason = _text(table, "reason", where)
    if not reason:
        raise UsageError(f"{where}: reason is missing; say why, for whoever reads the report")
    kind = _text(table, "kind", where)
    if kind is not None and kind not in KINDS:
        raise UsageError(f"{where}: unknown kind {kind!r}; {nearest(kind, list(KINDS))}")
    expires = table.get("expires")
    if isinstance(expires, str):
        try:
            expires = datetime.date.fromisoformat(expires)
        except ValueError:
            raise UsageError(f"{where}: expires must be a date such as 2027-01-31, found {expires!r}") from None
    if isinstance(expires, datetime.datetime):
        expires = expires.date()
    if expires is not None and not isinstance(expires, datetime.date):
        raise UsageError(f"{where}: expires must be a date such as 2027-01-31, found {expires!r}")
    absolute, relative = _number(table, "absolute", where), _number(table, "relative", where)
    if action == "tolerate" and absolute is None and relative is None and table.get("class") is not True:
        raise UsageError(f"{where}: say how much is tolerated: absolute, relative, or class = true")
    route, path = _text(table, "route", where), _text(table, "path", where)
    least, most = _count(table, "min", where), _count(table, "max", where)
    if least is not None and most is not None and least > most:
        raise UsageError(f"{where}: min {least} is greater than max {most}")
    if not any((route, path, kind, table.get("build"))):
        raise UsageError(f"{where}: would match every difference; give at least a route, path, kind or build")
    scope = " ".join(part for part in (route, path, kind) if part)
    return Rule(
        action=action,
        name=f"{action}[{index}] {scope}".strip(),
        route=None if route is None else _route_pattern(route),
        path=None if path is None else _rule_path(path, where),
        kind=kind,
        build=_text(table, "build", where),
        reason=reason,
        expires=expires,
        absolute=absolute,
        relative=relative,
        same_class=table.get("class") is True,
        count_min=1 if least is None else least,
        count_max=most,
        from_class=_text(table, "from", where),
        to_class=_text(table, "to", where),
    )


def _route_pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)


def _rule_path(text: str, where: str) -> RulePath:
    try:
        return RulePath(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None


def _text(table: Mapping[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is not None and not isinstance(value, str):
        raise UsageError(f"{where}: {key} must be text, found {value!r}")
    return value


def _number(table: Mapping[str, Any], key: str, where: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise UsageError(f"{where}: {key} must be a number that is not negative, found {value!r}")
    return float(value)


def _count(table: Mapping[str, Any], key: str, where: str) -> int | None:
    value = table.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise UsageError(f"{where}: {key} must be a whole number of pairs, found {value!r}")
    return value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return True
    return (isinstance(value, float) and value == value and abs(value) != float("inf")) or (
        isinstance(value, Decimal) and value.is_finite()
    )
