"""Detectors: secrets that are recognised by their form, wherever in a text they stand."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from capture.pseudonym import luhn_valid
from capture.redact.names import Names

__all__ = ["Detector", "Hit", "has_path_token", "may_hold", "path_tokens", "scan"]


class Hit(NamedTuple):
    """A secret in a text: [start, end) and what it is."""

    start: int
    end: int
    kind: str


Detector = Callable[[str], Iterator[Hit]]

_DIGITS = b"0123456789"
_UPPER = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SHAPES = bytes.maketrans(_DIGITS + _UPPER + b" ", b"0" * 10 + b"A" * 26 + b"-")
_LONG_NUMBER = b"0" * 13
# What is left of a text for `_REMNANT`: the letters of these signs in lower case, but for the J of base64.
_REMNANT_KEPT = b"SKXOLTPYIR" + b"skxoltpyir" + b"J-. +"
_REMNANT_LOWER = bytes.maketrans(b"SKXOLTPYIR", b"skxoltpyir")
_REMNANT_LEFT_OUT = bytes(octet for octet in range(256) if octet not in _REMNANT_KEPT)
_REMNANT = re.compile(rb"sk-|xox|lpt-|pypi-|y[.J]|rr[ +]|si ")
"""What is left of `sk-`, `xoxb-`, `glpat-`, `pypi-`, `ya29.`, `eyJ`, `bearer` and `basic` without all other letters:
a quarter of the text, in which one pattern for all of them takes less time than each of them in the whole."""
# Each pattern begins with a letter that is rare where nothing is secret: the engine leaps from one to the next, which
# takes a tenth of the time of one pattern for all of them.
_REMNANT_SIGNS = tuple(
    re.compile(sign)
    for sign in (
        rb"J(?<=eyJ)",
        rb"-(?:(?<=sk-)|(?<=xox[abeoprs]-)|(?<=lpat-|pypi-))",
        rb"ya29\.",
    )
)
_KEY_SIGN = re.compile(
    # What may stand before it is looked at first: that alone tells most names apart.
    rb"_(?:(?:live|test)_|(?<=[1acfmoprstu]_)(?:(?<=gh[pousr]_|npm_|pat_|sec_|pca_|ppa_|pss_|_v1_)|(?<=hf_)))"
)
# No alternative begins with what may be left out: each is told by its first letter, at once.
_PATH_SIGN = re.compile(
    rb"/(?:re(?:set|cover)|password(?:-?reset)?|verif|e-?mail-?verif|-mail-?verif|ma(?:gic|il-?verif)|confirm|activat"
    rb"|invit|unsub|token|se(?:ssion|cret)|forgot|o(?:tp|ne-?time)|login)[\w-]{0,16}/[\w.~+=%-]{10}",
    re.IGNORECASE,
)
_TWO_CAPITALS = re.compile(b"AA")
_CAPITAL_SIGNS = tuple(
    re.compile(sign)
    for sign in (
        rb"A(?:KIA|SIA|ROA|IDA|Iza)",
        rb"PRIVATE KEY",
        rb"SG\.",
    )
)
_IBAN_SIGN = re.compile(rb"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}")
_CREDENTIALS = re.compile(rb"b(?:earer|asic )")
_GROUPS = re.compile(rb"(?<![0-9.])[2-6][0-9]{3}([ -])[0-9]{4,6}\1[0-9]{4}")
_PAIR_SIGN = re.compile(rb"[\w.\[\]-]=[^&\s\"'<>#;\\]")

_BASE64_LETTERS = re.compile(r"[A-Za-z0-9+/]*")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_JWT = re.compile(r"(?<![\w-])eyJ[\w-]{5,}(?:\.[\w-]*){1,4}", re.ASCII)
_CODED_JSON = re.compile(r"(?<![\w+/-])eyJ[\w+/-]{8,}={0,2}", re.ASCII)
_BEARER = re.compile(r"\b[Bb][Ee][Aa][Rr][Ee][Rr][ +]+([\w.~+/-]{8,}=*)", re.ASCII)
_BASIC = re.compile(r"\b[Bb][Aa][Ss][Ii][Cc] +([A-Za-z0-9+/_-]{4,}={0,2})")
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@\"'<>]{0,256}):([^/\s@\"'<>]{1,256})@")
_API_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[\w-]{30,}|gh[pousr]_\w{20,}"
    r"|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|(?:sk|pk|rk)_(?:live|test)_\w{12,}"
    r"|sk-(?:ant-|proj-)?[\w-]{20,}|whsec_\w{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|npm_\w{30,}|pypi-[\w-]{30,}"
    r"|dop_v1_[0-9a-f]{40,}|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{20,}|hf_\w{24,}|ya29\.[\w-]{20,})",
    re.ASCII,
)
_API_KEY_SIGNS = re.compile(
    "A(?:KIA|SIA|ROA|IDA|Iza)|gh[pousr]_|github_pat|glpat-|xox|_live_|_test_|sk-|whsec_|SG\\.|npm_|pypi-|dop_v1|shp|hf_"
    "|ya29"
)
_CARD = re.compile(
    r"(?<![\d.])(?:[2-6]\d{12,18}|[2-6]\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -])\d{6}\2\d{4,5})(?!\.?\d)", re.ASCII
)
_IBAN_HEAD = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?= ?[A-Z0-9]{4})", re.ASCII)
_MAIL_LOCAL = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+'-")
_MAIL_DOMAIN = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9])")
_PAIR_NAME = re.compile(r"(?:(?<=[?&;#\s\"'(,])|^)([\w.\[\]-]{1,64})=(?=[^&\s'<>#;\\])", re.ASCII)
_PAIR_VALUE = re.compile(r"\"([^\"\\\r\n]{1,8192})\"|[^&\s\"'<>#;\\]{1,8192}")
_PATH_TOKEN = re.compile(
    r"/(?:(?:password-?)?reset(?:-?password)?|verif(?:y|ication)(?:-?e?mail)?|(?:e?mail-?)verif(?:y|ication)|confirm(?:ation)?"
    r"|activat(?:e|ion)|invit(?:e|es|ation|ations)|magic(?:-?link)?|unsubscribe|tokens?|sessions?|recover(?:y)?|secrets?"
    r"|forgot(?:-?password)?|password|otp|one-?time|login)/([A-Za-z0-9_.~+=%-]{10,256})",
    re.IGNORECASE | re.ASCII,
)
_TOKENLIKE = re.compile(r"(?=[^\d]*\d)(?=[^A-Za-z]*[A-Za-z]).{10,}|(?=.*[a-z])(?=.*[A-Z])[A-Za-z]{16,}", re.ASCII)
_IBAN_LENGTHS_TEXT = """AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20
EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21
LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19
SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20"""
_IBAN_LENGTHS = {word[:2]: int(word[2:]) for word in _IBAN_LENGTHS_TEXT.split()}
"""Length of an IBAN by country, from the registry of ISO 13616."""


def may_hold(data: bytes, pairs: bool = True) -> bool:
    """False where no detector can find anything in `data`, quickly; True says nothing.

    pairs: whether `name=value` counts as something to be found; not where the caller looks at the names itself. For
    text in an encoding that contains ASCII. Looks for what each form must have: `@`, `=`, long runs of digits, groups
    of digits, the first letters of keys, two words.
    """
    if b"@" in data or (pairs and b"=" in data and _PAIR_SIGN.search(data)) or (b"%" in data and b"%40" in data):
        return True
    if len(data) < 9:
        return False
    shapes = data.translate(_SHAPES)
    return _may_hold_numbers(data, shapes) or _may_hold_words(data, shapes)


def _may_hold_numbers(data: bytes, shapes: bytes) -> bool:
    """As `may_hold`, for the numbers of cards."""
    find = shapes.find
    place = find(_LONG_NUMBER)
    while place >= 0:
        # No card begins with another digit, and times in milliseconds (thirteen digits from a one on) are common.
        if 0x32 <= data[place] <= 0x36:
            return _found_by(_cards, data)
        place = find(_LONG_NUMBER, place + 13)
    place = find(b"0000-0000")  # which both of the others begin with
    return (
        place >= 0
        and (b"0000-0000-0000-0" in shapes or b"0000-000000-0000" in shapes)
        and _GROUPS.search(data, place) is not None
        and _found_by(_cards, data)
    )


def _may_hold_words(data: bytes, shapes: bytes) -> bool:
    """As `may_hold`, for all that has letters in it."""
    upper = _TWO_CAPITALS.search(shapes)
    if upper is not None:
        start = max(0, upper.start() - 1)
        if any(sign.search(data, start) for sign in _CAPITAL_SIGNS):
            return True
        if _IBAN_SIGN.search(data, start) and _found_by(_ibans, data):
            return True
    if (b"_" in data and _KEY_SIGN.search(data) is not None) or (b"/" in data and _PATH_SIGN.search(data) is not None):
        return True
    if _REMNANT.search(data.translate(_REMNANT_LOWER, _REMNANT_LEFT_OUT)) is None:
        return False
    if any(sign.search(data) is not None for sign in _REMNANT_SIGNS):
        return True
    return _CREDENTIALS.search(data.lower()) is not None


def _found_by(detector: Detector, data: bytes) -> bool:
    """True where a detector of plain digits and letters finds something."""
    return next(detector(data.decode("latin-1")), None) is not None


def scan(text: str, names: Names, enabled: Callable[[str], bool]) -> list[Hit]:
    """All secrets found in `text`, in order and without overlap; where two overlap the surer form wins."""
    hits: list[Hit] = []
    taken = bytearray()
    finders = [finder(text) for kind, finder in _FINDERS if enabled(kind)]
    if "=" in text and enabled("query"):
        # Before what is looked into or found in part: as in a request's target, the whole value has one pseudonym.
        finders.insert(sum(enabled(kind) for kind in _WHOLE), _pairs(text, names))
    for finder in finders:
        for hit in finder:
            if not taken:
                taken = bytearray(len(text))
            if taken.find(1, hit.start, hit.end) < 0:
                taken[hit.start : hit.end] = b"\1" * (hit.end - hit.start)
                hits.append(hit)
    hits.sort()
    return hits


def _private_keys(text: str) -> Iterator[Hit]:
    """From a header to the next end, or to the end of the text."""
    start = 0
    while match := _PRIVATE_KEY.search(text, start):
        end = text.find("-----END", match.end())
        start = end if end >= 0 else len(text)
        if start > match.end():
            yield Hit(match.end(), start, "private_key")


def _jwts(text: str) -> Iterator[Hit]:
    if "eyJ" in text:
        for match in _JWT.finditer(text):
            yield Hit(match.start(), match.end(), "jwt")


def _coded_json(text: str) -> Iterator[Hit]:
    """Base64 of a JSON object; the caller looks inside."""
    if "eyJ" in text:
        for match in _CODED_JSON.finditer(text):
            if decoded_basic(match.group()).endswith("}"):
                yield Hit(match.start(), match.end(), "base64_json")


def _bearers(text: str) -> Iterator[Hit]:
    for match in _BEARER.finditer(text):
        token = match.group(1)
        if len(token) >= 20 or any(char.isdigit() for char in token):
            yield Hit(match.start(1), match.end(1), "bearer")


def _basics(text: str) -> Iterator[Hit]:
    for match in _BASIC.finditer(text):
        if ":" in decoded_basic(match.group(1)):
            yield Hit(match.start(1), match.end(1), "basic")


def decoded_basic(text: str, holding: bytes = b"") -> str:
    """The text inside base64 of either alphabet, "" where it is none or has no `holding` in it."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    if len(plain) % 4 == 1 or _BASE64_LETTERS.fullmatch(plain) is None:
        return ""
    try:
        octets = binascii.a2b_base64(plain + "=" * (-len(plain) % 4))
        return octets.decode("utf-8") if holding in octets else ""
    except (binascii.Error, ValueError):
        return ""


