from __future__ import annotations

import random
import string
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diff.route import RouteLearner, placeholder

WORDS_OF_APIS = (
    "export", "oauth2", "productsV2", "topicsV2", "S3Outposts", "s3Buckets", "things-v2", "settings", "archived",
    "ipv4Addresses", "toDoList", "findings", "v1beta1", "search", "base64url", "download", "pageSize", "policies", "me",
)  # fmt: skip


def names(targets: list[str], *templates: str, ask: list[str] | None = None) -> list[str]:
    learner = RouteLearner(templates)
    for target in targets:
        learner.add(target)
    routes = learner.finish()
    return [routes.of("GET", target) for target in ask or targets]


def test_numbers_are_a_placeholder_even_when_seen_once() -> None:
    assert names(["/products/17"]) == ["GET /products/{id}"]


def test_the_query_is_no_part_of_a_route() -> None:
    assert names(["/products?page=2&sort=price#top"]) == ["GET /products"]


def test_an_absolute_target_is_its_path() -> None:
    assert names(["http://shop.example:8080/products/1"]) == ["GET /products/{id}"]


def test_the_root_and_the_asterisk_form_keep_their_names() -> None:
    assert names(["/", "*", ""]) == ["GET /", "GET *", "GET /"]


def test_words_stay_words() -> None:
    assert names(["/api/v1/users/me", "/api/v2/users/me"]) == ["GET /api/v1/users/me", "GET /api/v2/users/me"]


def test_a_code_of_one_digit_among_longer_ones_is_one_of_them() -> None:
    assert set(names([f"/buckets/b{n}/records" for n in range(12)])) == {"GET /buckets/{code}/records"}
    assert set(names([f"/buckets/b{n}/records" for n in range(500)])) == {"GET /buckets/{code}/records"}
    assert names(["/b1", "/b2", "/v1/x10", "/v1/x1"]) == ["GET /b1", "GET /b2", "GET /v1/{code}", "GET /v1/{code}"]


def test_one_short_id_of_chance_is_a_placeholder_and_a_word_beside_it_is_not() -> None:
    targets = ["/v1/buckets/7ty4JiXI", "/v1/buckets/export", "/v1/buckets/7ty4JiXI/records"]
    assert names(targets) == [
        "GET /v1/buckets/{token}",
        "GET /v1/buckets/export",
        "GET /v1/buckets/{token}/records",
    ]


def test_three_segments_of_one_length_with_digits_among_letters_are_ids_unless_their_numbers_alone_differ() -> None:
    assert set(names(["/go/a3bcd", "/go/xy7zw", "/go/q4rst"])) == {"GET /go/{token}"}
    assert len(set(names(["/net/ipv4addr", "/net/ipv6addr", "/net/ipv8addr"]))) == 3


def given_names(targets: dict[str, set[int]]) -> list[str]:
    learner = RouteLearner()
    for target, bound in targets.items():
        learner.add(target, 200, bound)
    routes = learner.finish()
    return [routes.of("GET", target) for target in targets]


def test_what_a_build_gave_out_is_an_id_where_it_has_a_digit_or_stands_among_ids_of_its_length() -> None:
    assert given_names({"/b/abcd5": {1}, "/b/abcde": {1}, "/b/tools": set(), "/b/exported": {1}}) == [
        "GET /b/{token}",
        "GET /b/{token}",
        "GET /b/tools",
        "GET /b/exported",
    ]
    assert given_names({"/users/me": {1}, "/v2/users": {0}}) == ["GET /users/me", "GET /v2/users"]


@given(
    st.lists(st.sampled_from(WORDS_OF_APIS), min_size=1, max_size=5, unique=True),
    st.integers(0, 2**32),
    st.integers(0, 30),
)
def test_words_of_apis_stay_words_beside_ids_of_any_number(words: list[str], seed: int, count: int) -> None:
    chance = random.Random(seed)
    ids = ["".join(chance.choices(string.ascii_letters + string.digits, k=8)) for _ in range(count)]
    targets = [f"/v1/buckets/{word}" for word in words]
    assert names([*targets, *(f"/v1/buckets/{one}" for one in ids)], ask=targets) == [f"GET {one}" for one in targets]


def test_many_short_ids_are_few_routes_and_the_words_among_them_stay() -> None:
    chance = random.Random(5)
    for count in (10, 60, 400):
        ids = ["".join(chance.choices(string.ascii_letters + string.digits, k=8)) for _ in range(count)]
        found = names([f"/buckets/{one}" for one in ids])
        assert found.count("GET /buckets/{token}") >= 0.9 * count
    words = [f"/buckets/{word}" for word in ("export", "archived", "mine")]
    ids = [f"/buckets/{''.join(chance.choices(string.ascii_letters + string.digits, k=10))}" for _ in range(60)]
    assert names([*words, *ids], ask=words) == [f"GET {word}" for word in words]


