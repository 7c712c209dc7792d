"""Keyed pseudonyms: a secret becomes another value of the same class and length, always the same one under one key.

What is kept: the length, the class of each character (digit, lower and upper case letter, other), and the outer form of
a UUID, a JWT, a card number (still valid by Luhn), an IBAN (still valid by ISO 7064), an e-mail address, hexadecimal
digits, and text inside base64 or percent-encoding. What is lost: everything else. Of PKCE it is kept that verifier and
challenge fit, and not the length of the verifier. There is no way back without trying
every possible secret under the key, so the key must be random and must not lie beside the log.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from struct import unpack
from urllib.parse import unquote_to_bytes

__all__ = ["Pseudonyms", "identifiers_in_jwt", "key_id", "luhn_valid", "s256"]

_CACHE_MAX = 4096
_CACHED_LENGTH_MAX = 4096

_LOWER = "abcdefghijklmnopqrstuvwxyz"
_UPPER = _LOWER.upper()
_HEX_OF = b"0123456789abcdef" * 16
"""The hexadecimal digit of the lower half of each byte."""
_KEPT = frozenset("-_./+=@:,; \t\r\n%&?#\"'<>()[]{}\\|")
_KEPT_DENSE = frozenset(" \t\r\n%&=;,\"'<>\\")
"""What stays in a value of which most is no letter and no digit."""
_OTHER = "!*~^$"

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX = re.compile(r"(?=\d*[A-Fa-f])(?:[0-9a-f]{8,}|[0-9A-F]{8,})")
_JWT = re.compile(r"(eyJ[\w-]+={0,2})((?:\.[\w-]*={0,2}){2,4})", re.ASCII)
_PREFIX = re.compile(
    r"(?:AKIA|ASIA|AROA|AIDA|AIza|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|(?:sk|pk|rk)_(?:live|test)_|sk-(?:ant-|proj-)?"
    r"|whsec_|SG\.|npm_|pypi-|dop_v1_|shp(?:at|ca|pa|ss)_|hf_|ya29\.)(?=[\w.-]{12})",
    re.ASCII,
)
_CARD = re.compile(r"\d(?:[ -]?\d){11,18}")
_IBAN = re.compile(r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,30}")
_EMAIL = re.compile(r"([^@\s]+)@([^@\s]+)\.([A-Za-z]{2,24})")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_ENCODED = re.compile(r"%[0-9a-fA-F]{2}")
_JSON_LEAF = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d+(?:\.\d+)?')
_PRINTABLE = re.compile(r"[\x20-\x7e\t\r\n]{6,}")
_IDENTIFIER = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w|.-]{16,256}", re.ASCII)
_CLAIMS_MAX = 64
_NOBODYS_CLAIMS = frozenset(
    ("iss", "aud", "azp", "client_id", "clientId", "cid", "appid", "app_id", "tid", "kid", "scope", "scp", "typ")
)
"""Claims about applications and issuers. A client's id is no secret (RFC 6749 section 2.2)."""
_TIMES = frozenset(("exp", "iat", "nbf", "auth_time"))


def key_id(key: bytes) -> str:
    """Eight hexadecimal digits that tell two keys apart and give neither away; written into the log's header."""
    return hashlib.blake2b(key, digest_size=4, person=b"understudy-keyid").hexdigest()


def identifiers_in_jwt(token: str) -> list[str]:
    """UUIDs and other long values of letters and digits among the claims of a JSON Web Token; [] where it is none.

    Not those that name an application: its requests carry them before there is a token, too.
    """
    parts = token.split(".")
    text = _from_base64(parts[1]) if len(parts) == 3 else None
    if text is None or not text.startswith("{"):
        return []
    strings, name = [], ""
    for inner, colon in _JSON_LEAF.findall(text):
        if colon:
            name = inner
        elif inner and name not in _NOBODYS_CLAIMS:
            strings.append(inner)
    return [value for value in strings[:_CLAIMS_MAX] if _IDENTIFIER.fullmatch(value)]


