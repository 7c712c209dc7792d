"""One planned request as all candidates are compared on it: the current outcome, its witness, and how noisy it was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from capture.errors import Damaged
from diff.address import address_of_recorded, compare_at_home
from diff.cause import primary
from diff.compare import CompareOptions, Comparison
from diff.difference import Difference
from diff.explain import dimensions_of
from diff.given import is_given
from diff.odd import GroupKey, Seen, redacted_paths, seen_of
from diff.process import ProcessFacts, is_number, is_numbered_name
from diff.request_ids import ids_in
from diff.rule_path import Documents
from diff.subject import Subject
from diff.values import is_volatile
from replay.outcome import Outcome, Performance

__all__ = ["Pair"]

_RECORDED = "recorded"
_INSTANCE_CHARS_MAX = 128
_CONNECTION = frozenset(("header:connection",))
# Where a response says the name of what was written.
_PLACES_OF_WRITES = frozenset(("header:location", "header:content-location", "header:link"))
_MIXED = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[0-9A-Za-z]{5,}")


class Pair:
    """One performance with what all candidates share: the current outcome, the witness, and how noisy it was."""

    __slots__ = (
        "_own", "_process", "_said", "_since_ns", "addresses", "counts_for_timing", "current", "documents",
        "exchange", "facts", "has_recorded", "ids", "one_process", "options", "performance", "reference", "route",
        "session", "unwitnessed", "weight", "witness_followers", "witness_seen", "witness_swallowed", "wrote",
    )  # fmt: skip

    def __init__(
        self,
        performance: Performance,
        route: str,
        session: int,
        subject: Subject,
        options: CompareOptions,
        wrote: bool,
        facts_of_process: ProcessFacts,
    ) -> None:
        """wrote: something was written in the run until now. facts_of_process: what the current build's said so far."""
        self.performance = performance
        self.exchange = performance.exchange
        self.addresses = subject.addresses
        self.route = route
        self.session = session
        self.wrote = wrote
        self.weight = 1 / self.exchange.kept_with if self.exchange.kept_with > 0 else 1.0
        self.facts = dimensions_of(self.exchange)
        current = performance.outcome_of(subject.current)
        if current is None:
            raise Damaged(
                f"{subject.where}: damaged: its record at position {performance.position} has no outcome of the "
                f"current build {subject.current!r}; no report is made from it, replay it again"
            )
        self.current = current
        self._since_ns = subject.started_ns
        reference = performance.outcome_of(subject.reference) if subject.reference is not None else None
        self.reference = reference if reference is not None and reference.response is not None else None
        self.counts_for_timing = (performance.iteration, performance.position) >= subject.timed_from
        self.has_recorded = False
        witness = self.reference if subject.reference is not None else self._recorded()
        self.unwitnessed = frozenset[str]() if subject.reference is not None else self._untold_by_the_recorded()
        self.witness_seen: list[Seen] | None = None
        self.witness_swallowed = False
        self.witness_followers: tuple[Difference, ...] = ()
        answers = [one.response for one in (current, witness) if one is not None and one.response is not None]
        self.ids = [ids_in(one.headers) for one in answers] if len(answers) == 2 else [{}, {}]
        self.documents = Documents(current.response, None if witness is None else witness.response)
        if witness is not None and current.response is not None:
            comparison = self.compare(witness, options)
            if comparison.not_comparable is None:
                differences, self.witness_swallowed, self.witness_followers = primary(comparison.differences)
                self.witness_seen = [self.seen(difference) for difference in differences]
        self.one_process = subject.one_process
        self.options = options
        self._said = facts_of_process
        self._process: dict[str, list[Seen]] | Literal[False] | None = False
        self._own: set[str] = set()

    def seen(self, difference: Difference) -> Seen:
        """A difference to the current outcome, classified."""
        return seen_of(difference, self.current.end_ns, self._since_ns)

    def compare(self, other: Outcome, options: CompareOptions) -> Comparison:
        """Current against other, each with its own address."""
        own = address_of_recorded(self.exchange) if other.build == _RECORDED else self.addresses.get(other.build)
        return compare_at_home(self.current, other, own, self.addresses.get(self.current.build), options)

    def _of_the_process(self) -> dict[str, list[Seen]] | None:
        """Where one process of the current build may always say one thing and another process something else.

        By path, what the recorded response says there, which came of another process; nothing of a redacted path. None
        where there is no recorded response, and it may be so at any path. `_own` then has those of the paths at which
        it counts beside a reference that agrees.
        """
        recorded = self._recorded()
        if recorded is None or self.current.response is None:
            return None
        found: dict[str, list[Seen]] = {path: [] for path in redacted_paths(self.exchange.redacted)}
        differences = primary(self.compare(recorded, self.options).differences).kept
        for one in (self.seen(difference) for difference in differences):
            own = self._is_own(one)
            if (own or is_number(one)) and found.get(one.path) != []:
                found.setdefault(one.path, []).append(one)
                if own:
                    self._own.add(one.path)
        return found

    def _is_own(self, recorded: Seen) -> bool:
        """Whether what production said otherwise may be a matter of the process, or of what was written to it twice."""
        if _made_anew(recorded):
            return True
        if self._may_be_own(recorded):
            return True
        return self.wrote and (recorded.difference.place == "body" or _is_told_of_writes(recorded))

    def _may_be_own(self, seen: Seen, *, surely: bool = False) -> bool:
        """Whether the current build says a number or a name of its process there, so far; surely: it grew."""
        place, left = GroupKey(self.route, seen.path), seen.difference.left
        if is_number(seen):
            return self._said.is_own(place, left, surely=surely)
        return not surely and is_numbered_name(seen) and self._said.is_own_name(place, left)

    def also_recorded(self, paths: Iterable[str]) -> set[str]:
        """At which of these places production said what the current build and its reference say; none where unknown."""
        recorded = self._recorded() if self.reference is not None else None
        if recorded is None or self.current.response is None:
            return set()
        differences = primary(self.compare(recorded, self.options).differences)
        if differences.swallowed:
            return set()
        differing = {self.seen(difference).path for difference in differences.kept}
        return set(paths) - differing - redacted_paths(self.exchange.redacted)

    def witness_of(self, seen: Sequence[Seen]) -> tuple[list[Seen] | None, frozenset[str]]:
        """What the witness shows beside what a candidate shows, and the paths at which it tells nothing.

        A reference that is the current build's own process says nothing of what is a matter of the process, nor of what
        was written to it twice: there the recorded response is the witness, where it says something else than both. Of
        numbers it is the better one even where the reference has another number, which is only the process's next.
        """
        if self.witness_seen is None or not self.one_process or not seen:
            return self.witness_seen, self.unwitnessed
        if self._process is False:
            self._process = self._of_the_process()
        told = {one.path for one in self.witness_seen}
        anew = {one.path for one in seen if _made_anew(one) and one.path not in told}
        process = self._process
        if process is None:
            own = {one.path for one in seen if self._may_be_own(one, surely=one.path in told)}
            return self.witness_seen, self.unwitnessed | anew | own
        shown = {one.path for one in seen}
        numbers = {path for path in told & shown if process.get(path) and all(map(is_number, process[path]))}
        wanted = anew | (self._own & shown) - told
        kept = [one for one in self.witness_seen if one.path not in numbers]
        added = [one for path in sorted(wanted | numbers) for one in process.get(path, ())]
        silent = {path for path in wanted if path in process and not process[path]}
        return [*kept, *added], self.unwitnessed | silent

    def _untold_by_the_recorded(self) -> frozenset[str]:
        """The places at which the recorded response tells nothing: what was redacted, and connections that broke."""
        broke = any(outcome.attempts > 1 for outcome in self.performance.outcomes)
        return redacted_paths(self.exchange.redacted) | (_CONNECTION if broke else frozenset())

    def _recorded(self) -> Outcome | None:
        """The recorded response as an outcome, where it was seen whole, or until the client left."""
        response, times = self.exchange.response, self.exchange.times
        left = times.left is not None
        if response is None or response.truncated or response.body is None or not (left or self.exchange.complete):
            return None
        self.has_recorded = True
        start, first = times.request_start, times.response_start if left else None
        ended = times.left if left else times.response_end
        end = start if ended is None else ended
        return Outcome(_RECORDED, "reference", start, start, first, end, response, left=left)


def _is_told_of_writes(seen: Seen) -> bool:
    """Where a header says what was written: the name of it, or in any header a number or a name that was given out."""
    if seen.path in _PLACES_OF_WRITES:
        return True
    difference = seen.difference
    return difference.place == "header" and is_given(difference.left) and is_given(difference.right)


def _made_anew(seen: Seen) -> bool:
    """True for two values of one class of those that are made anew (uuids, times, tokens), or two names of instances.

    Such a name has letters and digits mixed where the other has them too, and is alike for the rest: web-7d9f8b-x2x1z.
    """
    change, difference = seen.change, seen.difference
    if change.kind != "value" or change.from_class != change.to_class:
        return False
    if is_volatile(change.from_class):
        return True
    left, right = difference.left, difference.right
    if not isinstance(left, str) or not isinstance(right, str) or max(len(left), len(right)) > _INSTANCE_CHARS_MAX:
        return False
    shape = _MIXED.sub("*", left)
    return "*" in shape and shape == _MIXED.sub("*", right)