def test_many_different_words_at_one_place_are_a_placeholder() -> None:
    targets = [f"/tags/{word}/posts" for word in (f"{a}{b}word" for a in "abcdefghij" for b in "abcdefghij")]
    assert set(names(targets)) == {"GET /tags/{slug}/posts"}


def test_a_few_words_at_one_place_are_routes_of_their_own() -> None:
    targets = ["/users/me", "/users/search", "/users/export"]
    assert names(targets) == ["GET /users/me", "GET /users/search", "GET /users/export"]


def test_a_dozen_titles_are_one_route() -> None:
    targets = [
        f"/articles/the-{word}-story"
        for word in ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    ]
    assert set(names(targets)) == {"GET /articles/{slug}"}


def test_the_order_of_targets_does_not_matter() -> None:
    targets = [f"/tags/{a}{b}word/{n}" for a in "abcdefghij" for b in "abcdefghij" for n in (1, 2)]
    targets += ["/tags/x", "/login"]
    mixed = targets[:]
    random.Random(1).shuffle(mixed)
    assert names(targets) == names(mixed, ask=targets)


def test_a_template_of_the_configuration_comes_first() -> None:
    assert names(["/users/ann", "/users/bob"], "/users/{name}") == ["GET /users/{name}"] * 2


def test_a_described_template_comes_after_the_configured_and_before_what_is_learned() -> None:
    learner = RouteLearner(["/users/{name}"], ["/users/me", "/users/{id}", "/items/{sku}"])
    for target in ("/users/me", "/items/7", "/orders/7"):
        learner.add(target)
    routes = learner.finish()
    assert [routes.of("GET", target) for target in ("/users/me", "/items/7", "/orders/7", "*")] == [
        "GET /users/{name}", "GET /items/{sku}", "GET /orders/{id}", "GET *",
    ]  # fmt: skip
    assert [routes.origin(target) for target in ("/users/me", "/items/7", "/orders/7", "*")] == [
        "configured", "described", "learned", "learned",
    ]  # fmt: skip


def test_names_beyond_the_bound_of_the_trie_are_one_route() -> None:
    targets = [f"/{a}{b}word/{c}stuff/x" for a in "abcdefgh" for b in "abcdefgh" for c in "abcdefgh"]
    learner = RouteLearner(cardinality_max=1000, nodes_max=40)
    for target in targets:
        learner.add(target)
    routes = learner.finish()
    assert learner.overflowed
    found = {routes.of("GET", target) for target in targets}
    assert len(found) <= 42
    assert "GET /{tail}" in found


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ("17", "{id}"),
        (str(uuid.UUID(int=7)), "{uuid}"),
        ("2026-09-21", "{date}"),
        ("d41d8cd98f00b204e9800998ecf8427e", "{hash}"),
        ("order-1234", "order-{id}"),
        ("SKU0012", "{code}"),
        ("17.json", "{id}.json"),
        ("aB3dE5fG7hJ9kL1m", "{token}"),
        ("attic-oak-bag-92", "{slug}"),
        ("attic-oak-bag", None),
        ("products", None),
        ("v1", None),
        ("products.json", None),
        ("deadbeef", None),
        ("", None),
    ],
)
def test_a_segment_that_looks_like_an_identifier_is_a_placeholder(segment: str, expected: str | None) -> None:
    assert placeholder(segment) == expected


def test_words_with_the_same_words_below_them_are_a_placeholder() -> None:
    targets = [f"/feeds/{word}/latest.xml" for word in ("shoes", "bags", "hats", "lamps", "mugs")]
    assert set(names(targets)) == {"GET /feeds/{slug}/latest.xml"}


def test_resources_with_identifiers_below_them_stay_apart() -> None:
    targets = [f"/{word}/{number}" for word in ("users", "orders", "carts", "products", "bills") for number in (1, 2)]
    assert len(set(names(targets))) == 5


def test_a_word_that_was_never_found_among_identifiers_is_one_of_them() -> None:
    learner = RouteLearner()
    for target, status in (("/users/1", 200), ("/users/none", 404), ("/users/me", 200), ("/about", 404)):
        learner.add(target, status)
    routes = learner.finish()
    assert routes.of("GET", "/users/none") == "GET /users/{id}"
    assert routes.of("GET", "/users/me") == "GET /users/me"
    assert routes.of("GET", "/about") == "GET /about"


def test_the_trie_is_bounded() -> None:
    learner = RouteLearner(nodes_max=100)
    for number in range(1000):
        learner.add("/" + "/".join("abcdefghijklmnopqrstuvwxyz"[(number // 26**place) % 26] * 3 for place in range(5)))
    assert learner.overflowed > 0
    assert learner.finish().of("GET", "/aaa").startswith("GET /")


@given(st.lists(st.text(max_size=30)))
def test_any_target_gets_a_name(targets: list[str]) -> None:
    assert all(name.startswith("GET ") for name in names(targets))


def test_a_very_deep_target_is_cut() -> None:
    (name,) = names(["/a" * 1000])
    assert name == "GET /" + "a/" * 16 + "{tail}"
