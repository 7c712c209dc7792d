"""Route templates that somebody wrote, as a trie in which words come before placeholders: /pets/mine before /pets/{id}.

A placeholder may be a whole segment or part of one ("{name}.json", "{id}:activate") and stands for one or more
characters other than a slash (OpenAPI 3.1, section 4.8.8).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote

from capture.errors import UsageError

__all__ = ["Templates", "parse_template", "split_target"]

_PLACEHOLDER = re.compile(r"\{([^{}/]*)\}")


class _Node:
    """A place in the trie. patterns: regular expression of a segment, to the pattern and what comes below it."""

    __slots__ = ("patterns", "template", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.patterns: dict[str, tuple[re.Pattern[str], _Node]] = {}
        self.template: str | None = None


class Templates:
    """A set of templates; of two that say the same with other names for their placeholders the first one counts."""

    __slots__ = ("_root",)

    def __init__(self, templates: Iterable[str] = ()) -> None:
        self._root = _Node()
        for template in templates:
            self._add(template)

    def match(self, segments: Sequence[str]) -> str | None:
        """The template that these path segments belong to: at each place a word before a placeholder; else None."""
        # Depth first, so that /pets/mine/toys does not hide /pets/{id}/toys/{toy}.
        waiting = [(self._root, 0)]
        while waiting:
            node, position = waiting.pop()
            if position == len(segments):
                if node.template is not None:
                    return node.template
                continue
            segment = segments[position]
            text = unquote(segment) if "%" in segment else segment
            below = [following for pattern, following in node.patterns.values() if pattern.fullmatch(text)]
            waiting += [(following, position + 1) for following in reversed(below)]
            word = node.words.get(text)
            if word is not None:
                waiting.append((word, position + 1))
        return None

    def __iter__(self) -> Iterator[str]:
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            if node.template is not None:
                yield node.template
            waiting += node.words.values()
            waiting += [following for _, following in node.patterns.values()]

    def _add(self, template: str) -> None:
        node = self._root
        for segment in parse_template(template):
            if "{" not in segment:
                node = node.words.setdefault(unquote(segment), _Node())
                continue
            pieces = _PLACEHOLDER.split(segment)
            # What was split off stands at every second place.
            written = ".+".join(re.escape(unquote(piece)) for piece in pieces[::2])
            if written not in node.patterns:
                node.patterns[written] = (re.compile(written, re.DOTALL), _Node())
            node = node.patterns[written][1]
        if node.template is None:
            node.template = template


def parse_template(text: str) -> tuple[str, ...]:
    """The segments of a template. Raises UsageError where it does not begin with a slash."""
    if not text.startswith("/"):
        raise UsageError(f"route template {text!r} must begin with '/', as in \"/users/{{name}}\"")
    return tuple(split_target(text))


def split_target(target: str) -> list[str]:
    """The path segments of a request target in any of its forms; a trailing slash gives a last empty segment."""
    path = target.partition("#")[0].partition("?")[0]
    if "://" in path[:12]:
        path = "/" + path.partition("://")[2].partition("/")[2]
    return path.removeprefix("/").split("/")
