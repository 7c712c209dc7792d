"""Findings: each real change of behaviour once, with its place, size, examples and what explains it.

What is sure place by place is folded here: the same change on many routes, siblings that always come together, a field
that was renamed, and what follows along a session from an earlier finding.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from diff.cause import CascadeLedger
from diff.conjunction import conjunction
from diff.crash import Failed, causes_of_failures
from diff.evidence import Evidence, Shown
from diff.examples import Example
from diff.explain import Explanation, explain
from diff.odd import Change, GroupKey
from diff.significance import EVERY_ROUTE, Decided
from diff.statistics import wilson

__all__ = ["Finding", "build_findings", "rule_finding"]

Severity = Literal["breaking", "behavioural", "cosmetic"]
_ROUTES_MANY = 3
_PLACES_MANY = 4
_EXPLANATIONS_MAX = 3
_PAGE = "$['html']"
_ALWAYS = 0.9
_TOGETHER = 0.95
_COSMETIC_HEADERS = frozenset(
    {"server", "x-powered-by", "content-encoding", "via", "x-aspnet-version", "x-runtime", "vary", "accept-ranges"}
)
_OF_CODING = frozenset({"header:vary", "header:accept-ranges", "header:etag"})
"""What servers say otherwise of an answer that they compress (RFC 9110, sections 8.4, 12.5.5 and 14.3)."""


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One change of behaviour.

    id: stable across runs: of place and change alone. route: "*" where many routes share it, then `routes` names them.
    from_class, to_class: value classes, or the statuses themselves. count of `pairs` (those of the route that were
    compared) show it; share is production's, weighted by how the sample was taken, with a 95 % interval. samples: the
    values behind the examples. parts: further paths that change with it. caused_by: id of the finding it follows from.
    """

    id: str
    route: str
    path: str
    kind: str
    from_class: str
    to_class: str
    severity: Severity
    severity_reason: str
    count: int
    pairs: int
    share: float
    share_low: float
    share_high: float
    samples: tuple[Example, ...]
    explained_by: tuple[Explanation, ...] = ()
    caused_by: str | None = None
    parts: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    p: float = 0.0

    @property
    def examples(self) -> tuple[str, ...]:
        """Ids of exchanges that show it."""
        return tuple(dict.fromkeys(sample.exchange for sample in self.samples))


@dataclasses.dataclass(slots=True)
class _Cluster:
    """Places that are one finding; the first member is the one that gives it its name."""

    members: list[Decided]
    parts: list[str] = dataclasses.field(default_factory=list)

    @property
    def head(self) -> Decided:
        return self.members[0]


def build_findings(
    evidence: Evidence, decided: Sequence[Decided], cascades: CascadeLedger
) -> tuple[list[Finding], dict[Shown, str]]:
    """Findings, the gravest first, and for each change that belongs to one the finding's id."""
    clusters = _fold_routes(list(decided))
    clusters = _fold_siblings(clusters, evidence)
    places: dict[GroupKey, str] = {}
    findings: dict[str, tuple[Finding, _Cluster]] = {}
    for cluster in clusters:
        finding = _finding(cluster, evidence)
        findings[finding.id] = (finding, cluster)
        for member in cluster.members:
            places[member.key] = finding.id
    shown = {one: places[member.key] for cluster in clusters for member in cluster.members for one in member.shown}
    told = []
    crashed = causes_of_failures(
        {
            identity: Failed(finding.to_class, [place for member in cluster.members for place in member.positions])
            for identity, (finding, cluster) in findings.items()
            if finding.path == "outcome" and finding.from_class == "answered"
        }
    )
    for finding, cluster in findings.values():
        cause = crashed.get(finding.id) or _cause(finding, cluster, cascades, places)
        told.append(dataclasses.replace(finding, caused_by=cause))
    told = _without_circles(told)
    told.sort(key=_order)
    return told, shown


def _order(finding: Finding) -> tuple[Any, ...]:
    gravity = {"breaking": 0, "behavioural": 1, "cosmetic": 2}[finding.severity]
    return (finding.caused_by is not None, gravity, -finding.share, finding.route, finding.path, finding.kind)


def _fold_routes(decided: list[Decided]) -> list[_Cluster]:
    """The same change at the same path of many routes is said once."""
    same: dict[tuple[str, Change], list[Decided]] = {}
    for one in decided:
        same.setdefault((one.key.path, one.changes[0]), []).append(one)
    clusters = []
    for members in same.values():
        # A cookie is of the site, whichever of its routes hands it out.
        alike = members[0].key.path.startswith("cookie:") or _one_target(members)
        if len(members) >= _ROUTES_MANY or (len(members) > 1 and alike):
            members.sort(key=lambda one: (-one.count, one.key))
            clusters.append(_Cluster(members))
        else:
            clusters += [_Cluster([one]) for one in members]
    return clusters


