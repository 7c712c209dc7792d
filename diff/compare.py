"""Compare two outcomes, or two bodies, and say exactly what is not the same: pure, bounded, with every limit stated."""

from __future__ import annotations

import dataclasses
from typing import Literal

import msgspec

from capture.exchange import Response, header, headers_named
from diff.body.binary import compare_binary
from diff.body.dispatch import compare_content
from diff.collector import Collector, TooManyDifferences
from diff.content import decode_content, parse_codings
from diff.cookies import compare_cookies
from diff.difference import Difference
from diff.headers import compare_headers
from diff.options import DEFAULT_OPTIONS, CompareOptions
from diff.stream import compare_streams
from replay.outcome import Failure, Outcome

__all__ = ["DEFAULT_OPTIONS", "CompareOptions", "Comparison", "compare_bodies", "compare_outcomes"]


_PATIENCE_NS = 900_000_000
"""A build that was listened to for so much longer, and has sent less, has not only had too little time; the replay
gives a second more to one that is behind."""
_LISTENED_NS = 1_000_000_000
"""Ends of streams are compared where one build's was listened to at least so long, and twice as long as the other's."""


class Comparison(msgspec.Struct, frozen=True, gc=False):
    """What a comparison found.

    differences: in a stable order: outcome, status, headers, cookies, trailers, body.
    notes: short facts a reader should know ("both refused", "body is not valid JSON, compared as text").
    limits: bounds that bit, so that what was compared is not everything; with limits and no differences the result is
    inconclusive, never equal.
    not_comparable: why the two cannot be compared at all, else None; then differences is empty.
    """

    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    not_comparable: str | None = None

    @property
    def verdict(self) -> Literal["equal", "different", "inconclusive"]:
        """ "different" where there is any difference, "inconclusive" where there is none but not all was compared."""
        if self.differences:
            return "different"
        return "inconclusive" if self.limits or self.not_comparable is not None else "equal"


_EQUAL = Comparison()


def compare_outcomes(
    current: Outcome, candidate: Outcome, options: CompareOptions = DEFAULT_OPTIONS, target: str | None = None
) -> Comparison:
    """What the candidate did otherwise than the current build, on one request.

    target: of the request, which names the method where the call is gRPC and the options have a schema.

    An answer against a failure, or two failures of different kinds, is one difference at "outcome" and nothing else is
    compared. Where the class of the status differs (200 against 503) the responses are of different meaning, so the
    status is the one difference; with two statuses of one class headers and body are compared as well.

    Where a stream was left, what came of it is compared as far as both builds got (stream.py).
    """
    mine, other = current.response, candidate.response
    if mine is None or other is None:
        return _compare_failures(current, candidate)
    alike = current.attempts == candidate.attempts and current.left == candidate.left
    if alike and _surely_equal(mine, other):
        return _EQUAL
    ends = _end_of_connection(current, mine), _end_of_connection(candidate, other)
    if options.schema is not None and target in options.schema.methods:
        options = dataclasses.replace(options, message_type=options.schema.methods[target][1])
    collector = Collector(options.differences_max)
    try:
        if ends[0] != ends[1]:
            collector.place = "header"
            collector.add(("connection",), "value", *ends)
        if current.left or candidate.left:
            _compare_left(current, candidate, mine, other, collector, options)
        else:
            _compare_responses(mine, other, current.end_ns, candidate.end_ns, collector, options)
    except TooManyDifferences:
        pass
    return _comparison(collector)


def _surely_equal(mine: Response, other: Response) -> bool:
    if mine.body is None or mine.truncated or other.truncated or mine.trailers or other.trailers:
        return False
    return mine.body == other.body and mine.headers == other.headers and mine.status == other.status


def compare_bodies(
    left: bytes,
    right: bytes,
    left_type: str | None = None,
    right_type: str | None = None,
    options: CompareOptions = DEFAULT_OPTIONS,
) -> Comparison:
    """What differs between two bodies without content coding; the types are Content-Type values, None for unknown."""
    if left == right:
        return _EQUAL
    collector = Collector(options.differences_max)
    compare_content(left, right, left_type, right_type, collector, options)
    return _comparison(collector)


def _comparison(collector: Collector) -> Comparison:
    if not (collector.differences or collector.notes or collector.limits):
        return _EQUAL
    return Comparison(tuple(collector.differences), tuple(collector.notes), tuple(collector.limits))


def _outcome_word(failure: Failure | None) -> str:
    return "answered" if failure is None else failure.kind


def _compare_failures(current: Outcome, candidate: Outcome) -> Comparison:
    mine, other = _outcome_word(current.failure), _outcome_word(candidate.failure)
    if mine == other:
        return Comparison(notes=(f"both failed: {mine}",))
    kind: Literal["type", "value"] = "type" if "answered" in (mine, other) else "value"
    failures = [outcome.failure for outcome in (current, candidate) if outcome.failure is not None]
    notes = tuple(f"{failure.kind} at {failure.phase}: {failure.detail}" for failure in failures if failure.detail)
    return Comparison((Difference("outcome", (), kind, mine, other),), notes)


