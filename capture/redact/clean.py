"""Whether a JSON body holds nothing that its scanner would change, found out without reading it value by value.

Everything here may say "not clean" of a body that is; never the other way round (a test compares with the scanner).
"""

from __future__ import annotations

import re
from itertools import repeat
from operator import itemgetter
from typing import TypeVar

import msgspec

from capture.redact.detect import may_hold
from capture.redact.names import LABELS, VALUES, Names
from capture.redact.shapes import Shapes

__all__ = ["CleanJson", "json_names"]

_NAMES_MAX = 8192
_NAME_BYTES_MAX = 128
_VALIDATE = msgspec.json.Decoder(msgspec.Raw).decode
_LABELS = frozenset(name.encode() for name in LABELS)
_VALUES = frozenset(name.encode() for name in VALUES)
_LABEL = re.compile(rb'"(?:' + b"|".join(sorted(_LABELS)) + rb')"\s*:\s*"([^"]*)"')
_NONE: frozenset[str] = frozenset()
_TAIL_BYTES = 80
"""More than any name that `redact_pairs` and the detectors read, with what may stand behind it."""
_WORD_BYTES = bytes(n for n in range(256) if n > 127 or chr(n).isalnum() or chr(n) in "_.[]-")
_NO_LETTERS = bytes(n for n in range(128) if not chr(n).isalpha())
_COLON = re.compile(rb':(?<!":)')
_FLAG = re.compile(rb"--[A-Za-z]")
_NUMBERLIKE = re.compile(rb"[0-9a-f-]{16,}")
_ESCAPED_SPACES = (b"\\n", b"\\r", b"\\t")
_BEHIND = itemgetter(2)
_N = TypeVar("_N", str, bytes)


class CleanJson:
    """Remembers names and structures that are nobody's secret; bounded, and forgets everything when it is full."""

    __slots__ = ("_clean", "_names", "_pairs", "_pairs_clean", "_shapes")

    def __init__(self, names: Names) -> None:
        self._names = names
        self._shapes = Shapes()
        self._clean: set[bytes] = set()
        self._pairs: set[bytes] = set()
        self._pairs_clean: dict[frozenset[bytes], bool] = {}

    def searched(self, body: bytes, formless: bool = False) -> bytes | None:
        """The body ready for `named`, where no detector finds anything in it and no string has markup, or a secret's
        name before a `:` or `=`; None where some may, or its escapes hide what is there. formless: it was searched."""
        text = _unescaped(body)
        if text is None or (b"<" in text and b"</" in text):
            return None
        return text if (formless or not may_hold(text, pairs=False)) and self._marks_clean(text) else None

    def named(self, text: bytes) -> frozenset[str] | None:
        """Which names in JSON, as `searched` gave it, are a secret's wherever they stand; None where that cannot be
        said: it is no JSON, or a name may be one by what it stands in or beside."""
        shape = self._shapes.of(text)
        if shape is not None:
            if _labelled(shape.names, LABELS, VALUES) and not self._labels_clean(text):
                return None
            return _present(shape.secrets, text) if shape.secrets else _NONE
        names = json_names(text)
        secrets = None if names is None else self._secrets(names)
        if names is None or secrets is None:
            return None
        try:
            _VALIDATE(text)  # names without quotes are no JSON, and would have been missed
        except (msgspec.DecodeError, RecursionError):
            return None
        if _labelled(names, _LABELS, _VALUES) and not self._labels_clean(text):
            return None
        self._shapes.learn(text, secrets)
        return _present(secrets, text) if secrets else _NONE

    def _secrets(self, names: set[bytes]) -> frozenset[str] | None:
        """Those of the names (UTF-8) that are a secret's wherever they stand; None where others may be, too."""
        if names <= self._clean:
            return _NONE
        unknown = names - self._clean
        secret = {
            name
            for name in unknown
            if len(name) <= _NAME_BYTES_MAX and self._names.field(name.decode("utf-8", "replace"))
        }
        return frozenset([name.decode("utf-8", "replace") for name in secret]) if self.covers(names - secret) else None

    def covers(self, names: set[bytes]) -> bool:
        """True where none of the names (UTF-8) is a secret's, alone or inside an object named by another of them."""
        if names <= self._clean:
            return True
        halves = names - self._clean
        for name in halves - self._pairs:
            text = name.decode("utf-8", "replace")
            if self._names.field(text) or len(name) > _NAME_BYTES_MAX:
                return False
            known = self._pairs if self._names.may_pair(text) else self._clean
            if len(known) >= _NAMES_MAX:
                known.clear()
            known.add(name)
        together = frozenset(halves - self._clean)
        found = self._pairs_clean.get(together)
        if found is None:
            found = not self._names.pairs([name.decode("utf-8", "replace") for name in together])
            if len(self._pairs_clean) >= _NAMES_MAX:
                self._pairs_clean.clear()
            self._pairs_clean[together] = found
        return found

    def _labels_clean(self, text: bytes) -> bool:
        """True where no label (`"name": "Authorization"`) is the name of a secret."""
        for label in set(_LABEL.findall(text)):
            if not self._names.extended and _NUMBERLIKE.fullmatch(label):
                continue
            name = label.decode("utf-8", "replace")
            if self._names.query(name) or self._names.header(name.lower()):
                return False
        return True

    def _marks_clean(self, text: bytes) -> bool:
        """True where no word before a `:` inside a string, or before a `=`, is the name of a secret."""
        if _FLAG.search(text):
            return False
        colons = _COLON.search(text) is not None
        if not colons and b"=" not in text:
            return True
        words: set[bytes] = set()
        if colons:
            words.update(map(_word_before, text.replace(b'":', b'" ').split(b":")[:-1]))
        words.update(map(_word_before, text.split(b"=")[:-1]))
        names = self._names
        for word in words:
            # Too few letters for any name, as in times of day; there are many of those, and each is another.
            if not names.extended and len(word.translate(None, _NO_LETTERS)) < 2:
                continue
            name = word.decode("utf-8", "replace")
            if names.query(name) or names.field(_last_run(name)):
                return False
        return True


