"""One exchange for a person: as captured, what each build answered, what differs and why it was judged so. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from capture.clock import rfc3339
from capture.exchange import Headers, Request, Response, headers_named
from diff.address import Address, compare_at_home
from diff.content import decode_content, parse_codings
from diff.difference import format_path, jsonable
from diff.evidence import Shown
from diff.judge import PairFate
from diff.odd import GroupKey, seen_of
from diff.report.escape import shown_pair, visible
from diff.report.model import CandidateReport, Report
from replay.outcome import Outcome, Performance

__all__ = ["show_lines"]

_DIFFERENCES_MAX = 100


def show_lines(
    performance: Performance,
    fates: Iterable[PairFate],
    report: Report,
    current: str,
    addresses: Mapping[str, Address],
    *,
    body_chars_max: int = 2000,
) -> Iterator[str]:
    """Lines without line feeds, everything captured escaped.

    fates: what judging said of this performance, one for each candidate. addresses: what each build is called
    by those who reach it. body_chars_max: how much of a body is shown.
    """
    exchange = performance.exchange
    place = f"place {performance.position} of the plan"
    yield f"exchange {visible(exchange.id)}  session {visible(exchange.session)}  {place}"
    captured = rfc3339(exchange.times.request_start)
    yield f"captured {captured} by {visible(exchange.source)}, kept with {exchange.kept_with:g}"
    yield ""
    yield from _request(exchange.request, body_chars_max)
    if exchange.response is not None:
        yield ""
        yield "recorded response"
        yield from _response(exchange.response, body_chars_max)
    if performance.skipped is not None:
        yield ""
        yield f"not sent: {visible(performance.skipped)}"
        return
    for outcome in performance.outcomes:
        yield ""
        yield from _outcome(outcome, body_chars_max)
    for fate in fates:
        yield ""
        yield from _judgement(fate, report.candidates[fate.candidate], current, addresses)


def _judgement(
    fate: PairFate, candidate: CandidateReport, current: str, addresses: Mapping[str, Address]
) -> Iterator[str]:
    verdict, findings = fate.verdict(candidate)
    yield f"{visible(fate.candidate)} against {visible(current)}: {verdict}"
    if fate.not_comparable is not None:
        yield f"  {visible(fate.not_comparable)}"
    mine, other = fate.performance.outcome_of(current), fate.performance.outcome_of(fate.candidate)
    if mine is None or other is None:
        return
    by_id = {finding.id: finding for finding in candidate.findings}
    why = {doubt.key: doubt.why for doubt in candidate.suppressed}
    comparison = compare_at_home(mine, other, addresses.get(fate.candidate), addresses.get(current), fate.options)
    judged = {one.key for one in fate.shown}
    for difference in comparison.differences[:_DIFFERENCES_MAX]:
        seen = seen_of(difference, mine.end_ns)
        key = GroupKey(fate.route, seen.path)
        left, right = shown_pair(jsonable(difference.left), jsonable(difference.right), 120)
        left = "(absent)" if difference.kind == "extra" else left
        right = "(absent)" if difference.kind == "missing" else right
        yield f"  {visible(format_path(difference))}: {difference.kind}, {left} -> {right}"
        found = candidate.places.get(Shown(key, seen.change)) or candidate.places.get(Shown(key, None))
        if found is not None and found in by_id:
            finding = by_id[found]
            yield f"      finding {found} ({finding.severity}): {finding.count} of {finding.pairs} pairs"
        elif key in why:
            yield f"      not claimed: {visible(why[key], 300)}"
        elif key not in judged:
            yield "      not judged: explained by a rule, or it follows from a greater difference of this pair"
    compared = {GroupKey(fate.route, seen_of(difference, mine.end_ns).path) for difference in comparison.differences}
    for shown in sorted(shown for shown in fate.shown if shown.key not in compared and shown.change is not None):
        if shown.change is not None and (found := candidate.places.get(shown)) in by_id:
            change = f"{shown.change.from_class} -> {shown.change.to_class}"
            yield f"  {visible(shown.key.path)}: {visible(change)}, told from several answers: finding {found}"
    if len(comparison.differences) > _DIFFERENCES_MAX:
        yield f"  and {len(comparison.differences) - _DIFFERENCES_MAX} more differences"
    for path in sorted(fate.options.unordered):
        yield f"  {visible(path)}: order was not compared, on this route it is chance in the current build too"
    for text in (*comparison.notes, *(f"limit: {limit}" for limit in comparison.limits)):
        yield f"  {visible(text, 300)}"
    for identity in findings:
        for one in by_id[identity].explained_by[:1]:
            yield (
                f"  {identity}: {one.inside:.0%} of its pairs have {visible(one.predicate)}, "
                f"{one.outside:.0%} of the rest"
            )


def _outcome(outcome: Outcome, body_chars_max: int) -> Iterator[str]:
    took = f"{outcome.latency_ns / 1e6:.2f} ms" if outcome.latency_ns is not None else "never sent"
    yield f"{outcome.role} {visible(outcome.build)}: {took} ({outcome.latency_from_plan_ns / 1e6:.2f} ms from the plan)"
    for binding in outcome.bindings:
        yield f"  replaced {visible(binding.place)} by what came of {visible(binding.origin)}"
    if outcome.left and outcome.response is not None:
        yield "  left there, as production's client had left it: it may have gone on"
    if outcome.failure is not None:
        failure = outcome.failure
        yield f"  no answer: {failure.kind} at {visible(failure.phase)}: {visible(failure.detail)}"
    elif outcome.response is not None:
        yield from _response(outcome.response, body_chars_max)


def _request(request: Request, body_chars_max: int) -> Iterator[str]:
    yield f"  {visible(request.method, 40)} {visible(request.target, 1000)} {visible(request.version, 20)}"
    yield from _message(request.headers, request.body, request.body_bytes, request.truncated, body_chars_max)


def _response(response: Response, body_chars_max: int) -> Iterator[str]:
    yield f"  {visible(response.version, 20)} {response.status} {visible(response.reason)}"
    yield from _message(response.headers, response.body, response.body_bytes, response.truncated, body_chars_max)


def _message(
    headers: Headers, body: bytes | None, body_bytes: int, truncated: bool, body_chars_max: int
) -> Iterator[str]:
    for name, value in headers:
        yield f"  {visible(name)}: {visible(value, 500)}"
    if body is None:
        yield f"  (body of {body_bytes} bytes was not recorded)"
    elif body:
        cut = f", cut to {len(body)}" if truncated else ""
        codings = parse_codings(",".join(headers_named(headers, "content-encoding")))
        decoded = decode_content(body, codings, 4 * body_chars_max)
        if codings and (decoded.problem is None or decoded.cut):
            body = decoded.body
            yield f"  ({body_bytes} bytes{cut} of {visible(', '.join(codings))}, decoded)"
        else:
            yield f"  ({body_bytes} bytes{cut})"
        text = body[: 4 * body_chars_max].decode("utf-8", "replace")
        for line in text[:body_chars_max].splitlines():
            yield f"  {visible(line, body_chars_max)}"
        if len(text) > body_chars_max:
            yield "  …"