def _compare_left(
    current: Outcome, candidate: Outcome, mine: Response, other: Response, collector: Collector, options: CompareOptions
) -> None:
    """Two answers of which at least one was left before its end."""
    if not _compare_heads(mine, other, current.end_ns, candidate.end_ns, collector):
        return
    spans = [one.end_ns - (one.first_byte_ns or one.end_ns) for one in (current, candidate)]
    if current.left != candidate.left:
        ended, open_ns = spans if candidate.left else spans[::-1]
        # One that ends at about the time when the other one is left may end in all builds.
        if open_ns >= max(_LISTENED_NS, 2 * ended):
            collector.place = "header"
            collector.add(("connection",), "value", *("open" if one.left else "ended" for one in (current, candidate)))
    bodies = [_content(one, side, collector, options) for one, side in ((mine, "left"), (other, "right"))]
    types = [header(one.headers, "content-type") for one in (mine, other)]
    whole = not current.left, not candidate.left
    patient = whole[0] or spans[0] >= spans[1] + _PATIENCE_NS, whole[1] or spans[1] >= spans[0] + _PATIENCE_NS
    compare_streams(bodies[0], bodies[1], types[0], types[1], whole, patient, collector, options)


def _compare_heads(mine: Response, other: Response, mine_ns: int, other_ns: int, collector: Collector) -> bool:
    """Compare statuses, headers and cookies; False where the statuses are of different classes, and bodies are not."""
    if mine.status != other.status:
        collector.place = "status"
        collector.add((), "value", mine.status, other.status)
        if mine.status // 100 != other.status // 100:
            collector.note("the statuses are of different classes: headers and bodies are not compared")
            return False
    # With two empty bodies Content-Length speaks of a body that was not sent (HEAD, 304) and is all there is to see.
    lengths = not mine.body and not other.body
    collector.place = "header"
    compare_headers(mine.headers, other.headers, collector, lengths=lengths)
    collector.place = "cookie"
    compare_cookies(mine.headers, other.headers, mine_ns, other_ns, collector)
    return True


def _compare_responses(
    mine: Response, other: Response, mine_ns: int, other_ns: int, collector: Collector, options: CompareOptions
) -> None:
    if not _compare_heads(mine, other, mine_ns, other_ns, collector):
        return
    if mine.trailers != other.trailers:
        collector.place = "trailer"
        compare_headers(mine.trailers, other.trailers, collector)
    collector.place = "body"
    _compare_response_bodies(mine, other, collector, options)


def _end_of_connection(outcome: Outcome, response: Response) -> str:
    """What became of the connection (RFC 9110, section 7.6.1); versions are not compared.

    "dropped": the build had closed a kept one under the request, without a word, which went over another one then.
    """
    options = ",".join(headers_named(response.headers, "connection")).lower().replace(" ", "").split(",")
    if "close" in options:
        return "close"
    return "dropped" if outcome.attempts > 1 and response.version.startswith("HTTP/1") else "keep-alive"


def _compare_response_bodies(mine: Response, other: Response, collector: Collector, options: CompareOptions) -> None:
    if mine.body is None or other.body is None:
        if mine.body is not other.body:
            collector.limit("the body of one side was not recorded")
        else:
            collector.limit("the bodies were not recorded")
        return
    if mine.truncated or other.truncated:
        _compare_cut_bodies(mine, other, collector)
        return
    if mine.body == other.body and _codings(mine) == _codings(other):
        return
    left = _content(mine, "left", collector, options)
    right = _content(other, "right", collector, options)
    compare_content(
        left, right, header(mine.headers, "content-type"), header(other.headers, "content-type"), collector, options
    )


def _codings(response: Response) -> tuple[str, ...]:
    return parse_codings(",".join(headers_named(response.headers, "content-encoding")))


def _content(response: Response, side: str, collector: Collector, options: CompareOptions) -> bytes:
    assert response.body is not None
    codings = _codings(response)
    if not codings:
        return response.body
    decoded = decode_content(response.body, codings, options.body_bytes_max)
    if decoded.problem is not None:
        text = f"{decoded.problem} ({side})"
        if decoded.cut:
            collector.limit(text)
        else:
            collector.note(text)
    return decoded.body


def _compare_cut_bodies(mine: Response, other: Response, collector: Collector) -> None:
    """Bodies of which only the beginning was kept: what is there is compared as bytes, and full lengths are facts."""
    assert mine.body is not None
    assert other.body is not None
    shorter = min(len(mine.body), len(other.body))
    collector.limit(f"a body was kept only in part; the first {shorter} bytes were compared")
    if mine.body[:shorter] != other.body[:shorter]:
        compare_binary(mine.body[:shorter], other.body[:shorter], collector)
    elif _full_length(mine) != _full_length(other):
        collector.add((), "length", _full_length(mine), _full_length(other))


def _full_length(response: Response) -> int:
    return response.body_bytes if response.truncated else len(response.body or b"")
