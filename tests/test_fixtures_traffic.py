"""The seeded users: valid for every build, the same for a seed, whatever the concurrency."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from aiohttp import web

from fixtures.shop import service
from fixtures.shop.app import ROUTES
from fixtures.shop.mutants import DEMO
from fixtures.shop.traffic import Drive, drive_async
from tests.support.shop import serve_shop

pytestmark = pytest.mark.net


def _drive(requests: int, seed: int, concurrency: int = 8) -> Drive:
    async def run() -> Drive:
        async with serve_shop() as url:
            return await drive_async(url, requests, seed, concurrency)

    return asyncio.run(run())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_request_is_valid_and_exactly_as_many_are_sent_as_asked_for(seed: int) -> None:
    result = _drive(600, seed)
    assert result.requests == 600
    assert sum(result.statuses.values()) == 600
    assert (result.unexpected, result.errors) == ([], Counter())


def test_the_traffic_of_a_seed_does_not_depend_on_the_concurrency() -> None:
    assert _drive(500, 4, 1).statuses == _drive(500, 4, 16).statuses
    assert _drive(500, 4).statuses != _drive(500, 5).statuses


def test_the_default_traffic_reaches_every_route_of_the_shop() -> None:
    reached: Counter[str] = Counter()

    async def run() -> None:
        answer = service.Shop.answer

        async def counted(self: service.Shop, route: str, handler: service.Handler, request: web.Request) -> object:
            reached[route] += 1
            return await answer(self, route, handler, request)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(service.Shop, "answer", counted)
            async with serve_shop() as url:
                await drive_async(url, 4000, 1)

    asyncio.run(run())
    assert set(ROUTES) - {"POST /logout"} - set(reached) == set()
    assert all(reached[mutant.route] >= 25 for mutant in DEMO)


def test_a_service_that_answers_nonsense_is_reported_and_does_not_stop_the_users() -> None:
    async def nonsense(_request: web.Request) -> web.Response:
        return web.Response(status=500, text="no")

    async def run() -> Drive:
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", nonsense)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            return await drive_async(f"http://{host}:{port}", 50, 1)
        finally:
            await runner.cleanup()

    result = asyncio.run(run())
    assert result.statuses == Counter({500: 50})
    assert len(result.unexpected) == 50


def test_a_service_that_is_not_there_is_reported_as_errors() -> None:
    result = asyncio.run(drive_async("http://127.0.0.1:9", 20, 1))
    assert sum(result.errors.values()) == 20