def _one_target(members: Sequence[Decided]) -> bool:
    """Whether these routes are one path template asked for by several methods, a form and its answer say."""
    return len({member.key.route.partition(" ")[2] for member in members}) == 1


def _fold_siblings(clusters: list[_Cluster], evidence: Evidence) -> list[_Cluster]:
    """Within one route: a renamed field, several fields of one object, and whatever shows in the very same pairs."""
    kept: list[_Cluster] = []
    by_route: dict[tuple[str, ...], list[_Cluster]] = {}
    for cluster in clusters:
        by_route.setdefault(tuple(sorted(member.key.route for member in cluster.members)), []).append(cluster)
    for _, group in sorted(by_route.items()):
        group.sort(key=lambda cluster: _prominence(cluster.head))
        heads: list[_Cluster] = []
        for cluster in group:
            host = next((head for head in heads if _belongs(cluster.head, head, evidence)), None)
            if host is None:
                heads.append(cluster)
            else:
                host.members += cluster.members
                host.parts += [cluster.head.key.path, *cluster.parts]
        kept += _fold_page(_fold_schema(heads))
    return kept


def _prominence(one: Decided) -> tuple[Any, ...]:
    """Who gives a cluster its name: outcome and status, then what is seen most, then what is nearest to the root."""
    path = one.key.path
    first = 0 if path in ("outcome", "status") else 1
    missing = 0 if one.changes[0].kind == "missing" else 1
    body = 0 if path.startswith("$") else 1
    return first, body, -one.count, path.count("["), missing, path


def _belongs(one: Decided, head_cluster: _Cluster, evidence: Evidence) -> bool:
    head = head_cluster.head
    if head.key.path == "outcome" or one.key.path == "outcome":
        return False
    if _is_rename(one, head, evidence):
        return True
    mine = set(one.positions)
    theirs = set(head.positions)
    if head.key.path == "header:content-encoding" and one.key.path in _OF_CODING:
        return len(mine & theirs) >= _TOGETHER * len(mine)
    pairs = evidence.routes[one.key.route].pairs
    if len(mine) < 5 or len(theirs) >= _ALWAYS * pairs:
        # Always there on this route: that two changes come together says nothing.
        return False
    if "status" in (one.key.path, head.key.path):
        return False
    return len(mine & theirs) >= _TOGETHER * len(mine)


def _is_rename(one: Decided, head: Decided, evidence: Evidence) -> bool:
    """A field that went missing and another that came, in one object, with the same values."""
    kinds = {one.changes[0].kind, head.changes[0].kind}
    if kinds != {"missing", "extra"} or _parent(one.key.path) != _parent(head.key.path):
        return False
    missing, extra = (one, head) if one.changes[0].kind == "missing" else (head, one)
    gone = {(example.exchange, _parent(example.path)): example.left for example in evidence.examples.of(missing.key)}
    came = {(example.exchange, _parent(example.path)): example.right for example in evidence.examples.of(extra.key)}
    both = gone.keys() & came.keys()
    return bool(both) and all(gone[key] == came[key] for key in both)


def _fold_schema(heads: list[_Cluster]) -> list[_Cluster]:
    """Four or more fields of one object that come or go together are a new schema of that object."""
    siblings: dict[tuple[str, str, int], list[_Cluster]] = {}
    for cluster in heads:
        head = cluster.head
        if head.changes[0].kind in ("missing", "extra", "type") and head.key.path.startswith("$"):
            siblings.setdefault((head.changes[0].kind, _parent(head.key.path), head.count), []).append(cluster)
    return _fold_many(heads, siblings.values())


def _fold_page(heads: list[_Cluster]) -> list[_Cluster]:
    """Four or more places of one HTML page that change together are a new page, whatever the changes are."""
    together: dict[int, list[_Cluster]] = {}
    for cluster in heads:
        if cluster.head.key.path.startswith(_PAGE):
            together.setdefault(cluster.head.count, []).append(cluster)
    return _fold_many(heads, together.values())


def _fold_many(heads: list[_Cluster], groups: Iterable[list[_Cluster]]) -> list[_Cluster]:
    """Fold each group of four or more, as far as they show in the very same pairs, into its first cluster."""
    gone: set[int] = set()
    for group in groups:
        first = set(group[0].head.positions)
        alike = [one for one in group if set(one.head.positions) == first]
        if len(alike) >= _PLACES_MANY:
            for other in alike[1:]:
                alike[0].members += other.members
                alike[0].parts += [other.head.key.path, *other.parts]
                gone.add(id(other))
    return [cluster for cluster in heads if id(cluster) not in gone]


def _parent(path: str) -> str:
    return path[: path.rfind("[")] if path.endswith("]") else path.rpartition(":")[0]