def _url_passwords(text: str) -> Iterator[Hit]:
    if "://" in text and "@" in text:
        for match in _URL_PASSWORD.finditer(text):
            if match.group(1):
                yield Hit(match.start(1), match.end(1), "url_password")
            yield Hit(match.start(2), match.end(2), "url_password")


def _api_keys(text: str) -> Iterator[Hit]:
    if _API_KEY_SIGNS.search(text):
        for match in _API_KEY.finditer(text):
            yield Hit(match.start(), match.end(), "api_key")


def _cards(text: str) -> Iterator[Hit]:
    for match in _CARD.finditer(text):
        digits = re.sub("[ -]", "", match.group())
        if _card_issued(digits) and luhn_valid(digits):
            yield Hit(match.start(), match.end(), "card")


def _card_issued(digits: str) -> bool:
    """True where length and first digits are those of a payment card scheme."""
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two in (36, 38, 39) or 300 <= int(digits[:3]) <= 305:
        return 14 <= length <= 19
    if two == 35 or two in (60, 62, 64, 65):
        return 16 <= length <= 19
    return (two == 50 or 56 <= two <= 69) and 13 <= length <= 19


def _ibans(text: str) -> Iterator[Hit]:
    for match in _IBAN_HEAD.finditer(text):
        length = _IBAN_LENGTHS.get(match.group()[:2])
        if length is None:
            continue
        end, plain = match.end(), match.group()
        while len(plain) < length and end < len(text):
            char = text[end]
            if "0" <= char <= "9" or "A" <= char <= "Z":
                plain += char
            elif char != " " or text[end - 1] == " ":
                break
            end += 1
        if len(plain) == length and not text[end : end + 1].isalnum():
            rest = int("".join(str(int(char, 36)) for char in plain[4:] + plain[:4])) % 97
            if rest == 1:
                yield Hit(match.start(), end, "iban")