def json_names(body: bytes) -> set[bytes] | None:
    """The names in a JSON text, quickly: what stands in quotes before a colon; may hold others, misses none.

    None for a text that has white space before a colon, which is rare.
    """
    if b" :" in body:
        return None
    for space in (b"\t", b"\n", b"\r"):
        if space in body and space + b":" in body:
            return None
    # What stands behind the last quote of each piece, without a step of the interpreter for each.
    return set(map(_BEHIND, map(bytes.rpartition, body.split(b'":')[:-1], repeat(b'"'))))


def _labelled(names: set[_N], labels: frozenset[_N], values: frozenset[_N]) -> bool:
    """True where an object may say by one member what another one is: {"name": "password", "value": ...}."""
    return not (names.isdisjoint(labels) or names.isdisjoint(values))


def _present(names: frozenset[str], text: bytes) -> frozenset[str]:
    """Those of the names that stand in quotes in the text."""
    return frozenset([name for name in names if f'"{name}"'.encode("utf-8", "surrogatepass") in text])


def _word_before(piece: bytes) -> bytes:
    """The word at the end of `piece`, which may be in quotes and have spaces behind it."""
    tail = piece[-_TAIL_BYTES:].rstrip(b" \t")
    if tail.endswith((b'"', b"'")):
        tail = tail[:-1]
    return tail[len(tail.rstrip(_WORD_BYTES)) :]


def _last_run(name: str) -> str:
    return name.replace("[", "]").rpartition("]")[2]


def _unescaped(body: bytes) -> bytes | None:
    """The body with its harmless escapes taken off; None where there are others."""
    if b"\\" not in body:
        return body
    for escape in _ESCAPED_SPACES:
        body = body.replace(escape, b"  ")
    body = body.replace(b"\\/", b"/")
    return None if b"\\" in body else body
