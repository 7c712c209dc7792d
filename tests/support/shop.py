"""The shop in the test's own process: served on a free loopback port for the length of a coroutine."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Sequence

from aiohttp import web

from fixtures.shop.app import make_app
from fixtures.shop.mutants import Mutant

__all__ = ["serve_shop"]


@contextlib.asynccontextmanager
async def serve_shop(mutants: Sequence[Mutant] = (), chance: int = 1) -> AsyncIterator[str]:
    """The base URL of a shop of that build; `chance` seeds its noise and tokens."""
    runner = web.AppRunner(make_app(mutants, rng=random.Random(chance)), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
