from __future__ import annotations

import random
import string

import pytest

from diff.jumble import is_jumbled, is_like_ids, is_mixed, stem_of

# Segments of real APIs, of those that are the most like ids.
WORDS = (
    "export", "oauth2", "ipv4Addresses", "S3Outposts", "github3py", "principals-v2", "productsV2", "s3Buckets",
    "s3_file_url", "oauth2ab", "v2LoggingLevel", "s3accesspolicy", "send-to-s3", "things-v2", "v1beta1",
    "v1p1beta1", "x509v3", "sha256", "base64url", "2fa", "k8s", "i18n", "v20180820", "dataflowEndpointGroupV2",
    "as2805kekvalidation", "associatedRoute53HealthChecks", "py-m3u8-to-mp4", "2D-to-3D",
    "CreateOauth2CredentialProvider", "toDoList", "https",
)  # fmt: skip


@pytest.mark.parametrize("segment", ["7ty4JiXI", "k3x9q2ma", "aB3xYz9Qk", "Xk29LmQ4", "dQw4w9WgXcQ", "7ty4Ji%58I"])
def test_what_chance_made_is_no_word_even_alone(segment: str) -> None:
    assert is_jumbled(segment)
    assert is_mixed(segment)


@pytest.mark.parametrize("word", WORDS)
def test_words_with_numbers_are_words(word: str) -> None:
    assert not is_jumbled(word)


@pytest.mark.parametrize("segment", ["", "export", "12345678", "kqzvbnta", "a.b3c4d5e6", "a b3c4d5e6", "x" * 400])
def test_without_digits_and_letters_nothing_is_mixed(segment: str) -> None:
    assert not is_mixed(segment)


@pytest.mark.parametrize("segment", ["kqzvbnta", "GhtkLmnP", "abcd5678", "12ab34cd"])
def test_beside_ids_what_no_word_could_be_is_one(segment: str) -> None:
    assert is_like_ids(segment)


@pytest.mark.parametrize(
    "word", ["export", "settings", "topicsV2", "toDoList", "oauth2", "v1beta1", "archive", "12345678"]
)
def test_beside_ids_words_are_still_words(word: str) -> None:
    assert not is_like_ids(word)


def test_segments_that_differ_in_their_numbers_have_one_stem() -> None:
    assert stem_of("ipv4addr") == stem_of("IPv6addr")
    assert stem_of("7ty4JiXI") != stem_of("k3x9q2ma")


def test_a_good_part_of_random_ids_is_known_alone_and_most_beside_others() -> None:
    chance = random.Random(7)
    for alphabet in (string.ascii_letters + string.digits, string.ascii_lowercase + string.digits):
        ids = ["".join(chance.choices(alphabet, k=8)) for _ in range(1000)]
        assert sum(map(is_jumbled, ids)) > 250
        assert sum(map(is_like_ids, ids)) > 800