def s256(verifier: str) -> str:
    """The challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    return _base64url(hashlib.sha256(verifier.encode("utf-8", "surrogatepass")).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def luhn_valid(digits: str) -> bool:
    """True where the last of `digits` is the check digit of ISO/IEC 7812-1 annex B; decimal digits only."""
    total = 0
    for place, char in enumerate(reversed(digits)):
        digit = ord(char) - 48
        if place % 2:
            digit = digit * 2 - 9 if digit > 4 else digit * 2
        total += digit
    return total % 10 == 0


class Pseudonyms:
    """The pseudonyms of one key. `of` depends on key and value alone, never on the place or the time."""

    __slots__ = ("_cache", "_key", "_older")

    def __init__(self, key: bytes) -> None:
        """key: any length from 1 byte; 32 random bytes are right."""
        if not key:
            raise ValueError("key must not be empty")
        self._key = hashlib.blake2b(key, digest_size=32, person=b"understudy-redct").digest()
        self._cache: dict[str, str] = {}
        self._older: dict[str, str] = {}

    def of(self, value: str) -> str:
        """The pseudonym of `value`: as long, of the same class, and different wherever the class has room for another.

        Surrounding white space stays. The empty string stays empty. A percent-encoded value gives the percent-encoded
        pseudonym of what it encodes, and base64 of readable text gives base64 of that text's pseudonym, so that one
        secret written in several ways remains one secret.
        """
        found = self._cache.get(value)
        if found is None:
            found = self._older.get(value) or self._make(value, 0)
            if len(value) <= _CACHED_LENGTH_MAX:
                if len(self._cache) >= _CACHE_MAX:
                    # All at once: to take the oldest out of a dict, one by one, is to search for it ever longer.
                    self._older, self._cache = self._cache, {}
                self._cache[value] = found
        return found

    def number(self, text: str) -> str:
        """The pseudonym of a number as JSON writes it: a number of as many digits, sign, point and exponent kept."""
        if text.isdigit():
            return self.of(text)
        mantissa, mark, exponent = text.replace("E", "e").partition("e")
        stream = self._stream("number", text, len(mantissa))
        chars = [_digit(char, byte) for char, byte in zip(mantissa, stream, strict=True)]
        first = next((place for place, char in enumerate(chars) if char.isdigit()), None)
        if first is not None and mantissa[first] != "0":
            chars[first] = str(1 + stream[first] % 9)
        elif first is not None:
            chars[first] = "0"
        made = "".join(chars)
        if made == mantissa and first is not None and mantissa.strip("-0.") != "":
            last = max(place for place, char in enumerate(chars) if char.isdigit())
            chars[last] = str(int(chars[last]) % 9 + 1)
            made = "".join(chars)
        return made + text[len(mantissa) : len(mantissa) + len(mark)] + exponent

    def pkce_verifier(self, challenge: str) -> str:
        """The pseudonym of a PKCE verifier, from its challenge by S256 (RFC 7636 section 4.2): 43 characters.

        `pkce_challenge` of the same challenge is the challenge of this verifier: the two fit, though each is made
        without knowing the other.
        """
        name = f"pkce\0{challenge}".encode("utf-8", "surrogatepass")
        return _base64url(hashlib.blake2b(name, key=self._key, digest_size=32).digest())

    def pkce_challenge(self, challenge: str) -> str:
        """The pseudonym of a PKCE challenge by S256."""
        return s256(self.pkce_verifier(challenge))

    def token(self, kind: str, value: str, length: int = 16) -> str:
        """`length` hexadecimal digits (at most 128) that stand for `value` among values of that kind."""
        name = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(name, key=self._key, digest_size=(length + 1) // 2).hexdigest()[:length]

    def _make(self, value: str, depth: int) -> str:
        core = value.strip()
        if not core:
            return value
        if core != value:
            start = value.index(core)
            return value[:start] + self._make(core, depth) + value[start + len(core) :]
        if len(value) >= 8:
            made = self._of_form(value, depth)
            if made is not None:
                return made
        return self._classes("text", value, value)

    def _of_form(self, value: str, depth: int) -> str | None:
        """The pseudonym of a value with an outer form of its own, or None."""
        if value.islower() and _HEX.fullmatch(value):
            # Most tokens are such. One in a hundred that begin like an IBAN would pass its check; nobody writes it so.
            return self._hex("hex", value)
        if value[8:9] == "-" and _UUID.fullmatch(value):
            return self._uuid(value)
        if value.startswith("eyJ") and _JWT.fullmatch(value):
            return self._jwt(value, *value.split("."))
        if value[-1].isdigit() and _CARD.fullmatch(value):
            digits = re.sub("[ -]", "", value)
            if luhn_valid(digits):
                return self._card(value, digits)
        if value[2].isdigit() and _IBAN.fullmatch(value):
            plain = value.replace(" ", "").upper()
            if _iban_rest(plain[4:] + plain[:4]) == 1:
                return self._iban(value, plain)
        if match := _PREFIX.match(value):
            return match.group() + self._classes("key", value, value[match.end() :])
        if _HEX.fullmatch(value):
            plain = value.lower()
            made = self._hex("hex", plain)
            return made if value == plain else made.upper()
        if "@" in value and (match := _EMAIL.fullmatch(value)):
            return self._email(value, match)
        if depth < 3:
            if "%" in value and _ENCODED.search(value):
                return self._percent(value, depth)
            if _BASE64.fullmatch(value):
                return self._base64(value, depth)
        return None

    def _stream(self, kind: str, seed: str, length: int) -> bytes:
        """`length` pseudo-random bytes that depend on the key, the kind and the seed."""
        name = f"{kind}\0{seed}".encode("utf-8", "surrogatepass")
        root = hashlib.blake2b(name, key=self._key, digest_size=32).digest()
        return hashlib.shake_256(root).digest(length)

    def _classes(self, kind: str, seed: str, shape: str) -> str:
        """`shape` with each character replaced by one of its class; differs from `shape` where any class has two."""
        if not shape:
            return shape
        if shape.isalnum():
            kept, known = _KEPT, _ALPHABETS
        else:
            few = sum(map(str.isalnum, shape)) * 2 < len(shape)
            kept, known = (_KEPT_DENSE, _ALPHABETS_DENSE) if few else (_KEPT, _ALPHABETS)
        alphabets = [known[code] for code in shape.encode()] if shape.isascii() else None
        for attempt in range(8):
            stream = self._stream(f"{kind}{attempt or ''}", seed, len(shape) * 2)
            chances = unpack(f">{len(shape)}H", stream)
            if alphabets is not None:
                made = "".join([chars[chance % len(chars)] for chars, chance in zip(alphabets, chances, strict=True)])
            else:
                made = "".join([_of_class(char, chance, kept) for char, chance in zip(shape, chances, strict=True)])
            if made[0] == "0" and shape[0] in "123456789" and shape.isdigit():
                made = str(1 + stream[0] % 9) + made[1:]  # so that it can stand where JSON wants a number
            if made != shape:
                return made
        return made

    def _hex(self, kind: str, plain: str) -> str:
        """Other hexadecimal digits for those of `plain`, which is in lower case; everything else in it stays."""
        for attempt in range(8):
            stream = self._stream(f"{kind}{attempt or ''}", plain, len(plain))
            made = stream.translate(_HEX_OF).decode()
            if not plain.isalnum():
                made = "".join([new if char.isalnum() else char for char, new in zip(plain, made, strict=True)])
            if made != plain:
                break
        return made

    def _uuid(self, value: str) -> str:
        """Version and variant stay (RFC 9562 section 4), case follows the first letter."""
        plain = value.lower()
        made = self._hex("uuid", plain)
        variant = plain[19]
        if variant in "89ab":
            variant = "89ab"[int(made[19], 16) & 3]
        made = made[:14] + plain[14] + made[15:19] + variant + made[20:]
        return made.upper() if value != plain else made

    def _jwt(self, value: str, head: str, claims: str, *rest: str) -> str:
        """The header stays readable JSON with its algorithm, the names of the claims and the times stay."""
        made = [self._jwt_part(head, frozenset(("alg", "typ", "enc", "cty", "zip"))), self._jwt_part(claims, _TIMES)]
        made += [self._classes(f"jwt{place}", value, part) for place, part in enumerate(rest)]
        return ".".join(made)

    def _jwt_part(self, part: str, names_kept: frozenset[str]) -> str:
        text = _from_base64(part)
        if text is None or not text.startswith("{"):
            return self._classes("jwt", part, part)
        name = ""
        made = []
        end = 0
        for match in _JSON_LEAF.finditer(text):
            made.append(text[end : match.start()])
            end = match.end()
            inner, colon = match.group(1), match.group(2)
            if inner is None:
                made.append(match.group() if name in names_kept else self.number(match.group()))
            elif colon is not None:
                name = inner
                made.append(match.group())
            elif name in names_kept:
                made.append(match.group())
            else:
                made.append(f'"{self._json_inner(inner)}"')
        made.append(text[end:])
        return _to_base64("".join(made), part)

    def _json_inner(self, inner: str) -> str:
        """A JSON string's inside of the same length, whatever it escapes."""
        return self.of(inner) if "\\" not in inner else self._classes("text", inner, inner.replace("\\", "/"))

    def _card(self, value: str, digits: str) -> str:
        for attempt in range(8):
            stream = self._stream(f"card{attempt or ''}", digits, len(digits))
            body = digits[0] + "".join(str(byte % 10) for byte in stream[1:-1])
            check = next(str(last) for last in range(10) if luhn_valid(f"{body}{last}"))
            made = body + check
            if made != digits:
                break
        return _poured(made, value, str.isdigit)

    def _iban(self, value: str, plain: str) -> str:
        rest = self._classes("iban", plain, plain[4:])
        check = 98 - _iban_rest(rest + plain[:2] + "00")
        return _poured(f"{plain[:2]}{check:02d}{rest}", value, lambda char: char != " ")

    def _email(self, value: str, match: re.Match[str]) -> str:
        """Both parts change, the top-level domain stays; case is not part of an address's identity."""
        plain = value.lower()
        local, domain, top = match.groups()
        made = f"{self._classes('email', plain, local.lower())}@{self._classes('domain', plain, domain.lower())}"
        made = f"{made}.{top}"
        return "".join(
            new.upper() if char.isupper() and len(new.upper()) == 1 else new
            for new, char in zip(made, value, strict=True)
        )

    def _percent(self, value: str, depth: int) -> str:
        """Percent-encoding is taken off, the pseudonym taken, and the same characters encoded again."""
        octets = unquote_to_bytes(value.encode("utf-8", "surrogatepass"))
        try:
            text = octets.decode()
        except UnicodeDecodeError:
            text = octets.decode("latin-1")
        made = self.of(text) if depth == 0 else self._make(text, depth + 1)
        places = _ENCODED.split(value)
        lower = bool(re.search("%[0-9A-F]?[a-f]", value))
        always = {chr(octet) for octet in octets} - set("".join(places))
        parts = []
        for char in made:
            if char.isalnum() and char.isascii():
                parts.append(char)
            elif char in always or not char.isascii() or char in ' %&=#+"<>':
                parts.append(
                    "".join(f"%{octet:02{'x' if lower else 'X'}}" for octet in char.encode("utf-8", "surrogatepass"))
                )
            else:
                parts.append(char)
        return "".join(parts)

    def _base64(self, value: str, depth: int) -> str | None:
        text = _from_base64(value)
        if text is None or not _PRINTABLE.fullmatch(text):
            return None
        if _to_base64(text, value) != value:
            return None
        return _to_base64(self.of(text) if depth == 0 else self._make(text, depth + 1), value)


