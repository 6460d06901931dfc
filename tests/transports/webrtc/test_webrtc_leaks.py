"""Many short calls leave nothing behind: no task, no thread, no open file, no entry in a list."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest
from eventually import eventually, steady
from test_webrtc_endpoint import CHROMIUM, EchoBot, tone

from runner.callers.webrtc import WebRTCCaller
from runner.transports.webrtc import connection as connection_module

pytestmark = pytest.mark.long


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def left_over() -> tuple[int, int, int]:
    gc.collect()
    return len(asyncio.all_tasks()), threading.active_count(), open_files()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
@pytest.mark.faults(6)
async def test_thirty_short_calls_leave_nothing_behind(serve: Any) -> None:
    async with serve(EchoBot()) as served:

        async def one_call() -> None:
            async with WebRTCCaller(served.url, body={"n": 1}) as caller:
                await caller.say(tone(0.04), 16000)
                caller.send_message("hello")
            await eventually(lambda: not served.sessions.active)

        for _ in range(3):  # what is made once stays: an executor's threads, cached filters
            await one_call()
        before = await steady(left_over)
        for _ in range(30):
            await one_call()
        await eventually(lambda: left_over() == before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files by /proc")
@pytest.mark.faults(7)
async def test_offers_that_come_to_nothing_leave_nothing_behind(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = connection_module.SmallWebRTCConnection.__init__

    def impatient(self: Any, ice_servers: Any = (), **options: Any) -> None:
        init(self, ice_servers, 0.05, **options)

    monkeypatch.setattr(connection_module.SmallWebRTCConnection, "__init__", impatient)
    bad = CHROMIUM.replace("a=extmap:1 ", "a=extmap:x ", 1)
    async with serve(EchoBot()) as served, httpx2.AsyncClient(trust_env=False) as http:

        async def one_offer(sdp: str) -> int:
            asked = {"sdp": sdp, "type": "offer"}
            answer = await http.post(f"{served.url}/api/offer", json=asked)
            await eventually(lambda: not served.sessions.active)
            return answer.status_code

        assert await one_offer(CHROMIUM) == 200
        assert await one_offer(bad) == 400
        before = await steady(left_over)
        for _ in range(10):
            await one_offer(CHROMIUM)
            await one_offer(bad)
        await eventually(lambda: left_over() == before)
