"""Whether the upstream takes connections, for the readiness probe."""

from __future__ import annotations

import asyncio
import contextlib

from capture.sources.relay.address import Address

__all__ = ["upstream_answers"]

_WAIT_S = 1.0


async def upstream_answers(upstream: Address) -> str | None:
    """None where a connection could be opened (it is closed again at once), else why not; within a second."""
    try:
        async with asyncio.timeout(_WAIT_S):
            if upstream.path is not None:
                _, writer = await asyncio.open_unix_connection(upstream.path)
            else:
                _, writer = await asyncio.open_connection(upstream.host, upstream.port)
    except TimeoutError:
        return f"upstream {upstream} did not accept within a second"
    except OSError as error:
        return f"upstream {upstream} does not accept: {error.strerror or error}"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return None
