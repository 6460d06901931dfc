"""Calls from a carrier: its webhook, then its media socket, played to the end."""

from __future__ import annotations

import httpx2
from provider_server import ProviderServer
from public_world import Provided, call_fields, media_url, signed, socket_headers, wire
from run_process import Run
from websockets.asyncio.client import connect

from runner.callers.wires import BotMark, BotSound


async def post(origin: str, request: Provided) -> httpx2.Response:
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        return await client.request(
            request.method, origin + request.path, headers=request.headers, content=request.body
        )


async def call_in(run: Run, server: ProviderServer, name: str, call_id: str = "C1", **more: str) -> float:
    """The provider asks what its number asks now, brings the call, and hears the bot out (s)."""
    server.calls[call_id] = "talking"
    asks = server.address(name) if name != "exotel" else f"{run.origin}/exotel/answer"
    assert asks == f"{run.origin}/{name}/answer"
    path = asks.removeprefix(run.origin)
    request = signed(name, path, call_fields(name, call_id, **more), origin=run.origin)
    answer = await post(run.origin, request)
    assert answer.status_code == 200, answer.text
    url = media_url(name, answer.text)
    return await talk(name, url, call_id)


async def talk(name: str, url: str, call_id: str, headers: dict[str, str] | None = None) -> float:
    phone, heard_s = wire(name, call_id), 0.0
    sent = {**socket_headers(name, url), **(headers or {})}
    async with connect(url, additional_headers=sent, proxy=None, compression=None) as socket:
        for message in phone.opening():
            await socket.send(message)
        await socket.send(phone.media(bytes(2 * 8 * phone.ptime_ms)))
        async for message in socket:
            for event in phone.receive(message):
                if isinstance(event, BotSound):
                    heard_s += len(event.pcm) / 2 / phone.sample_rate
                elif isinstance(event, BotMark):
                    await socket.send(phone.mark_reached(event.name))
    return heard_s
