"""The warm-up leaves nothing behind (the suite's own fixtures look) and needs nobody."""

from __future__ import annotations

import asyncio

from runner.server.endpoints.webrtc import warm_up


async def test_a_warm_up_ends_by_itself() -> None:
    async with asyncio.timeout(20):
        await warm_up()
