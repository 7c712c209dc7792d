"""The rules of `[redact]`: what stays readable and what else is secret, checked when they are read."""

from __future__ import annotations

import re
from typing import NamedTuple

from capture.config import nearest
from capture.errors import UsageError
from capture.redact.clean import CleanJson
from capture.redact.names import Names
from capture.settings import RedactConfig

__all__ = ["DETECTORS", "JsonPattern", "Rules", "json_place", "parse_json_pattern"]

DETECTORS = (
    "private_key",
    "jwt",
    "base64_json",
    "bearer",
    "basic",
    "url_password",
    "api_key",
    "card",
    "iban",
    "email",
    "query",
    "path_token",
)
"""What is looked for wherever it stands; `keep = ["detector:email"]` turns one off."""

_KINDS = ["header", "cookie", "query", "form", "json", "xml", "path", "detector", "body"]
_STEP = re.compile(r"(\.\.)?(?:\.?([A-Za-z_][\w-]*|\*)|\[(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(\d+)|(\*))\])")


class _Step(NamedTuple):
    name: str | int | None
    deep: bool


class JsonPattern:
    """A JSONPath of names, indexes, `*` and `..` (a part of RFC 9535), matched against one exact path."""

    __slots__ = ("_steps", "text")

    def __init__(self, text: str, steps: tuple[_Step, ...]) -> None:
        self.text = text
        self._steps = steps

    def matches(self, path: tuple[str | int, ...]) -> bool:
        """True where the pattern selects exactly this path."""
        return _matches(self._steps, path)


def _matches(steps: tuple[_Step, ...], path: tuple[str | int, ...]) -> bool:
    if not steps:
        return not path
    step = steps[0]
    places = range(len(path)) if step.deep else range(min(1, len(path)))
    return any((step.name is None or step.name == path[n]) and _matches(steps[1:], path[n + 1 :]) for n in places)


def parse_json_pattern(text: str, where: str) -> JsonPattern:
    """The pattern of `$.a['b'][0][*]..c`. Raises UsageError naming `where` for anything else."""
    steps = []
    place = 1
    while place < len(text):
        match = _STEP.match(text, place)
        if match is None or match.end() == place or not text.startswith("$"):
            break
        deep, dotted, single, double, index, star = match.groups()
        if dotted is not None and deep is None and text[place] != ".":
            break
        name: str | int | None = None
        if index is not None:
            name = int(index)
        elif star is None and dotted != "*":
            quoted = single if single is not None else double
            name = dotted if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        steps.append(_Step(name, deep is not None))
        place = match.end()
    if place != len(text) or not steps or len(steps) > 32:
        raise UsageError(f"{where}: {text!r} is not a path like $.user['name'][*].. that can be used here")
    return JsonPattern(text, tuple(steps))


def json_place(path: tuple[str | int, ...]) -> str:
    """The RFC 9535 normalised path of a place in a JSON text."""
    return "$" + "".join(f"[{step}]" if isinstance(step, int) else f"['{_quoted(step)}']" for step in path)


def _quoted(name: str) -> str:
    name = name.replace("\\", "\\\\").replace("'", "\\'")
    return re.sub(r"[\x00-\x1f\ud800-\udfff]", lambda match: f"\\u{ord(match.group()):04x}", name)


class Rules:
    """The checked rules of one configuration. clean: passes over JSON bodies that hold nothing, None where none is to
    be passed over."""

    __slots__ = ("clean", "json_keep", "json_secret", "keep", "keeps_verifiers", "mode", "names", "strict")

    def __init__(self, config: RedactConfig, *, thorough: bool = False) -> None:
        """thorough: every body is read by its own scanner. Raises UsageError for a rule that is not understood."""
        self.mode = config.mode
        self.strict = config.mode == "strict"
        self.keep: dict[str, set[str]] = {kind: set() for kind in _KINDS}
        json_keep, json_secret, fields = [], [], set()
        for rule in config.keep:
            kind, colon, name = rule.partition(":")
            if kind not in _KINDS or not colon or not name:
                raise UsageError(f"[redact] keep: {rule!r} is not KIND:NAME; {nearest(kind, _KINDS)}")
            if kind == "json":
                json_keep.append(parse_json_pattern(name if name.startswith("$") else f"$..{name}", "[redact] keep"))
            elif kind == "detector" and name not in DETECTORS:
                raise UsageError(f"[redact] keep: no detector {name!r}; {nearest(name, list(DETECTORS))}")
            else:
                self.keep[kind].add(name.lower() if kind in ("header", "body") else name)
        for rule in config.fields:
            if rule.startswith(("$", "json:")):
                json_secret.append(parse_json_pattern(rule.removeprefix("json:"), "[redact] fields"))
            else:
                fields.add(rule)
        self.json_keep = tuple(json_keep)
        self.json_secret = tuple(json_secret)
        verifiers = ("code_verifier", "codeVerifier")
        self.keeps_verifiers = any(
            name in self.keep["form"] or name in self.keep["query"] or self.keeps_json((name,)) for name in verifiers
        )
        self.names = Names(frozenset(fields), frozenset(config.headers))
        self.clean = None if thorough else CleanJson(self.names)

    def detects(self, detector: str) -> bool:
        """True where that detector is on."""
        return detector not in self.keep["detector"]

    def keeps_json(self, path: tuple[str | int, ...]) -> bool:
        """True where the value at this path stays readable."""
        return any(pattern.matches(path) for pattern in self.json_keep)

    def hides_json(self, path: tuple[str | int, ...]) -> bool:
        """True where the value at this path is secret by a rule of the user."""
        return any(pattern.matches(path) for pattern in self.json_secret)