def _digit(char: str, byte: int) -> str:
    return str(byte % 10) if "0" <= char <= "9" else char


def _alphabet(char: str, kept: frozenset[str]) -> str:
    """What an ASCII character may become."""
    if char.isdigit():
        return "0123456789"
    if char.isalpha():
        return _LOWER if char.islower() else _UPPER
    return char if char in kept or ord(char) < 32 or ord(char) == 127 else _OTHER


_ALPHABETS = [_alphabet(chr(code), _KEPT) for code in range(128)]
_ALPHABETS_DENSE = [_alphabet(chr(code), _KEPT_DENSE) for code in range(128)]


def _of_class(char: str, chance: int, kept: frozenset[str]) -> str:
    """A character of the class of `char`, and of as many bytes in UTF-8."""
    code = ord(char)
    if code < 128:
        alphabet = _alphabet(char, kept)
        return alphabet[chance % len(alphabet)]
    if code < 0x800:
        return chr(0xE0 + chance % 22)
    if 0xDC80 <= code <= 0xDCFF:
        return chr(0xDC80 + chance % 128)  # a byte that fitted no encoding (PEP 383) stays such a byte
    if code < 0x10000:
        return chr(0x4E00 + chance % 0x4000)
    return chr(0x1F600 + chance % 64)


def _iban_rest(rearranged: str) -> int:
    """ISO 7064 MOD 97-10 of letters and digits, letters as 10 to 35."""
    return int("".join(str(int(char, 36)) for char in rearranged)) % 97


def _poured(made: str, shape: str, taken: object) -> str:
    """The characters of `made` in the places of `shape` that `taken` accepts; lower case where the shape has it."""
    assert callable(taken)
    source = iter(made)
    return "".join(
        (next(source).lower() if char.islower() else next(source)) if taken(char) else char for char in shape
    )


def _from_base64(text: str) -> str | None:
    """The text that base64 or base64url `text` holds, or None where it is neither or not text."""
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None


def _to_base64(text: str, like: str) -> str:
    """base64 of `text` in the alphabet and with the padding of `like`."""
    made = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    if "-" in like or "_" in like or (len(like) % 4 and "+" not in like and "/" not in like):
        made = made.replace("+", "-").replace("/", "_")
    return made if like.endswith("=") else made.rstrip("=")
