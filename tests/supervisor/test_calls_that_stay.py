"""Calls that cannot move: what belongs to them reaches the old worker, though the new one is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from eventually import eventually
from saving import saving
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from runner.callers.call import new_wire
from runner.callers.phone import Phone
from runner.callers.webrtc import WebRTCCaller
from runner.server.endpoints.call_events import NO_SUCH_CALL

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

RTVI = "rtvi-ai"


async def dial_as_a_provider(url: str) -> Any:
    """It does not reconnect when its call moves."""
    return await connect(url, compression=None, ping_interval=None, proxy=None)


async def test_a_call_that_stays_with_the_old_code_gets_its_candidates_and_a_further_offer(
    tmp_path: Path,
) -> None:
    async with (
        saving(tmp_path, "-t", "webrtc") as saved,
        httpx2.AsyncClient(base_url=saved.address, trust_env=False) as http,
        WebRTCCaller(saved.address, body={"a": 1}, moves=False) as caller,
    ):
        saved.edit("version 0", "version 1")
        await saved.reloaded(1)
        trickle = {"pc_id": caller.pc_id, "candidates": []}
        response = await http.patch("/api/offer", json=trickle)
        assert (response.status_code, response.json()) == (200, {"status": "success"})
        for path in ("/api/offer", f"/sessions/{caller.session_id}/api/offer"):
            broken = await http.post(path, json={"pc_id": caller.pc_id, "sdp": "x", "type": "offer"})
            assert broken.status_code == 400, "a further offer in its call, not a new one"
        evil = await http.patch("/api/offer", json=trickle, headers={"origin": "https://evil.example"})
        assert evil.status_code == 403
        await caller.hang_up()

        async def refused() -> httpx2.Response | None:
            answer = await http.patch("/api/offer", json=trickle)
            return None if answer.status_code == 200 else answer

        response = await eventually(refused)
        assert response is not None
        assert response.status_code in {404, 410}
        assert "any more" in response.text or "ended" in response.text


async def test_a_call_announced_before_a_save_begins_with_the_new_code(tmp_path: Path) -> None:
    async with (
        saving(tmp_path, "-t", "webrtc") as saved,
        httpx2.AsyncClient(base_url=saved.address, trust_env=False) as http,
    ):
        announced = await http.post("/start", json={"transport": "webrtc", "body": {"a": 1}})
        path = f"/sessions/{announced.json()['sessionId']}/api/offer"
        saved.edit("version 0", "version 1")
        await saved.reloaded(1)
        # 404 for one that nobody announced.
        assert (await http.post(path, json={"sdp": "x", "type": "offer"})).status_code == 400


async def test_a_call_of_a_provider_is_followed_through_the_new_worker(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        wire, base = new_wire("twilio"), f"ws://127.0.0.1:{saved.port}"
        events = f"{base}/sessions/{wire.facts.call_id}/events"
        async with Phone(f"{base}/ws", wire, connect=dial_as_a_provider) as phone:
            await eventually(phone.bot_has_spoken, 20)
            saved.edit("version 0", "version 1")
            await saved.reloaded(1)
            async with connect(events, proxy=None) as side:
                typed = {"content": "turn1", "options": {"run_immediately": True, "audio_response": True}}
                await side.send(message("client-ready", {"version": "1.2.0"}))
                await side.send(message("send-text", typed))
                async with asyncio.timeout(20):
                    while "version 0" not in await side.recv():
                        pass

        async def unknown() -> bool:  # while it is ending, it can be followed
            return await close_code(events) == NO_SUCH_CALL

        await eventually(unknown)


async def close_code(url: str) -> int | None:
    async with connect(url, proxy=None) as side:
        with contextlib.suppress(ConnectionClosed):
            while True:
                await side.recv()
    return side.close_code


def message(kind: str, data: dict[str, Any]) -> str:
    return json.dumps({"label": RTVI, "type": kind, "id": kind, "data": data})
