"""Read one JSON text, keeping as facts what parsers disagree on: repeated keys, NaN, surrogates, depth, huge numbers.

Three ways to the same values, the fast one first: msgspec for what everybody understands; the standard library with
hooks where a body has repeated keys, NaN, lone surrogates, numbers beyond a double, or bytes that are not UTF-8; and an
own parser without recursion where it is nested too deep for either.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from diff.body.reading import Side, Unreadable
from diff.body.tree import Nested, Repeating
from diff.collector import Collector
from diff.options import CompareOptions

__all__ = ["EXACT_MAX", "NOT_PLAIN", "Facts", "hides_nothing", "looks_like_json", "parse_json"]

_DECODE: Final = msgspec.json.Decoder().decode
_ENCODE: Final = msgspec.json.Encoder().encode

NOT_PLAIN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a text that is not JSON, or that it will not take."""

# CPython refuses to turn longer digit strings into int (a defence against quadratic work); Decimal takes them exactly.
_INT_DIGITS_MAX: Final = 4300
EXACT_MAX: Final = 2.0**53
"""From here on a double stands for more integers than one."""
# Our own parser is slow: a megabyte takes it seconds.
_DEEP_CHARACTERS_MAX: Final = 1 << 19


def hides_nothing(raw: bytes, encoded: bytes) -> bool:
    """False where decoding, of which `encoded` is what was left, may have dropped a repeated key.

    Every key is followed by a colon, and colons inside strings stay through decoding and encoding, so a dropped member
    lowers the number of colons. The one way to gain a colon is its escape.
    """
    if raw == encoded:
        return True  # As most servers write it.
    if raw.count(b":") != encoded.count(b":"):
        return False
    return b"\\u003" not in raw or not (b"\\u003a" in raw or b"\\u003A" in raw)


