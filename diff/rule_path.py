"""The path of a rule: which places it speaks about, as a JSONPath query (RFC 9535) or as a plain name with *.

A query is parsed by python-jsonpath. Names, wildcards, indexes and slices from the start, descendants and lists of
these are matched with a difference's own path, without a document. A filter, and what counts from the end of a list,
needs one: there the query is evaluated on the current build's body (for an `extra` difference on the other's), and
speaks about the places that it selects.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import jsonpath
import msgspec
from jsonpath.segments import JSONPathRecursiveDescentSegment
from jsonpath.selectors import IndexSelector, NameSelector, SliceSelector, WildcardSelector

from capture.errors import UsageError
from capture.exchange import Response, headers_named
from diff.content import decode_content, parse_codings
from diff.difference import Difference, Path, format_path, general_path

__all__ = ["Documents", "RulePath"]

_ENVIRONMENT: Final = jsonpath.JSONPathEnvironment(strict=True)
_ENVIRONMENT.max_recursion_depth = 200
_EVALUATED_BYTES_MAX: Final = 4 << 20
_SELECTED_MAX: Final = 100_000
_REMEMBERED_MAX: Final = 10_000

# python-jsonpath 2 refuses the escapes of control characters, which RFC 9535 has and normalised paths use; in names
# they are put aside as characters for private use.
_CONTROL: Final = re.compile(r"(?<!\\)((?:\\\\)*)\\u00([01][0-9a-fA-F])")
_ASIDE: Final = 0xF0000
_BACK: Final = {_ASIDE + code: code for code in range(0x20)}

_Step = str | int
_Selects = Callable[[_Step], bool]
_Segment = tuple[bool, tuple[_Selects, ...]]
"""(whether it descends, what its selectors select)"""


class Documents:
    """The JSON bodies of two responses, decoded when a rule asks for them, and what queries select in them."""

    __slots__ = ("_places", "_responses", "_values")

    def __init__(self, current: Response | None, other: Response | None) -> None:
        self._responses = (current, other)
        self._values: dict[int, Any] = {}
        self._places: dict[tuple[int, str], frozenset[Path]] = {}

    def selected(self, path: RulePath, side: int) -> frozenset[Path]:
        """The places that a query selects in the body of a side, 0 for the current build's; none where it is not JSON,
        longer than 4 MiB, or nested deeper than 200."""
        key = (side, path.text)
        if key not in self._places:
            self._places[key] = path.evaluate(self._value(side))
        return self._places[key]

    def _value(self, side: int) -> Any:
        if side not in self._values:
            self._values[side] = _json_of(self._responses[side])
        return self._values[side]


def _json_of(response: Response | None) -> Any:
    """The value of a JSON body; None, in which no query selects anything but the root, for any other."""
    if response is None or response.body is None or response.truncated:
        return None
    codings = parse_codings(",".join(headers_named(response.headers, "content-encoding")))
    decoded = decode_content(response.body, codings, _EVALUATED_BYTES_MAX)
    if decoded.problem is not None or len(decoded.body) > _EVALUATED_BYTES_MAX:
        return None
    try:
        return msgspec.json.decode(decoded.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


class RulePath:
    """One path of a rule. text: as it was written. Raises UsageError, with the place, where it is no query."""

    __slots__ = ("_glob", "_query", "_remembered", "_segments", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._glob: re.Pattern[str] | None = None
        self._segments: list[_Segment] | None = None
        self._remembered: dict[Path, bool] = {}
        if not text.startswith("$"):
            self._glob = re.compile(".*".join(re.escape(part) for part in text.split("*")), re.DOTALL)
            return
        spelt = _CONTROL.sub(lambda found: found[1] + chr(_ASIDE + int(found[2], 16)), text)
        try:
            self._query = _ENVIRONMENT.compile(spelt)
        except jsonpath.JSONPathError as error:
            raise UsageError(_refusal(text, error)) from None
        if not isinstance(self._query, jsonpath.JSONPath):
            raise UsageError(f"path {text!r} is more than one query; write a rule for each")
        self._segments = _matchable(self._query)
        if self._segments is None and spelt != text:
            raise UsageError(f"path {text!r}: a filter or an index from the end beside an escaped control character")

    def __reduce__(self) -> tuple[type[RulePath], tuple[str]]:
        return RulePath, (self.text,)

    def speaks_of(self, difference: Difference, documents: Documents | None = None) -> bool:
        """True where the path names the place of a difference; documents: the bodies in which it was found."""
        if self._glob is not None:
            return bool(self._glob.fullmatch(general_path(difference)) or self._glob.fullmatch(format_path(difference)))
        if difference.place != "body":
            return False
        if self._segments is None:
            side = 1 if difference.kind == "extra" else 0
            return documents is not None and difference.path in documents.selected(self, side)
        known = self._remembered.get(difference.path)
        if known is None:
            known = _matches(self._segments, difference.path)
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[difference.path] = known
        return known

    def evaluate(self, document: Any) -> frozenset[Path]:
        """The places that the query selects in a document, at most 100,000."""
        found: set[Path] = set()
        try:
            for match in self._query.finditer(document):
                found.add(match.parts)
                if len(found) >= _SELECTED_MAX:
                    break
        except (jsonpath.JSONPathError, RecursionError):
            return frozenset()  # Nested too deep for it, or a filter that compares what has no order.
        return frozenset(found)


def _refusal(text: str, error: jsonpath.JSONPathError) -> str:
    """One line that says what is wrong and where."""
    why = str(error).partition("\n")[0].partition(" -> ")[0].strip()
    why = re.sub(r"'?TOKEN_([A-Z_]+)'?", lambda name: name[1].lower().replace("_", " "), why)
    at = -1 if error.token is None else error.token.index
    place = "" if at < 0 else f" at character {at + 1}"
    return f"path {text!r} is not a JSONPath (RFC 9535): {why}{place}"


def _matchable(query: jsonpath.JSONPath) -> list[_Segment] | None:
    """The segments as tests of single steps; None where some selector needs a document."""
    segments: list[_Segment] = []
    for segment in query.segments:
        selectors = tuple(_selects(selector) for selector in segment.selectors)
        if None in selectors:
            return None
        tests = tuple(one for one in selectors if one is not None)
        segments.append((isinstance(segment, JSONPathRecursiveDescentSegment), tests))
    return segments


def _selects(selector: Any) -> _Selects | None:
    if isinstance(selector, NameSelector):
        name = selector.name.translate(_BACK)
        return lambda step: step == name
    if isinstance(selector, WildcardSelector):
        return lambda step: True
    if isinstance(selector, IndexSelector) and selector.index >= 0:
        index = selector.index
        return lambda step: step == index
    if isinstance(selector, SliceSelector):
        start, stop, step_by = selector.slice.start or 0, selector.slice.stop, selector.slice.step
        if start < 0 or (stop is not None and stop < 0) or (step_by is not None and step_by < 1):
            return None
        chosen = range(start, 1 << 62 if stop is None else stop, step_by or 1)
        return lambda step: isinstance(step, int) and step in chosen
    return None


def _matches(segments: list[_Segment], path: Path) -> bool:
    """Whether the segments lead along the whole path; a descendant segment may pass over any steps first."""
    reached = {0}
    for descends, selectors in segments:
        if descends:
            reached = set(range(min(reached), len(path)))
        reached = {at + 1 for at in reached if at < len(path) and any(selects(path[at]) for selects in selectors)}
        if not reached:
            return False
    return len(path) in reached