def _emails(text: str) -> Iterator[Hit]:
    for sign in ("@", "%40"):
        at = text.find(sign)
        while at >= 0:
            start = at
            while start > 0 and at - start < 64 and text[start - 1] in _MAIL_LOCAL:
                start -= 1
            # What stands before an encoded sign may itself be encoded: the last escape's digits are no part of it.
            while start < at and text[start] in ".'":
                start += 1
            match = _MAIL_DOMAIN.match(text, at + len(sign)) if start < at else None
            if match:
                yield Hit(start, match.end(), "email")
            at = text.find(sign, at + 1)


def _pairs(text: str, names: Names) -> Iterator[Hit]:
    """Values of secret names in `?name=value&name=value` or `name="value"`, as addresses inside texts have them."""
    for match in _PAIR_NAME.finditer(text):
        if names.query(match.group(1)) and (value := _PAIR_VALUE.match(text, match.end())):
            yield Hit(*value.span(1 if value.group(1) else 0), "query")


def has_path_token(text: str) -> bool:
    """True where `path_tokens` may find something."""
    return _PATH_TOKEN.search(text) is not None


def path_tokens(text: str) -> Iterator[Hit]:
    """What follows a word such as `reset` in a path and looks random: links that were sent by mail, sessions."""
    for match in _PATH_TOKEN.finditer(text):
        if _TOKENLIKE.fullmatch(match.group(1)):
            yield Hit(match.start(1), match.end(1), "path_token")


_FINDERS: tuple[tuple[str, Detector], ...] = (
    ("private_key", _private_keys),
    ("jwt", _jwts),
    ("base64_json", _coded_json),
    ("url_password", _url_passwords),
    ("api_key", _api_keys),
    ("basic", _basics),
    ("bearer", _bearers),
    ("card", _cards),
    ("iban", _ibans),
    ("email", _emails),
    ("path_token", path_tokens),
)
_WHOLE = ("private_key", "jwt")
"""The first of these, whose finds are replaced as a whole wherever they stand."""
