"""Route templates learned from the targets that were seen, so that /products/17 and /products/18 are one route.

A trie of path segments; a place with many different segments becomes a placeholder. Segments that look like an
identifier (a number, a uuid, a hash, a date) are placeholders at once, so names are stable from run to run even where
few were seen. The order in which targets arrive does not matter. Pure, bounded.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, TypeAlias
from urllib.parse import unquote

from diff.jumble import is_jumbled, is_like_ids, is_mixed, stem_of
from diff.template import Templates, split_target

__all__ = ["Origin", "RouteLearner", "Routes", "placeholder"]

Origin: TypeAlias = Literal["configured", "described", "learned"]
"""Where the name of a route comes from: the configuration, the description of the API, or the targets."""

_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")
_HASH = re.compile(r"(?=[^\d]*\d)[0-9a-fA-F]{8,}\Z")
_DATE = re.compile(r"\d{4}-\d\d(?:-\d\d)?(?:T[\d:.]+Z?)?\Z")
_TOKEN = re.compile(r"(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9_\-~=]{16,}\Z")
_PREFIXED = re.compile(r"([A-Za-z]{1,12})[-_](?:\d+|[0-9a-fA-F]{8,}|(?=\w*\d)[A-Za-z0-9]{6,})\Z")
_SLUG = re.compile(r"[A-Za-z]+(?:[-_][A-Za-z0-9]+)+\Z")
_LETTER_NUMBER = re.compile(r"[A-Za-z]{1,3}\d{2,}\Z")
_SHORT_CODE = re.compile(r"[A-Za-z]{1,3}\d\Z")
_VERSION = re.compile(r"v\d+(?:\.\d+)*\Z")
_FILE = re.compile(r"(?P<stem>.+)(?P<extension>\.[A-Za-z][A-Za-z0-9]{0,5})\Z")

_FEW_WORDS = 5
_ANY = "{any}"
_CODE = "{code}"
_TAIL = "{tail}"
_GIVEN = "{token}"
_ALIKE_MIN = 3


class Routes:
    """Names for requests: "GET /products/{id}". Made by `RouteLearner.finish`; whole: it saw all targets."""

    __slots__ = ("_cache", "_configured", "_described", "_root", "_whole")

    def __init__(self, root: _Node, configured: Templates, described: Templates, whole: bool) -> None:
        self._root = root
        self._whole = whole
        self._configured = configured
        self._described = described
        self._cache: dict[tuple[str, str], str] = {}

    def of(self, method: str, target: str) -> str:
        """The route's name; the query, fragment and authority are no part of it."""
        key = (method, target)
        name = self._cache.get(key)
        if name is None:
            if len(self._cache) >= 50_000:
                self._cache.clear()
            name = self._cache[key] = f"{method} {self._template(target)}"
        return name

    def _template(self, target: str) -> str:
        if target == "*":
            return "*"
        segments = split_target(target)
        return self._configured.match(segments) or self._described.match(segments) or self._learned(segments)

    def origin(self, target: str) -> Origin:
        """Where the name of the target's route comes from."""
        segments = split_target(target)
        if target == "*" or (self._configured.match(segments) is None and self._described.match(segments) is None):
            return "learned"
        return "configured" if self._configured.match(segments) is not None else "described"

    def _learned(self, segments: Sequence[str]) -> str:
        node, names = self._root, []
        for position, segment in enumerate(segments):
            if node.collapsed or position >= _DEPTH_MAX:
                kept = placeholder(segment) or (_CODE if _is_short_code(segment) else None)
                names.append(kept if kept is not None else node.word or _slug(segment))
                node = node.children.get(_ANY, _EMPTY)
                continue
            name = placeholder(segment) or segment
            name = node.aliases.get(name, name)
            if not self._whole and name not in node.children:
                # A branch beyond the bound on what was learned; else every target could be a route of its own.
                names.append(_TAIL)
                break
            names.append(name)
            node = node.children.get(name, _EMPTY)
            if position + 1 >= _DEPTH_MAX and len(segments) > _DEPTH_MAX:
                names.append(_TAIL)
                break
        return "/" + "/".join(names)


_DEPTH_MAX = 16


