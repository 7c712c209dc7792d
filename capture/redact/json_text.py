"""Redaction of JSON in place: only the secret values change, every other byte stays, even in broken or cut-off texts.

The text is never parsed into values and written again, so number forms, white space, key order and duplicate keys
survive for the comparison. The scanner accepts anything: what is not JSON is read as words between marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from capture.redact.detect import may_hold
from capture.redact.found import Found
from capture.redact.graphql import secret_variables
from capture.redact.markup import redact_markup
from capture.redact.names import LABELS, VALUES
from capture.redact.pairs import redact_pairs
from capture.redact.rules import json_place

__all__ = ["redact_json", "redact_json_value"]

_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_LABELLED = re.compile(r'"(?:value|val|values|content|text)"\s*:')
_STRIDE = re.compile(
    r'"([^"\\]*)"\s*:\s*(?:"[^"\\]*"|-?\d[\d.eE+-]*|true|false|null)(?=\s*[,}])\s*(,?)|' + _TOKEN.pattern, re.DOTALL
)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS = frozenset(("true", "false", "null"))
_NESTED_MAX = 3
_DEPTH_SHOWN = 64


class _Frame:
    """One open container: its kind, where it stands now, and whether all that is in it is secret.

    label: in an object like {"name": "Authorization", "value": ...} whether the name is a secret's.
    """

    __slots__ = ("expects_key", "is_object", "key", "label", "secret", "step")

    def __init__(self, is_object: bool, secret: bool, key: str) -> None:
        self.is_object = is_object
        self.secret = secret
        self.expects_key = is_object
        self.step: str | int = "" if is_object else 0
        self.key = key
        self.label = False


def redact_json(
    text: str, found: Found, kind: str = "json", lines: bool = False, nested: int = 0, search: bool = True
) -> str:
    """`text` with its secret values replaced by pseudonyms.

    kind: how places are listed, "json" gives json:$['token']. lines: several texts, one a line; the place begins with
    the line's index. nested: how many strings this text is inside of. search: False where it is known that no detector
    finds anything, so that only names count.
    """
    scanner = _Scanner(found, kind, lines, nested, search)
    scanner.variables = secret_variables(text, found.rules.names.field)
    return "".join(scanner.pieces(text))


def redact_json_value(token: str, path: tuple[str | int, ...], found: Found) -> str:
    """A scalar that stands at `path` of a text, without its secret where its name, or a rule, says that it is one."""
    return _Scanner(found, "json", lines=False, nested=0, search=False).value_at(path, token)


class _Scanner:
    """Walks the tokens of one text and keeps the path to where it is.

    variables: those of a GraphQL request that are secret by what its document does with them.
    """

    __slots__ = ("_found", "_kind", "_lines", "_nested", "_search", "_stack", "_top", "variables")

    def __init__(self, found: Found, kind: str, lines: bool, nested: int, search: bool) -> None:
        self._search = search
        self._found = found
        self._kind = kind
        self._lines = lines
        self._nested = nested
        self._stack: list[_Frame] = []
        self._top = 0
        self.variables: frozenset[str] = frozenset()

    def pieces(self, text: str) -> Iterator[str]:
        """The whole text, piece by piece, secrets replaced."""
        rules = self._found.rules
        paths = rules.json_keep or rules.json_secret or self.variables
        quick = not (self._search or rules.strict or paths or _LABELLED.search(text))
        if not quick:
            yield from self._walk(text)
            return
        # Nothing but names counts: members with a plain scalar are stepped over in one stride.
        stack, is_secret = self._stack, rules.names.field
        end = 0
        for match in _STRIDE.finditer(text):
            key = match.group(1)
            if key is not None:
                frame = stack[-1] if stack else None
                self._found.spend(1)
                if frame is not None and frame.expects_key and not frame.secret and not is_secret(key, frame.key):
                    frame.step = key
                    frame.expects_key = match.group(2) == ","
                    continue
            yield text[end : match.start()]
            end = match.end()
            if key is None:
                yield self._token(match.group())
            else:
                yield from self._walk(match.group())
        yield text[end:]

    def value_at(self, path: tuple[str | int, ...], token: str) -> str:
        """What is written for one scalar, as if the walk had come to `path`."""
        for step in path:
            self._open(isinstance(step, str))
            self._stack[-1].step = step
            self._stack[-1].expects_key = False
        return self._value(token)

    def _walk(self, text: str) -> Iterator[str]:
        end = 0
        for match in _TOKEN.finditer(text):
            if match.start() > end:
                yield text[end : match.start()]
            end = match.end()
            yield self._token(match.group())
        yield text[end:]

    def _token(self, token: str) -> str:
        """What is written for the next token."""
        self._found.spend(1)
        stack = self._stack
        first = token[0]
        if first == ",":
            self._next()
        elif first == ":":
            if stack:
                stack[-1].expects_key = False
        elif first in "{[":
            self._open(first == "{")
        elif first in "}]":
            if stack:
                stack.pop()
            self._count_top()
        elif stack and stack[-1].expects_key:
            return self._name(stack[-1], token)
        else:
            token = self._value(token)
            self._count_top()
        return token

    def _open(self, is_object: bool) -> None:
        secret = self._secret_here() if self._stack else self._found.rules.strict
        key = ""
        if self._stack:
            frame = self._stack[-1]
            key = frame.step if isinstance(frame.step, str) else frame.key
        self._stack.append(_Frame(is_object, secret, key))

    def _next(self) -> None:
        if self._stack:
            frame = self._stack[-1]
            if frame.is_object:
                frame.expects_key = True
            elif isinstance(frame.step, int):
                frame.step += 1

    def _count_top(self) -> None:
        if not self._stack:
            self._top += 1

    def _path(self) -> tuple[str | int, ...]:
        steps = tuple([frame.step for frame in self._stack[:_DEPTH_SHOWN]])
        return (self._top, *steps) if self._lines else steps

    def _name(self, frame: _Frame, token: str) -> str:
        """A key: remembered for what follows, and searched itself."""
        name = _decoded(token) if token[0] == '"' else token.strip("'")
        if self._search and len(name) >= 6 and may_hold(name.encode("utf-8", "surrogatepass")):
            made = self._found.scrub(name, f"{self._kind}:{json_place(self._path()[:-1])}(name)")
            if made != name:
                frame.step = made
                return _encoded(made, token)
        frame.step = name
        return token

    def _secret_here(self) -> bool:
        """Whether the value that begins here is secret by its name, its path, or what it stands in."""
        rules = self._found.rules
        frame = self._stack[-1] if self._stack else None
        if rules.json_keep and rules.keeps_json(self._path()[1 if self._lines else 0 :]):
            return False
        if rules.strict or (frame is not None and frame.secret):
            return True
        if rules.json_secret and rules.hides_json(self._path()[1 if self._lines else 0 :]):
            return True
        if frame is None or not isinstance(frame.step, str):
            return False
        if frame.step in self.variables and frame.key == "variables":
            return True
        return rules.names.field(frame.step, frame.key) or (frame.label and frame.step in VALUES)

    def _value(self, token: str) -> str:
        found, rules = self._found, self._found.rules
        if token in _WORDS:
            return token
        if rules.json_keep and rules.keeps_json(self._path()[1 if self._lines else 0 :]):
            found.keep(_decoded(token) if token[0] == '"' else token)
            return token
        if self._secret_here():
            return self._secret(token)
        if token[0] == '"':
            return self._text(token)
        if self._search and len(token) >= 12 and may_hold(token.encode("utf-8", "surrogatepass")):
            return found.scrub(token, self._place())
        return token

    def _place(self) -> str:
        return f"{self._kind}:{json_place(self._path())}"

    def _secret(self, token: str) -> str:
        found = self._found
        if token[0] == '"':
            value = _decoded(token)
            scheme = value.partition(" ")[0].lower()
            made = (
                found.credentials(value, self._place())
                if scheme in ("bearer", "basic", "digest")
                else found.named(self._called(), value, self._place())
            )
            return _encoded(made, token)
        if _NUMBER.fullmatch(token):
            if not found.rules.strict and self._counts_tokens():
                return token
            return found.number(token, self._place())
        return found.replace(token, self._place())

    def _called(self) -> str:
        step = self._stack[-1].step if self._stack else ""
        return step if isinstance(step, str) else ""

    def _counts_tokens(self) -> bool:
        """`"total_tokens": 150` counts something; a number under `token` is a code."""
        return self._called().lower().endswith("tokens")

    def _text(self, token: str) -> str:
        """A string that is not secret by name: searched, and read as JSON where it holds some."""
        frame = self._stack[-1] if self._stack else None
        if frame is not None and frame.step in LABELS:
            label = token.strip('"')
            frame.label = self._found.rules.names.query(label) or self._found.rules.names.header(label.lower())
        if len(token) < 8:
            return token
        value = _decoded(token)
        if value[0:1] in ("{", "[") and self._nested < _NESTED_MAX and '"' in value:
            made = redact_json(value, self._found, self._kind, False, self._nested + 1)
        else:
            made = value
            if "</" in value or "/>" in value or ("<" in value and "=" in value):
                made = redact_markup(value, self._found, "xml")
            elif ":" in value or "=" in value:
                made = redact_pairs(value, self._found, self._place())
            if self._search and may_hold(made.encode("utf-8", "surrogatepass")):
                made = self._found.scrub(made, self._place())
        return token if made == value else _encoded(made, token)


def _decoded(token: str) -> str:
    """The value of a string token; the raw inside where its escapes are broken or it is cut off."""
    inner = token[1:-1] if len(token) > 1 and token.endswith('"') else token[1:]
    if "\\" not in inner:
        return inner
    try:
        value = json.loads(f'"{inner}"', strict=False)
    except ValueError:
        return inner
    return value if isinstance(value, str) else inner


def _encoded(value: str, token: str) -> str:
    """`value` as a string token in the manner of `token`."""
    closed = len(token) > 1 and token.endswith('"')
    if "\\" in token or '"' in value or "\\" in value:
        made = json.dumps(value, ensure_ascii=token.isascii())
        return made if closed else made[:-1]
    return f'"{value}"' if closed else f'"{value}'
