"""What is known of header fields that come again and again: which are nobody's secret, and how a row of names is read.

A service and its clients send the same few rows of header names over and over. What must be done about each field of a
row is worked out once; of a new message only the values that may change are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter

from capture.exchange import Headers
from capture.redact.detect import may_hold
from capture.redact.fields import HARMLESS_VALUE, is_ordinary, redact_header
from capture.redact.found import Found
from capture.redact.names import LOCATION_HEADERS, PLAIN_HEADERS, PLAIN_SPELLINGS
from capture.redact.rules import Rules

__all__ = ["HeaderMemory", "Row"]

_CLEAN_MAX = 8192
_CLEAN_PER_NAME_MAX = 256
_CLEAN_FIRST = 16
"""After so many values of a header that were kept, the name alone is known to be ordinary."""
_CLEAN_LENGTH_MAX = 512
_NAME_LENGTH_MAX = 64
_NAMES_MAX = 2048
_ROWS_MAX = 512
_ROW_FIELDS_MAX = 64
_PLAIN, _SEARCHED = 0, 1
"""What becomes of the values of an ordinary header: nothing, or only a search for forms."""
_NAME = itemgetter(0)

_Getter = Callable[[Headers], Headers]


class Row:
    """How the fields of one row of names are read, as far as it is known.

    watched: gives the fields that have to be known or looked at one by one; searched: those that are only searched for
    forms; both None where there are none. coded: whether there is a Content-Encoding.
    """

    __slots__ = ("_typed_places", "coded", "searched", "watched", "watched_places")

    def __init__(self, names: tuple[str, ...], kinds: dict[str, int]) -> None:
        lower = [name.lower() for name in names]
        self._typed_places = [place for place, name in enumerate(lower) if name == "content-type"]
        self.coded = "content-encoding" in lower
        known = [kinds.get(name) for name in names]
        self.watched_places = [place for place, kind in enumerate(known) if kind is None]
        self.watched = _getter(self.watched_places)
        self.searched = _getter([place for place, kind in enumerate(known) if kind is _SEARCHED])

    def content_type(self, headers: Headers) -> str:
        """The media type of headers with these names; "" where none is given."""
        for place in self._typed_places:
            if headers[place][1]:
                return headers[place][1]
        return ""


def _getter(places: list[int]) -> _Getter | None:
    if not places:
        return None
    return itemgetter(*places) if len(places) > 1 else itemgetter(slice(places[0], places[0] + 1))


class HeaderMemory:
    """Fields and names that are nobody's secret under some rules; bounded, and forgets everything when it is full."""

    __slots__ = ("_clean", "_counts", "_kinds", "_plain_names", "_remembers", "_rows", "_rules")

    def __init__(self, rules: Rules, remembers: bool = True) -> None:
        """remembers: False where every field is to be read as if it were the first."""
        self._rules = rules
        self._remembers = remembers
        self._clean: set[tuple[str, str]] = set()
        self._kinds: dict[str, int] = {}
        self._plain_names: set[str] = set()
        self._counts: dict[str, int] = {}
        self._rows: dict[tuple[str, ...], Row] = {}

    def __len__(self) -> int:
        """How many fields are remembered."""
        return len(self._clean)

    def row(self, headers: Headers) -> Row:
        """How headers with these names are read."""
        names = tuple(map(_NAME, headers))
        row = self._rows.get(names)
        if row is None:
            row = Row(names, self._kinds)
            if len(names) <= _ROW_FIELDS_MAX and sum(map(len, names)) <= _NAMES_MAX:
                if len(self._rows) >= _ROWS_MAX:
                    self._rows.clear()
                self._rows[names] = row
        return row

    def all_known(self, headers: Headers) -> bool:
        """True where every field was there before and was kept."""
        return self._clean.issuperset(headers)

    def known(self, headers: Headers, row: Row) -> bool:
        """True where every field that is watched is known to be nobody's secret."""
        return row.watched is None or self._clean.issuperset(row.watched(headers))

    def unsearched(self, headers: Headers, row: Row) -> list[str]:
        """The values that are only to be searched for forms, but for those that are known to have none."""
        if row.searched is None:
            return []
        fields = row.searched(headers)
        return [] if self._clean.issuperset(fields) else [field[1] for field in fields]

    def redact(self, headers: Headers, row: Row, found: Found, formless: bool = False) -> Headers:
        """The fields without secrets, the same object where there were none.

        formless: it is known that no detector finds anything in what `unsearched` gave.
        """
        clean = self._clean
        places = [place for place in row.watched_places if headers[place] not in clean]
        if row.searched is not None and not formless:
            values = [
                field[1]
                for field in row.searched(headers)
                if field not in clean and HARMLESS_VALUE.fullmatch(field[1]) is None
            ]
            # They are searched together; where there may be something, each by itself.
            if values and may_hold("\n".join(values).encode("utf-8", "surrogatepass")):
                places = [place for place, field in enumerate(headers) if field not in clean]
        return self._fields(headers, places, found) if places else headers

    def _fields(self, headers: Headers, places: list[int], found: Found) -> Headers:
        """The headers, those at these places redacted."""
        made: list[tuple[str, str]] | None = None
        counts = self._counts
        for place in places:
            field = name, value = headers[place]
            new = value if name in PLAIN_SPELLINGS else redact_header(name, value, found)
            plain = name if name in counts or name in self._plain_names else self._name(name, found)
            if new != value or plain != name:
                if made is None:
                    made = list(headers)
                made[place] = (plain, new)
            else:
                self._remember(field, found)
        return headers if made is None else tuple(made)

    def _name(self, name: str, found: Found) -> str:
        """The name of a header, which may hold a secret as anything may; that most hold none is remembered."""
        made = found.scrub(name, "header name")
        if made == name and len(name) <= _NAME_LENGTH_MAX:
            if len(self._plain_names) >= _NAMES_MAX:
                self._plain_names.clear()
            self._plain_names.add(name)
        return made

    def _remember(self, field: tuple[str, str], found: Found) -> None:
        """Header fields come again and again; of names whose values are new each time only the first few are kept."""
        if not self._remembers:
            return
        name, value = field
        lower = name.lower()
        count = self._counts.get(name, 0)
        if count >= _CLEAN_PER_NAME_MAX or len(value) > _CLEAN_LENGTH_MAX or lower in self._rules.keep["header"]:
            return
        if len(self._clean) >= _CLEAN_MAX:
            self._clean.clear()
            self._counts.clear()
            self._kinds.clear()
            self._rows.clear()
            count = 0
        self._clean.add(field)
        self._counts[name] = count + 1
        if (
            count >= _CLEAN_FIRST
            and name not in self._kinds
            and lower not in LOCATION_HEADERS
            and is_ordinary(lower, found)
        ):
            self._kinds[name] = _PLAIN if lower in PLAIN_HEADERS else _SEARCHED
            self._rows.clear()  # every row with this name is read in another way now