class _Node:
    """A place in the trie. found: some request that went through here was not answered 404. aliases: words that stand
    for an identifier here, to the placeholder that they are counted under. given: builds gave out this segment, and
    were sent it. word: what any word is called where the place is collapsed, None for a slug."""

    __slots__ = ("aliases", "children", "collapsed", "found", "given", "word")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.aliases: dict[str, str] = {}
        self.collapsed = False
        self.found = False
        self.given = False
        self.word: str | None = None


_EMPTY = _Node()


class RouteLearner:
    """Learns from every target, then `finish`es.

    cardinality_max: more different segments than this at one place, or, where most of what is there was seen
    rarely, more than `slug_min`, are taken as identifiers. nodes_max: bound of the trie; beyond it unknown branches are
    not added, and `overflowed` counts them. templates: given by the configuration, tried first, e.g.
    "/users/{name}/orders"; described: of the description of the API, tried next. Raises UsageError for a template that
    does not begin with a slash.
    """

    __slots__ = ("_cardinality_max", "_configured", "_described", "_nodes", "_nodes_max", "_root", "overflowed")

    def __init__(
        self,
        templates: Iterable[str] = (),
        described: Iterable[str] = (),
        *,
        cardinality_max: int = 40,
        nodes_max: int = 50_000,
    ) -> None:
        self._root = _Node()
        self._configured = Templates(templates)
        self._described = Templates(described)
        self._cardinality_max = cardinality_max
        self._nodes = 0
        self._nodes_max = nodes_max
        self.overflowed = 0

    def add(self, target: str, status: int | None = None, given: Collection[int] = ()) -> None:
        """Learn from one target.

        status: that of the recorded response, None where there is none. given: the numbers of the path segments that an
        earlier answer had given out as a whole value, an id of what was created.
        """
        if target == "*":
            return
        node = self._root
        for position, segment in enumerate(split_target(target)):
            if position >= _DEPTH_MAX:
                return
            name = placeholder(segment) or segment
            if node.collapsed:
                name = _ANY
            child = node.children.get(name)
            if child is None:
                if self._nodes >= self._nodes_max:
                    self.overflowed += 1
                    return
                child = node.children[name] = _Node()
                self._nodes += 1
                if len(node.children) > 4 * self._cardinality_max:
                    self._collapse(node)
                    child = node.children[_ANY]
            node = child
            node.found = node.found or status != 404
            node.given = node.given or position in given

    def finish(self) -> Routes:
        """The names; the learner can go on learning, but names already given out stay as they are."""
        self._settle(self._root)
        return Routes(self._root, self._configured, self._described, not self.overflowed)

    def _settle(self, root: _Node) -> None:
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if not node.collapsed:
                self._adopt_given(node)
            if _CODE in node.children and not node.collapsed:
                self._adopt_short_codes(node)
            if not node.collapsed and self._is_open(node):
                self._collapse(node)
            elif not node.collapsed:
                self._adopt_strangers(node)
            waiting += node.children.values()

    def _is_open(self, node: _Node) -> bool:
        words = [name for name in node.children if not name.startswith("{")]
        if len(words) > self._cardinality_max:
            return True
        # Words with one and the same shape below them are names of things: a dozen, or a few where that shape has a
        # word in it (/feeds/shoes/latest.xml), which resources of different kinds hardly share.
        below = {frozenset(node.children[word].children) for word in words}
        if len(below) == 1 and (shape := next(iter(below))):
            return len(words) >= (12 if all("{" in name for name in shape) else _FEW_WORDS)
        titles = sum(1 for word in words if word.count("-") + word.count("_") + word.count("%20") + word.count("+"))
        return len(words) >= 12 and titles >= 0.8 * len(words)

    def _adopt_short_codes(self, node: _Node) -> None:
        """Among b10 and b11, b9 is a code as well."""
        for word in [name for name in node.children if _is_short_code(name)]:
            node.aliases[word] = _CODE
            self._merge(node.children[_CODE], node.children.pop(word))

    def _adopt_given(self, node: _Node) -> None:
        """Short ids of letters and digits, by what says that they are: one that is no word at all, one that a build
        gave out, or three of one length. Then those of these lengths are ids, words that were given out among them."""
        words = [name for name in node.children if "{" not in name]
        mixed = [word for word in words if is_mixed(word)]
        sure = {word for word in words if is_jumbled(word) or (node.children[word].given and _is_code_like(word))}
        lengths = {len(word) for word in sure}
        stems: dict[int, set[str]] = {}
        for word in mixed:
            stems.setdefault(len(word), set()).add(stem_of(word))
        lengths |= {length for length, alike in stems.items() if len(alike) >= _ALIKE_MIN}
        if not lengths:
            return
        # Beyond the bound all words would be taken for identifiers; so only those of these lengths are.
        many = len(words) > self._cardinality_max and 2 * sum(len(word) in lengths for word in words) > len(words)
        alike = [
            word
            for word in words
            if word in sure or (len(word) in lengths and (many or is_like_ids(word) or node.children[word].given))
        ]
        # An id with a hyphen looks like one with a prefix; prefixes are few.
        prefixed = [name for name in node.children if name.endswith("-{id}")]
        if len(alike) >= _ALIKE_MIN and len(prefixed) >= _ALIKE_MIN:
            alike += prefixed
        home = node.children.setdefault(_GIVEN, _Node())
        for name in alike:
            node.aliases[name] = _GIVEN
            self._merge(home, node.children.pop(name))

    def _adopt_strangers(self, node: _Node) -> None:
        """A word that was never found, among identifiers, is an identifier of nothing: /products/none is no route."""
        known = [name for name in node.children if name.startswith("{")]
        if not known:
            return
        home = min(known, key=lambda name: (-len(node.children[name].children), name))
        for word in [name for name, child in node.children.items() if "{" not in name and name and not child.found]:
            node.aliases[word] = home
            self._merge(node.children[home], node.children.pop(word))

    def _collapse(self, node: _Node) -> None:
        words = [name for name in node.children if "{" not in name]
        if 2 * sum(map(is_mixed, words)) > len(words):
            node.word = _GIVEN
        merged = _Node()
        for child in node.children.values():
            self._merge(merged, child)
        node.children = {_ANY: merged}
        node.collapsed = True

    def _merge(self, into: _Node, other: _Node) -> None:
        pairs = [(into, other)]
        while pairs:
            target, source = pairs.pop()
            target.found = target.found or source.found
            target.collapsed = target.collapsed or source.collapsed
            target.given = target.given or source.given
            target.word = target.word or source.word
            for name, child in source.children.items():
                if name in target.children:
                    pairs.append((target.children[name], child))
                else:
                    target.children[name] = child


