"""The rehearsal leaves nothing behind (the suite's own fixtures look) and needs nobody."""

from __future__ import annotations

import asyncio

from runner.transports.webrtc.warmup import rehearse


async def test_a_rehearsal_ends_by_itself() -> None:
    async with asyncio.timeout(20):
        await rehearse()