def looks_like_json(body: bytes) -> bool:
    """True where the first characters are those of a JSON object or array, or a whole body is one scalar."""
    start = body[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    return start in (b"{", b"[")


def parse_json(
    body: bytes, options: CompareOptions, facts: Facts, side: Side, *, deep: bool = False, exact: bool = False
) -> Any:
    """The value of a JSON text, keeping what other parsers drop or refuse; what is odd about it goes to `facts`.

    Objects with repeated keys become Repeating; NaN and the infinities floats; numbers beyond a double and integers of
    more digits than CPython converts Decimal; parts below the bound on depth Nested, where recursion cannot go as deep
    or with `deep`. exact: slower, and 1e30 is that integer, not the double next to it. Raises Unreadable.
    """
    if not deep and not exact:
        try:
            value = _DECODE(body)
            if hides_nothing(body, _ENCODE(value)):
                return value
        except NOT_PLAIN:
            pass
    hooks = _Hooks(facts, side, by_value=not options.strict_numbers)
    text = _text(body, hooks)
    if deep and len(text) > _DEEP_CHARACTERS_MAX:
        raise Unreadable(f"JSON nested too deep for a text of more than {_DEEP_CHARACTERS_MAX} characters")
    try:
        return _Parser(text, options.depth_max, hooks).parse() if deep else _loads(text, hooks)
    except json.JSONDecodeError as error:
        raise Unreadable(f"not valid JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        return parse_json(body, options, facts, side, deep=True)


def _loads(text: str, hooks: _Hooks) -> Any:
    return json.loads(
        text,
        object_pairs_hook=hooks.pairs,
        parse_constant=hooks.constant,
        parse_float=hooks.real,
        parse_int=hooks.integer,
    )


def _text(body: bytes, hooks: _Hooks) -> str:
    """The text in the encoding its first bytes tell (UTF-8, 16 or 32); bytes that do not fit stay as surrogates."""
    encoding = json.detect_encoding(body)
    if encoding != "utf-8":
        hooks.say(f"JSON in {encoding}, which RFC 8259 does not allow")
    try:
        return body.decode(encoding)
    except UnicodeDecodeError:
        hooks.say(f"not valid {encoding.removesuffix('-sig').upper()}")
        return body.decode(encoding, "surrogateescape" if encoding.startswith("utf-8") else "replace")


class Facts:
    """What is odd about two bodies, each fact with the sides it is true of."""

    __slots__ = ("_sides",)

    def __init__(self) -> None:
        self._sides: dict[str, list[Side]] = {}

    def say(self, fact: str, side: Side) -> None:
        """Keep a fact about a side, once."""
        sides = self._sides.setdefault(fact, [])
        if side not in sides:
            sides.append(side)

    def tell(self, collector: Collector) -> None:
        """Hand the facts over as notes, with their sides."""
        for fact, sides in self._sides.items():
            collector.note(f"{fact} ({' and '.join(sides)})")


class _Hooks:
    """What becomes of the parts of a text on which JSON parsers disagree."""

    __slots__ = ("_by_value", "_facts", "_side")

    def __init__(self, facts: Facts, side: Side, *, by_value: bool) -> None:
        self._by_value = by_value
        self._facts = facts
        self._side: Side = side

    def say(self, fact: str) -> None:
        self._facts.say(fact, self._side)

    def pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        self.say("an object has the same key more than once")
        return Repeating(pairs)

    def constant(self, word: str) -> float:
        self.say("NaN or Infinity, which are not JSON")
        return float(word)

    def integer(self, digits: str) -> Any:
        if len(digits) <= _INT_DIGITS_MAX:
            return int(digits)
        return Decimal(digits)

    def real(self, digits: str) -> Any:
        value = float(digits)
        if value - value == 0:
            if abs(value) >= EXACT_MAX and self._by_value:
                # 1e30 is the integer, not the double next to it, where there may be an integer to compare it with.
                exact = Decimal(digits)
                return int(exact) if exact == exact.to_integral_value() else value
            return value
        self.say("a number beyond the range of a double")
        try:
            return Decimal(digits)
        except InvalidOperation:
            return digits


_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*(?:
        (?P<mark>[{}\[\],:])
      | (?P<string>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")
      | (?P<number>-?(?:0|[1-9][0-9]*)(?P<real>(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?))(?![0-9.eE+\-])
      | (?P<word>true|false|null|NaN|-?Infinity)
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_WORDS: Final[dict[str, Any]] = {"true": True, "false": False, "null": None}


class _Parser:
    """A JSON parser that keeps its own stack, so that depth costs memory in proportion and nothing else."""

    def __init__(self, text: str, depth_max: int, hooks: _Hooks) -> None:
        self._text = text
        self._at = 1 if text.startswith("\ufeff") else 0
        self._depth_max = depth_max
        self._hooks = hooks

    def _next(self) -> tuple[str, str, bool]:
        """(kind, text, whether a number has a fraction or an exponent) of the next token."""
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise self._wrong("no JSON token")
        kind = match.lastgroup if match.lastgroup != "real" else "number"
        assert kind is not None
        if match.group("number") is not None:
            kind = "number"
        self._at = match.end()
        return kind, match.group(kind), bool(match.group("real"))

    def parse(self) -> Any:
        """The value of the whole text. Raises json.JSONDecodeError."""
        # Each open container: [is an object, what it has so far, the key that waits for its value].
        stack: list[tuple[bool, list[Any], list[str]]] = []
        kind, token, real = self._next()
        while True:
            value: Any
            if token in ("{", "[") and kind == "mark":
                if len(stack) >= self._depth_max:
                    value = self._nested(token)
                else:
                    closing = "}" if token == "{" else "]"
                    stack.append((token == "{", [], []))
                    kind, token, real = self._next()
                    if kind == "mark" and token == closing:
                        value = self._closed(stack.pop())
                    else:
                        if closing == "}":
                            kind, token, real = self._key(kind, token, stack[-1][2])
                        continue
            else:
                value = self._scalar(kind, token, real)
            while stack:
                is_object, items, keys = stack[-1]
                items.append((keys.pop(), value) if is_object else value)
                kind, token, real = self._next()
                if kind == "mark" and token == ",":
                    kind, token, real = self._next()
                    if is_object:
                        kind, token, real = self._key(kind, token, keys)
                    break
                if kind != "mark" or token != ("}" if is_object else "]"):
                    raise self._wrong("expected ',' or the end")
                value = self._closed(stack.pop())
            else:
                if self._next()[0] != "end":
                    raise self._wrong("something follows the value")
                return value

    def _wrong(self, why: str) -> json.JSONDecodeError:
        return json.JSONDecodeError(why, self._text, self._at)

    def _key(self, kind: str, token: str, keys: list[str]) -> tuple[str, str, bool]:
        if kind != "string" or self._next()[1] != ":":
            raise self._wrong("expected a key and ':'")
        keys.append(json.loads(token))
        return self._next()

    def _closed(self, container: tuple[bool, list[Any], list[str]]) -> Any:
        is_object, items, _ = container
        return self._hooks.pairs(items) if is_object else items

    def _scalar(self, kind: str, token: str, real: bool) -> Any:
        if kind == "string":
            return json.loads(token)
        if kind == "number":
            return self._hooks.real(token) if real else self._hooks.integer(token)
        if kind == "word":
            return _WORDS[token] if token in _WORDS else self._hooks.constant(token)
        raise self._wrong("expected a value")

    def _nested(self, opening: str) -> Nested:
        """The part that begins here as text; its brackets must match, its commas and colons are taken as they are."""
        self._hooks.say(f"nested deeper than {self._depth_max}; what lies below is compared as text")
        pieces = [opening]
        waiting = ["}" if opening == "{" else "]"]
        while waiting:
            kind, token, _ = self._next()
            if kind == "end":
                raise self._wrong("it ends inside an object or array")
            pieces.append(token)
            if kind == "mark" and token in "{[":
                waiting.append("}" if token == "{" else "]")
            elif kind == "mark" and token in "}]" and token != waiting.pop():
                raise self._wrong("brackets do not match")
        return Nested("".join(pieces))