def _finding(cluster: _Cluster, evidence: Evidence) -> Finding:
    head = cluster.head
    change = head.changes[0]
    names = sorted({member.key.route for member in cluster.members})
    route = names[0] if len(names) == 1 else EVERY_ROUTE
    # Members of one route are the same pairs; the head's own path on every route gives the count.
    heads = [member for member in cluster.members if member.key.path == head.key.path]
    count = sum(member.count for member in heads)
    routes = [evidence.routes[member.key.route] for member in heads]
    tallies = [evidence.paths[member.key] for member in heads]
    pairs = sum(tally.pairs for tally in routes)
    weight, squared = sum(tally.weight for tally in routes), sum(tally.weight_squared for tally in routes)
    affected = sum(
        tally.weight * member.count / max(1, tally.count) for tally, member in zip(tallies, heads, strict=True)
    )
    share = min(1.0, affected / weight) if weight else 0.0
    low, high = wilson(share, weight * weight / squared) if squared else (0.0, 1.0)
    severity, reason = _severity(head.key.path, change)
    samples: list[Example] = []
    for member in heads:
        samples += evidence.examples.chosen(member.key, member.changes)
    return Finding(
        id=_identity(route, head.key.path, change),
        route=route,
        path=head.key.path,
        kind=change.kind,
        from_class=change.from_class,
        to_class=change.to_class,
        severity=severity,
        severity_reason=reason,
        count=count,
        pairs=pairs,
        share=_rounded(share),
        share_low=_rounded(low),
        share_high=_rounded(high),
        samples=tuple(samples[:5]),
        explained_by=_explained(heads[0], evidence) if len(heads) == 1 else (),
        parts=tuple(cluster.parts),
        routes=tuple(names) if len(names) > 1 else (),
        p=min(member.p for member in cluster.members),
    )


def _explained(head: Decided, evidence: Evidence) -> tuple[Explanation, ...]:
    facts = evidence.dimensions.get(head.key)
    route = evidence.routes[head.key.route]
    apart = evidence.paths[head.key].odd.candidate + evidence.paths[head.key].untested
    if facts is None:
        return ()
    single = explain(facts, apart, route.dimensions, route.pairs)
    both = conjunction(*evidence.samples.apart(head.key.route, head.key), apart, max(0, route.pairs - apart))
    return single if both is None else (both, *single[: _EXPLANATIONS_MAX - 1])


def _identity(route: str, path: str, change: Change) -> str:
    text = "\0".join((route, path, change.kind, change.from_class, change.to_class))
    return "f-" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _rounded(share: float) -> float:
    return round(share, 6) if math.isfinite(share) else 0.0


def _severity(path: str, change: Change) -> tuple[Severity, str]:
    if path == "outcome":
        return "breaking", "the candidate gave no answer where the current build did"
    if path == "status":
        if change.to_class[:1] in ("4", "5") and change.from_class[:1] not in ("4", "5"):
            return "breaking", "an answer became an error"
        return "behavioural", "another status"
    if path.startswith("header:"):
        name = path.partition(":")[2]
        if name in _COSMETIC_HEADERS:
            return "cosmetic", "a header about the server or the coding, not about the content"
        if name == "content-type" or change.kind == "missing":
            return "breaking", "clients depend on this header being there and of this type"
        return "behavioural", "a header changed"
    if change.kind == "missing":
        return "breaking", "something clients may read is gone"
    if change.kind == "extra":
        return "behavioural", "something new is there"
    if change.kind == "type" or change.to_class in ("null", "empty"):
        return "breaking", "the type changed, or the content is gone"
    return "behavioural", "the content changed"


def _cause(finding: Finding, cluster: _Cluster, cascades: CascadeLedger, places: dict[GroupKey, str]) -> str | None:
    for cause in cascades.causes_of(cluster.head.key, cluster.head.count):
        identity = places.get(cause)
        if identity is not None and identity != finding.id:
            return identity
    return None


def _without_circles(findings: list[Finding]) -> list[Finding]:
    """A cause that is itself caused by what it causes is no cause: the more frequent of a circle stands alone."""
    causes = {finding.id: finding.caused_by for finding in findings}
    for finding in sorted(findings, key=lambda one: (-one.count, one.id)):
        seen = {finding.id}
        cause = causes[finding.id]
        while cause is not None and cause not in seen:
            seen.add(cause)
            cause = causes.get(cause)
        if cause is not None:
            causes[finding.id] = None
    return [dataclasses.replace(finding, caused_by=causes[finding.id]) for finding in findings]


def rule_finding(name: str, count: int, pairs: int, *, exceeded: bool) -> Finding:
    """The finding that an expected change did not happen, or went beyond its bound."""
    change = Change("value", "expected", "exceeded" if exceeded else "never seen")
    share = count / pairs if pairs else 0.0
    low, high = wilson(share, pairs)
    reason = "an expected change went beyond its bound" if exceeded else "an expected change did not happen"
    return Finding(
        _identity(EVERY_ROUTE, name, change), EVERY_ROUTE, name, change.kind, change.from_class, change.to_class,
        "behavioural", reason, count, pairs, _rounded(share), _rounded(low), _rounded(high), (),
    )  # fmt: skip
