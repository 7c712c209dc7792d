"""Which values the requests of a log carry at all: what none of them carries need not be looked for in the answers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from capture.exchange import Exchange
from replay.carry import carried_values
from replay.inside import parts_inside
from replay.learn import Learned, target_key
from replay.place import Place
from replay.rewrite import body_was_decoded
from replay.strong import is_strong
from replay.supply import supplied_values
from replay.words import words_of_request

__all__ = ["Carried", "carried_by", "gives_much"]

_BITS = 26
_MASK = (1 << _BITS) - 1
_EXACT_MAX = 100_000
_VALUES_EACH = 12
"""Reading a log once more costs about as much as keeping so many values of an answer."""
_KNOWN_MAX = 20_000
_RUN = re.compile(r"[A-Za-z0-9_-]+")
_HEX_MIN = 16
"""From this length on a hexadecimal value may be written in another case (bind.py)."""


class _Bits:
    """A set of texts in 8 MB, however many there are: one bit each, as in a Bloom filter with one hash.

    It never says of a text that is there that it is not; of a million it says of 1.5 % of the others that they are.
    """

    __slots__ = ("_bits",)

    def __init__(self, texts: Iterable[str]) -> None:
        self._bits = bytearray(1 << (_BITS - 3))
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        place = hash(text) & _MASK
        self._bits[place >> 3] |= 1 << (place & 7)

    def __contains__(self, text: str) -> bool:
        place = hash(text) & _MASK
        return bool(self._bits[place >> 3] & 1 << (place & 7))

    def isdisjoint(self, texts: Iterable[str]) -> bool:
        return not any(text in self for text in texts)


class Carried:
    """Values that requests carry, in bounded memory; where they are many, some others are taken for such.

    That costs a little time and changes nothing: what is kept of an answer without being asked for is never found.
    """

    __slots__ = ("_runless", "_runs", "_values")

    def __init__(self) -> None:
        self._values: set[str] | _Bits = set()
        self._runs: set[str] | _Bits = set()
        self._runless = False

    def add(self, value: str) -> None:
        """Note a value, as a whole and for `holds`."""
        values, runs = self._values, self._runs
        values.add(value)
        if len(value) >= _HEX_MIN:
            values.add(value.lower())
        if found := _RUN.findall(value):
            runs.add(max(found, key=len).lower())
        else:
            self._runless = True
        if isinstance(values, set) and len(values) > _EXACT_MAX:
            self._values = _Bits(values)
        if isinstance(runs, set) and len(runs) > _EXACT_MAX:
            self._runs = _Bits(runs)

    def __contains__(self, value: str) -> bool:
        """False where no request carries the value, in this case or, where it is long, in another."""
        return value in self._values or (len(value) >= _HEX_MIN and value.lower() in self._values)

    def holds(self, text: str) -> bool:
        """False where no part of the text, between characters that are no letters, digits, "_" or "-", is carried."""
        return self._runless or not self._runs.isdisjoint(_RUN.findall(text.lower()))


def carried_by(exchanges: Iterable[Exchange], learned: Learned) -> Carried:
    """What the requests of a log carry, as wholes and inside one another, where it could be linked to an answer.

    A weak value that has no name where it is carried, and of whose place nothing was learned, cannot.
    """
    carried = Carried()
    known: set[tuple[str, bool]] = set()
    for exchange in exchanges:
        coded = not (exchange.notes and body_was_decoded(exchange, "request"))
        for place, value in carried_values(exchange.request, coded):
            named = bool(words_of_request(exchange, place)) or bool(learned.get(target_key(exchange, place)))
            if (value, named) in known:
                continue
            if len(known) >= _KNOWN_MAX:
                known.clear()
            known.add((value, named))
            if named or is_strong(value):
                carried.add(value)
            for _, text, name in parts_inside(value):
                if named or name or is_strong(text):
                    carried.add(text)
    return carried


def gives_much(exchanges: Iterable[Exchange]) -> bool:
    """True where answers have so many values, each time others, that `carried_by` saves more than it costs."""
    values: set[tuple[Place, str]] = set()
    count = 0
    for exchange in exchanges:
        count += 1
        if exchange.response is not None:
            coded = not (exchange.notes and body_was_decoded(exchange, "response"))
            values.update(supplied_values(exchange.response, coded).items())
    return len(values) > _VALUES_EACH * count
