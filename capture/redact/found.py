"""What one exchange's redaction found: the places it replaced and the secrets it met, to be sought everywhere else."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from functools import lru_cache
from urllib.parse import quote, unquote

from capture.pseudonym import Pseudonyms, identifiers_in_jwt, s256
from capture.redact.detect import decoded_basic, path_tokens, scan
from capture.redact.rules import Rules
from capture.redact.user import is_user_name

__all__ = ["Found", "TooMuchWork"]

_PLACES_MAX = 200
_SOUGHT_MAX = 64
_SPELT_MAX = 512
_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_UNRESERVED = re.compile(r"[\w.~-]*", re.ASCII)
_SCOPE = re.compile(r"(.+?)((?:(?:/|%2F)[\w-]+){3}(?:/|%2F)\w+4_request)", re.IGNORECASE)
_CODED = re.compile(r"[A-Za-z0-9+/_-]{8,512}={0,2}")
_NAME_BEFORE = re.compile(r"(code[_-]?(?:challenge|verifier))\W{1,3}\Z", re.IGNORECASE)
_S256 = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_WORDLIKE = re.compile(r"(?=.*[0-9])(?=.*[A-Za-z]).{6,}", re.DOTALL)
"""A value of fewer than twelve characters that is sought elsewhere, too: a longer one always is."""


class TooMuchWork(Exception):
    """The budget of this exchange is spent; what is not yet searched must not be kept."""


class Found:
    """Collects while one exchange is redacted. `side` is "request" or "response" while that message is worked on.

    json_reader: redacts a JSON text that stands inside another one; set by who can. work: what may still be done for
    this exchange, in units of about a microsecond on a slow core.
    """

    __slots__ = ("_kept", "_made", "_more", "json_reader", "places", "pseudonyms", "rules", "side", "sought", "work")

    def __init__(self, rules: Rules, pseudonyms: Pseudonyms, work: int = 1 << 62) -> None:
        self.rules = rules
        self.pseudonyms = pseudonyms
        self.json_reader: Callable[[str, Found, str], str] = lambda text, found, place: text
        self.side = "request"
        self.places: dict[str, None] = {}
        self.sought: dict[str, str] = {}
        self._kept: set[str] = set()
        self._made: set[str] = set()
        self._more = 0
        self.work = work

    @property
    def untouched(self) -> bool:
        """True where nothing was met that it remembers."""
        return not (self.places or self.sought or self._kept or self._made or self._more)

    def spend(self, units: int) -> None:
        """Account for work. Raises TooMuchWork where the budget is spent."""
        self.work -= units
        if self.work < 0:
            raise TooMuchWork

    def note(self, place: str) -> None:
        """List a replaced place of the current side, once; at most 200 of them, then only a count."""
        name = f"{self.side}.{place}"
        if name in self.places:
            return
        if len(self.places) < _PLACES_MAX:
            self.places[name] = None
        else:
            self._more += 1

    def redacted(self) -> tuple[str, ...]:
        """The places, for the record."""
        return (*self.places, f"and {self._more} more") if self._more else tuple(self.places)

    def named(self, name: str, value: str, place: str) -> str:
        """As `scoped`, of a secret that is called so: verifier and challenge of PKCE (RFC 7636) still fit afterwards.

        Where a rule keeps verifiers, challenges are kept, too.
        """
        called = name.lower().replace("_", "").replace("-", "")
        if called == "codechallenge":
            if self.rules.keeps_verifiers:
                self.keep(value)
                return value
            if _S256.fullmatch(value):
                return self.replace(value, place, self.pseudonyms.pkce_challenge(value))
        elif called == "codeverifier" and _VERIFIER.fullmatch(value):
            return self.replace(value, place, self.pseudonyms.pkce_verifier(s256(value)))
        return self.scoped(value, place)

    def replace(self, value: str, place: str, made: str | None = None) -> str:
        """The pseudonym of a secret that stands at `place`; remembers both. A pseudonym made here stays what it is.

        made: the pseudonym, where it is another than that of the value alone.
        """
        if value in self._made or ("%" in value and unquote(value) in self._made):
            return value
        self.spend(8 + (len(value) >> 1))
        made = made or self._coded_pair(value, place) or self.pseudonyms.of(value)
        self._made.add(made)
        if made != value:
            self.note(place)
            if len(self.sought) < _SOUGHT_MAX and (len(value) >= 12 or _WORDLIKE.fullmatch(value)):
                self.sought[value] = made
                if value.startswith("eyJ"):
                    self._seek_claims(value)
        return made

    def _seek_claims(self, token: str) -> None:
        """Identifiers among the claims of a JWT have the same pseudonyms outside it, so that sessions still join."""
        for claim in identifiers_in_jwt(token):
            if len(self.sought) < _SOUGHT_MAX and claim not in self.sought:
                self.sought[claim] = self.pseudonyms.of(claim)

    def scoped(self, value: str, place: str) -> str:
        """As `replace`; of `KEY/20261127/eu-west-1/s3/aws4_request` (AWS Signature 4) only the key is one."""
        match = _SCOPE.fullmatch(value) if value.endswith("4_request") else None
        return self.replace(value, place) if match is None else self.replace(match[1], place) + match[2]

    def known(self, made: str, place: str) -> str:
        """A pseudonym that an earlier exchange made, put at `place`."""
        self._made.add(made)
        self.note(place)
        return made

    def number(self, text: str, place: str) -> str:
        """The pseudonym of a JSON number."""
        made = self.pseudonyms.number(text)
        if made != text:
            self.note(place)
        return made

    def keep(self, value: str) -> None:
        """A value that a rule keeps readable: it is not sought as a secret in this exchange."""
        self._kept.add(value)

    def keeps(self, value: str) -> bool:
        """True for a value that a rule keeps readable in this exchange."""
        return value in self._kept

    def credentials(self, value: str, place: str) -> str:
        """An Authorization value: the scheme and the name of a user stay, all else is replaced."""
        scheme, space, rest = value.partition(" ")
        if not space or not rest:
            return self.replace(value, place)
        if scheme.lower() == "basic":
            return scheme + space + self.basic(rest, place)
        if "=" in rest.rstrip("=") and ("," in rest or '"' in rest):
            # What a server hands out to be sent back is no secret, and readable in its challenge.
            handed = ("nonce", "opaque") if scheme.lower() == "digest" else ()
            return scheme + space + self._parameters(rest, place, handed)
        user, _, key = rest.partition(":")
        if scheme.lower() == "apikey" and key and self._names_user(user, key):
            # The key by itself, so that it is the same secret as where an answer gave it.
            return f"{scheme}{space}{self._user(user, key, place)}:{self.replace(key, place)}"
        return scheme + space + self.replace(rest, place)

    def _names_user(self, user: str, password: str | None) -> bool:
        """True for a name that is no secret; as it is none in paths and in bodies, it is the same name there."""
        names = self.rules.names
        hidden = self.rules.strict or names.field("user") or names.field("username")
        return not hidden and is_user_name(user, password)

    def _user(self, user: str, password: str | None, place: str) -> str:
        return self.scrub(user, place) if self._names_user(user, password) else self.replace(user, place)

    def basic(self, text: str, place: str) -> str:
        """base64 of `user:password` (RFC 7617): the password replaced, and the user where it is no name."""
        user, colon, password = decoded_basic(text).partition(":")
        made = self.replace(text, place)
        if not colon or self._names_user(user, password):
            return made
        return _coded(f"{self.replace(user, place)}:{self.replace(password, place)}", text)

    def _coded_pair(self, value: str, place: str) -> str | None:
        """Of base64 of a name and a secret, as headers of many services have it, only the secret; None for all else."""
        if _CODED.fullmatch(value) is None:
            return None
        user, colon, password = decoded_basic(value, holding=b":").partition(":")
        if not colon or not password.isprintable() or not self._names_user(user, password):
            return None
        return _coded(f"{self.scrub(user, place)}:{self.replace(password, place)}", value)

    def _parameters(self, rest: str, place: str, handed: tuple[str, ...]) -> str:
        """Digest and signature schemes: every parameter's value but those that name a method (RFC 7616).

        handed: parameters that stay as well.
        """

        def part(match: re.Match[str]) -> str:
            name, equals, quoted, bare = match.groups()
            if name.lower() in (
                "realm",
                "qop",
                "algorithm",
                "nc",
                "uri",
                "userhash",
                "signedheaders",
                "headers",
                *handed,
            ):
                return match.group()
            if quoted is not None:
                is_user = name.lower() == "username"
                made = self._user(quoted, None, place) if is_user else self.replace(quoted, place)
                return f'{name}{equals}"{made}"'
            return f"{name}{equals}{self.scoped(bare, place)}"

        return re.sub(r"([\w-]+)(\s*=\s*)(?:\"([^\"]*)\"|([^\s,\"]+))", part, rest)

    def scrub(self, text: str, place: str) -> str:
        """`text` with every value that a detector recognises replaced."""
        self.spend(8 + (len(text) >> 2))
        hits = scan(text, self.rules.names, self.rules.detects)
        if not hits:
            return text
        parts, end = [], 0
        for hit in hits:
            parts.append(text[end : hit.start])
            value = text[hit.start : hit.end]
            where = f"{place}({hit.kind})"
            if hit.kind == "basic":
                value = self.basic(value, where)
            elif hit.kind == "base64_json":
                value = self._coded_json(value, where)
            elif hit.kind == "query" and (name := _NAME_BEFORE.search(text, max(hit.start - 24, 0), hit.start)):
                value = self.named(name[1], value, where)
            else:
                value = self.replace(value, where)
            parts.append(value)
            end = hit.end
        parts.append(text[end:])
        return "".join(parts)

    def path_tokens(self, text: str, place: str) -> str:
        """`text` with what looks random after a word such as `reset` in a path replaced, where that detector is on."""
        parts: list[str] = []
        end = 0
        for hit in path_tokens(text) if self.rules.detects("path_token") else ():
            parts += (text[end : hit.start], self.replace(text[hit.start : hit.end], f"{place}(path_token)"))
            end = hit.end
        return "".join([*parts, text[end:]])

    def _coded_json(self, text: str, place: str) -> str:
        """base64 of a JSON object, of which only the secret values change."""
        plain = decoded_basic(text)
        made = self.json_reader(plain, self, place)
        if made == plain:
            return text
        return _coded(made, text)

    def spellings(self, text: str, octets: bytes) -> list[tuple[str, str]]:
        """Every secret that was met and stands in this text or in these octets, as it is, percent-encoded, in base64
        and in JSON, each with its pseudonym so."""
        made: list[tuple[str, str]] = []
        everywhere = b"\n".join((text.encode("utf-8", "surrogatepass"), octets))
        for value, pseudonym in self.sought.items():
            if value in self._kept:
                continue
            if _UNRESERVED.fullmatch(value):
                # Percent-encoding and JSON leave it as it is, and with padding its base64 begins as without.
                plain = value.encode()
                coded = binascii.b2a_base64(plain, newline=False).rstrip(b"=")
                if (
                    plain not in everywhere
                    and coded not in everywhere
                    and (coded.isalnum() or coded.translate(_URL_SAFE) not in everywhere)
                ):
                    continue
            made += _known_spellings(value, pseudonym) if len(value) <= _SPELT_MAX else _spellings(value, pseudonym)
        return made

    def seek(self, text: str, place: str, spellings: list[tuple[str, str]]) -> str:
        """`text` with every one of those secrets replaced, where it stands as a word of its own."""
        self.spend(len(spellings) * (len(text) >> 10))
        for was, now in spellings:
            if was in text:
                text = self._replaced(text, was, now, place)
        return text

    def _replaced(self, text: str, was: str, now: str, place: str) -> str:
        pattern = rf"(?<![A-Za-z0-9]){re.escape(was)}(?![A-Za-z0-9])"
        made = re.sub(pattern, lambda _: now, text)
        if made != text:
            self.note(f"{place}(again)")
        return made


def _coded(text: str, like: str) -> str:
    """base64 of a text, in the alphabet and with the padding that another has."""
    encode = base64.urlsafe_b64encode if "-" in like or "_" in like else base64.b64encode
    coded = encode(text.encode("utf-8", "surrogatepass")).decode()
    return coded if like.endswith("=") or len(like) % 4 == 0 else coded.rstrip("=")


def _spellings(value: str, made: str) -> list[tuple[str, str]]:
    """A secret in the other ways in which it is written, each with its pseudonym written the same way."""
    spelt = {value: made}
    spelt.setdefault(_quoted(value, ""), _quoted(made, ""))
    spelt.setdefault(_quoted(value, "/"), _quoted(made, "/"))
    spelt.setdefault(json.dumps(value)[1:-1], json.dumps(made)[1:-1])
    if "%" in value:
        spelt.setdefault(unquote(value), unquote(made))
    octets, made_octets = value.encode("utf-8", "surrogatepass"), made.encode("utf-8", "surrogatepass")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        padded, made_padded = encode(octets).decode(), encode(made_octets).decode()
        spelt.setdefault(padded, made_padded)
        spelt.setdefault(padded.rstrip("="), made_padded.rstrip("="))
    return [(was, now) for was, now in spelt.items() if len(was) >= 6]


# A session's token comes with each of its requests. Pure, so that a memory of the process changes nothing.
_known_spellings = lru_cache(maxsize=2048)(_spellings)


def _quoted(text: str, safe: str) -> str:
    return quote(text, safe=safe, errors="surrogatepass")
