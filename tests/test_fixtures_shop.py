"""The sample shop as its visitors meet it."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from fixtures.shop.catalogue import PRODUCTS, make_catalogue
from fixtures.shop.visits import VISITS_MAX, Visits
from tests.support.shop import serve_shop

pytestmark = pytest.mark.net


def visit(script: Callable[[str, aiohttp.ClientSession], Awaitable[Any]]) -> Any:
    """Run one visitor against a fresh shop."""

    async def run() -> Any:
        jar = aiohttp.CookieJar(unsafe=True)
        async with (
            serve_shop() as url,
            aiohttp.ClientSession(
                cookie_jar=jar, auto_decompress=False, headers={"Accept-Encoding": "identity"}
            ) as client,
        ):
            return await script(url, client)

    return asyncio.run(run())


async def _log_in(url: str, client: aiohttp.ClientSession) -> dict[str, Any]:
    async with client.post(f"{url}/login", json={"user": "user7", "password": "open-7-sesame"}) as response:
        assert response.status == 200
        return await response.json()


def test_the_catalogue_of_a_seed_is_always_the_same() -> None:
    assert make_catalogue(3) == make_catalogue(3)
    assert make_catalogue(3) != make_catalogue(4)
    assert len(make_catalogue().products) == PRODUCTS
    assert len(make_catalogue().by_slug) == PRODUCTS


def test_a_login_hands_out_random_tokens_and_a_wrong_password_is_refused() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        first, second = await _log_in(url, client), await _log_in(url, client)
        assert len(first["token"]) == 40
        assert first["token"] != second["token"]
        assert first["user"] == {"id": 5007, "name": "user7", "locale": "en"}
        async with client.post(f"{url}/login", json={"user": "user7", "password": "guess"}) as response:
            assert response.status == 401

    visit(script)


def test_the_pages_of_a_list_are_joined_by_next_links_and_hold_every_product_once() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        target, seen, links = "/products?per=50", [], 0
        while target:
            async with client.get(url + target, headers={"Accept-Encoding": "identity"}) as response:
                page = await response.json()
                links += "Link" in response.headers
            seen += [item["id"] for item in page["items"]]
            target = page["next"]
        assert seen == list(range(1001, 1001 + PRODUCTS))
        assert links == 4

    visit(script)


def test_an_unchanged_product_is_answered_with_304_and_no_body() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        async with client.get(f"{url}/products/1001") as response:
            tag = response.headers["ETag"]
        async with client.get(f"{url}/products/1001", headers={"If-None-Match": tag}) as response:
            assert (response.status, await response.read()) == (304, b"")
        async with client.get(f"{url}/products/1001", headers={"If-None-Match": 'W/"other"'}) as response:
            assert response.status == 200

    visit(script)


def test_a_long_body_is_compressed_only_for_clients_that_accept_it() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        async with client.get(f"{url}/products", headers={"Accept-Encoding": "gzip"}) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert (await response.read())[:2] == b"\x1f\x8b"
        async with client.get(f"{url}/products", headers={"Accept-Encoding": "identity"}) as response:
            assert "Content-Encoding" not in response.headers
            assert (await response.read())[:1] == b"{"

    visit(script)


def test_head_has_the_headers_of_get_and_no_body() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        async with client.get(f"{url}/products/1001", headers={"Accept-Encoding": "identity"}) as response:
            length = len(await response.read())
        async with client.head(f"{url}/products/1001", headers={"Accept-Encoding": "identity"}) as response:
            assert response.headers["Content-Length"] == str(length)
            assert await response.read() == b""

    visit(script)


def test_created_ids_and_the_csrf_token_are_needed_to_buy() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        session = await _log_in(url, client)
        csrf = {"X-CSRF-Token": session["csrf_token"]}
        async with client.post(f"{url}/cart/items", json={"product_id": 1001}) as response:
            assert response.status == 403
        async with client.post(f"{url}/cart/items", json={"product_id": 1001, "quantity": 2}, headers=csrf) as response:
            assert response.status == 201
            line = response.headers["Location"]
        async with client.patch(url + line, json={"quantity": 3}, headers=csrf) as response:
            assert (await response.json())["quantity"] == 3
        async with client.get(f"{url}/cart") as response:
            cart = await response.json()
        order = {"cart_id": cart["cart_id"], "card_number": "4111111111111111", "city": "Bremen"}
        async with client.post(f"{url}/checkout", json={**order, "cart_id": "other"}, headers=csrf) as response:
            assert response.status == 409
        async with client.post(f"{url}/checkout", json=order, headers=csrf) as response:
            placed = response.headers["Location"]
        async with client.get(url + placed) as response:
            assert (await response.json())["total"] == cart["total"]
        async with client.get(url + placed, cookies={"sid": "stranger"}) as response:
            assert response.status == 401

    visit(script)


def test_the_form_of_a_page_is_taken_once_and_leads_back_to_the_page() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        slug = make_catalogue().products[0].slug
        async with client.get(f"{url}/p/{slug}", headers={"Accept-Encoding": "identity"}) as response:
            token = re.search(r'name="csrf" value="(\w+)"', await response.text())
        assert token is not None
        form = {"csrf": token[1], "stars": "5"}
        async with client.post(f"{url}/p/{slug}/reviews", data=form, allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, f"/p/{slug}?reviewed=1")
        async with client.post(f"{url}/p/{slug}/reviews", data=form, allow_redirects=False) as response:
            assert response.status == 403

    visit(script)


def _steady(response: aiohttp.ClientResponse) -> list[tuple[str, str]]:
    noisy = {"x-request-id", "x-served-by", "date"}
    return [(name, value) for name, value in response.headers.items() if name.lower() not in noisy]


def test_only_the_documented_noise_differs_between_two_processes_of_a_build() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        async with serve_shop(chance=2) as other:
            for target in ("/categories", "/compare?id=1001&id=1002", "/feeds/lamps/products.xml", "/pictures/1003"):
                async with client.get(url + target) as left, client.get(other + target) as right:
                    assert _steady(left) == _steady(right)
                    assert left.headers["X-Request-Id"] != right.headers["X-Request-Id"]
                    if not target.startswith("/compare"):
                        assert await left.read() == await right.read()

    visit(script)


def test_an_unknown_path_and_an_unknown_product_are_404() -> None:
    async def script(url: str, client: aiohttp.ClientSession) -> None:
        for target in ("/wishlist", "/products/9999999", "/products/%0a", "/go/none", "/p/none", "/pictures/1"):
            async with client.get(url + target, allow_redirects=False) as response:
                assert response.status == 404, target

    visit(script)


def test_the_memory_of_visits_is_bounded_and_the_oldest_goes_first() -> None:
    visits = Visits(random.Random(1))
    first = visits.open()
    token = visits.log_in(first, "user1")
    for _ in range(VISITS_MAX):
        visits.open()
    assert visits.by_cookie(first.sid) is None
    assert visits.by_authorization(f"Bearer {token}") is None
