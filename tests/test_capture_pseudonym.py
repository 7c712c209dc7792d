"""Pseudonyms keep class and length, are the same under one key, others under another, and cannot be read back."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import quote, unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from capture.pseudonym import Pseudonyms, key_id, luhn_valid

ONE = Pseudonyms(b"one key of thirty-two bytes ....")
OTHER = Pseudonyms(b"another key of thirty-two bytes.")

_ASCII = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=80)


def classes(text: str) -> str:
    return "".join("0" if c.isdigit() else "a" if c.islower() else "A" if c.isupper() else "." for c in text)


@given(_ASCII)
def test_length_and_letter_classes_stay(value: str) -> None:
    assume("%" not in value and not re.fullmatch(r"\s*[\w+/-]{8,}={0,2}\s*", value))
    made = ONE.of(value)
    assert len(made) == len(value)
    assert classes(made) == classes(value)


@given(st.text(min_size=1, max_size=60))
def test_any_text_keeps_its_length_in_characters_and_bytes(value: str) -> None:
    assume("%" not in value and not re.fullmatch(r"\s*[\w+/-]{8,}={0,2}\s*", value))
    made = ONE.of(value)
    assert len(made) == len(value)
    assert len(made.encode("utf-8", "surrogatepass")) == len(value.encode("utf-8", "surrogatepass"))


@given(_ASCII)
def test_the_same_value_has_the_same_pseudonym_under_one_key(value: str) -> None:
    assert Pseudonyms(b"k").of(value) == Pseudonyms(b"k").of(value)


@given(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40))
def test_keys_give_different_pseudonyms(value: str) -> None:
    assert ONE.of(value) != OTHER.of(value)


@given(st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=40))
def test_a_value_with_a_letter_or_digit_never_stays_itself(value: str) -> None:
    assume(any(char.isalnum() for char in value))
    assert ONE.of(value) != value


@given(st.text("0123456789", min_size=1, max_size=30))
def test_digits_stay_digits_and_can_stand_as_a_number(digits: str) -> None:
    made = ONE.of(digits)
    assert made.isdigit()
    assert len(made) == len(digits)
    assert (made[0] == "0") <= (digits[0] == "0")


@given(st.text("0123456789abcdef", min_size=16, max_size=64))
@example("ee8962d51b727d7f4928928d42f0c89")
def test_hexadecimal_stays_hexadecimal_in_its_case(value: str) -> None:
    assume(re.search("[a-f]", value))
    assert re.fullmatch("[0-9a-f]+", ONE.of(value))
    if not re.match("[a-f]{2}[0-9]{2}", value):  # in upper case it may be an IBAN, of Germany or the Emirates
        assert re.fullmatch("[0-9A-F]+", ONE.of(value.upper()))


@given(st.uuids())
def test_a_uuid_stays_a_uuid_of_its_version(value: object) -> None:
    text = str(value)
    made = ONE.of(text)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", made)
    assert made[14] == text[14]
    assert ONE.of(text.upper()) == made.upper()


@given(st.integers(0, 10**14 - 1))
def test_a_card_number_stays_valid_with_other_digits(number: int) -> None:
    body = f"4{number:014d}"
    card = next(f"{body}{last}" for last in range(10) if luhn_valid(f"{body}{last}"))
    made = ONE.of(card)
    assert luhn_valid(made)
    assert len(made) == 16
    assert made != card
    spaced = " ".join(card[n : n + 4] for n in range(0, 16, 4))
    assert ONE.of(spaced).replace(" ", "") == made


def test_a_jwt_stays_three_parts_with_readable_header_and_claim_names() -> None:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claimed = {"sub": "anna-1", "admin": True, "exp": 1763900000}
    token = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claimed)}.c2lnbmF0dXJl"
    made = ONE.of(token)
    head, claims, signature = made.split(".")
    assert len(made) == len(token)
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    decoded = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert list(decoded) == ["sub", "admin", "exp"]
    assert decoded["sub"] != "anna-1"
    assert decoded["admin"] is True
    assert decoded["exp"] == 1763900000
    assert signature != "c2lnbmF0dXJl"
    assert len(signature) == len("c2lnbmF0dXJl")


def test_a_claim_has_the_pseudonym_that_its_value_has_elsewhere() -> None:
    claims = base64.urlsafe_b64encode(b'{"sub":"customer-4711"}').decode().rstrip("=")
    made = ONE.of(f"eyJhbGciOiJIUzI1NiJ9.{claims}.abcdefgh")
    inner = json.loads(base64.urlsafe_b64decode(made.split(".")[1] + "=="))
    assert inner == {"sub": ONE.of("customer-4711")}


def test_an_iban_stays_valid() -> None:
    made = ONE.of("DE89 3704 0044 0532 0130 00").replace(" ", "")
    assert made.startswith("DE")
    assert made != "DE89370400440532013000"
    assert int("".join(str(int(char, 36)) for char in made[4:] + made[:4])) % 97 == 1
    assert ONE.of("DE89370400440532013000") == made


def test_an_e_mail_address_keeps_its_form_and_top_level_domain() -> None:
    made = ONE.of("Anna.Smith@mail.example.com")
    assert re.fullmatch(r"[A-Z][a-z]{3}\.[A-Z][a-z]{4}@[a-z]{4}\.[a-z]{7}\.com", made)
    assert made.lower() == ONE.of("anna.smith@mail.example.com")


@pytest.mark.parametrize("value", ["anna@example.com", "p@ss/w0rd&more", "naïve çedilla 12", "tok en=1", "100% Sure!"])
def test_the_percent_encoded_form_has_the_percent_encoded_pseudonym(value: str) -> None:
    encoded = quote(value, safe="")
    assert unquote(ONE.of(encoded)) == ONE.of(value)


@pytest.mark.parametrize("value", ["correct horse battery", "hunter2-hunter2", "anna:s3cret!"])
def test_base64_of_readable_text_has_base64_of_its_pseudonym(value: str) -> None:
    encoded = base64.b64encode(value.encode()).decode()
    assert base64.b64decode(ONE.of(encoded)).decode() == ONE.of(value)
    assert ONE.of(encoded.rstrip("=")) == ONE.of(encoded).rstrip("=")


@pytest.mark.parametrize("prefix", ["AKIA", "ghp_", "sk_live_", "xoxb-", "glpat-"])
def test_the_prefix_of_a_known_kind_of_key_stays(prefix: str) -> None:
    value = prefix + "ABCDEFGHIJKLMNOP"
    made = ONE.of(value)
    assert made.startswith(prefix)
    assert made != value


def test_surrounding_white_space_and_the_empty_string_stay() -> None:
    assert ONE.of("") == ""
    assert ONE.of("  \t") == "  \t"
    assert ONE.of(" hunter2\n") == " " + ONE.of("hunter2") + "\n"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_json_number_stays_a_json_number_of_the_same_length(number: float) -> None:
    text = json.dumps(number)
    made = ONE.number(text)
    assert len(made) == len(text)
    assert isinstance(json.loads(made), int | float)


def test_a_whole_number_has_the_pseudonym_of_the_same_digits_as_text() -> None:
    assert ONE.number("4711") == ONE.of("4711")
    assert ONE.number("4111111111111111") == ONE.of("4111111111111111")


def test_a_key_must_not_be_empty() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        Pseudonyms(b"")


def test_a_key_id_tells_keys_apart_and_is_not_the_key() -> None:
    assert key_id(b"a" * 32) != key_id(b"b" * 32)
    assert re.fullmatch("[0-9a-f]{8}", key_id(b"a" * 32))


def test_the_cache_is_bounded() -> None:
    names = Pseudonyms(b"k")
    for n in range(9000):
        names.of(f"value-{n}")
    assert len(names._cache) <= 8192
