"""The quick look for secrets by form overlooks nothing that the detectors would find."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from capture.redact.detect import may_hold, scan
from capture.redact.names import Names

FRAGMENTS = (
    "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "3782 822463 10005", "1763900000033",
    "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "DE893704 00440532013000", "GB29 NWBK 6016 1331 9268 19",
    "eyJhbGciOiJub25lIn0.e30.", "eyJhYmNkZQ.", "eyJhIjoxfQ==", "AKIAQ7Z2M4K9X1B8T5W3", "ghp_16C7e42F292c6912E7710c8",
    "github_pat_11ABCDEFG0abcdefghijkl", "glpat-aaaa-bbbb-cccc-dddd", "xoxb-123456-78901", "sk_live_4eC39HqLyjWD",
    "pk_test_TYooMQauvdED", "sk-aaaa-bbbb-cccc-dddd-eeee", "whsec_MfKQ9r8GKYqrTwjU",
    "SG.aaaa-bbbb-cccc-d.eeee-ffff-gggg-h",
    "npm_aaaaaaaaaabbbbbbbbbbcccccccccc", "pypi-aaaa-bbbb-cccc-dddd-eeee-ffff-gggg", "hf_aaaaaaaaaabbbbbbbbbbcccc",
    "shpat_0123456789abcdef0123", "ya29.aaaa-bbbb-cccc-dddd-eeee", "AIzaSyA-1234567-1234567-1234567-12",
    "dop_v1_0123456789abcdef0123456789abcdef01234567", "Bearer abcdef12", "basic dXNlcjpwYXNz", "BEARER  0123456789",
    "-----BEGIN PRIVATE KEY-----", "-----END", "joe@example.com", "joe%40example.com", "https://u:p@h/", "token=x",
    "password-=x", "token==x", "a=}", "?sig=1", " ", "-", ".", "x", "é", "\n", "\"", "'", ",", "&", "/", "0", "A", "_",
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(FRAGMENTS), max_size=6).map("".join) | st.text(
    alphabet="0123456789AaBbDEeJyk_-. =:@%bearsic", max_size=40
)


@given(TEXTS)
@example("No4111 1111 1111 1111")
@example("e1b2-4111-1111-1111-1111")
@example("DE893704 00440532013000")
@example("eyJabcde.")
@example("password-=x")
def test_where_nothing_may_be_found_nothing_is(text: str) -> None:
    if not may_hold(text.encode()):
        assert scan(text, Names(), lambda kind: True) == []


@given(TEXTS)
def test_without_pairs_only_they_may_be_found(text: str) -> None:
    if not may_hold(text.encode(), pairs=False):
        assert scan(text, Names(), lambda kind: kind != "query") == []


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"7263b6ba-d878-4111-1111-6f0816b23442","at":1763900000033,"iban":"no","price":"12.50 EUR"}',
        "an order of 4111111111111112 pieces",
        '"e":"4111-1111-1111-1112"',
        "ETag: 0123456789abcdef0123456789abcdef",
        "created_at updated_at request_id active_users",
    ],
)
def test_what_only_looks_like_a_secret_is_not_searched(text: str) -> None:
    assert not may_hold(text.encode())


PLAIN_PATH_SIGN = re.compile(
    rb"/(?:(?:[Pp]assword-?)?[Rr]eset|(?:[Ee]?-?[Mm]ail-?)?[Vv]erif|[Cc]onfirm|[Aa]ctivat|[Ii]nvit|[Mm]agic|[Uu]nsub|[Tt]oken"
    rb"|[Ss]ession|[Rr]ecover|[Ff]orgot|[Pp]assword|[Ss]ecret|[Oo]tp|[Oo]ne-?time|[Ll]ogin)[\w-]{0,16}/[\w.~+=%-]{10}"
)
"""What paths with tokens have, in the form in which it is read most easily."""
PATH_PARTS = st.sampled_from(
    [
        *"/-eEmMrRpPvVoO",
        *[
            "reset",
            "Reset",
            "verif",
            "Mail",
            "mail",
            "password",
            "confirm",
            "magic",
            "Ma",
            "token",
            "session",
            "Secret",
            "otp",
            "ne-time",
        ],
    ]
)


@given(st.lists(PATH_PARTS | st.sampled_from(["/", "0123456789", "/a", "x"]), max_size=12).map("".join))
@example("/Email-Verify/abcdefghij")
@example("/-mailverif/abcdefghij")
@example("/e-Mail-verif/abcdefghij")
@example("/password-resetaaaaaaaaaaaaaaaa/abcdefghij")
@example("/password-reset-aaaaaaaaaaaaaaaa/abcdefghij")
def test_the_quick_look_for_tokens_in_paths_sees_what_the_plain_one_sees(text: str) -> None:
    assert may_hold(text.encode(), pairs=False) == (PLAIN_PATH_SIGN.search(text.encode()) is not None)