def placeholder(segment: str) -> str | None:
    """The placeholder of a segment that looks like an identifier; None for a word."""
    if not segment or _VERSION.match(segment):
        return None
    text = unquote(segment) if "%" in segment else segment
    if _NUMBER.match(text):
        return "{id}"
    if _UUID.match(text):
        return "{uuid}"
    if _DATE.match(text):
        return "{date}"
    if _HASH.match(text):
        return "{hash}"
    if prefixed := _PREFIXED.match(text):
        return f"{prefixed[1]}-{{id}}"
    if _SLUG.match(text):
        # Words joined by hyphens: a title where a number or a serial is among them, else a word as any other.
        return "{slug}" if any(part.isdigit() for part in re.split("[-_]", text)) else None
    if _LETTER_NUMBER.match(text):
        return _CODE
    if _TOKEN.match(text):
        return "{token}"
    if (file := _FILE.match(text)) and (stem := placeholder(file["stem"])):
        return stem + file["extension"]
    return None


def _is_short_code(segment: str) -> bool:
    """True for letters and one digit, which among longer codes are one of them, and elsewhere may be a word."""
    return bool(_SHORT_CODE.match(segment)) and not _VERSION.match(segment)


def _is_code_like(segment: str) -> bool:
    """True for letters and digits both, but for a version and a letter with one digit."""
    both = any(map(str.isdigit, segment)) and any(map(str.isalpha, segment))
    return both and len(segment) > 3 and not _VERSION.match(segment)


def _slug(segment: str) -> str:
    file = _FILE.match(segment)
    return "{slug}" + file["extension"] if file else "{slug}"
