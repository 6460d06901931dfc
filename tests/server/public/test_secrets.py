"""No key of anybody's stands in anything that is written (RELIABILITY test 29)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from carrier_calls import post
from eventually import eventually
from provider_server import provider_server
from public_world import CANARIES, call_fields, media_url, signed, socket_headers, wire
from run_process import Run, running
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from runner.rtvi.messages import LABEL, VERSION
from runner.server.access import HEADER

pytestmark = pytest.mark.processes

BOT = Path(__file__).parents[2] / "support" / "refused_bot.py"
SECRETS = {
    "OPENAI_API_KEY": "canary-openai-key",
    "DEEPGRAM_API_KEY": "canary-deepgram-key",
    "CARTESIA_API_KEY": "canary-cartesia-key",
    "ELEVENLABS_API_KEY": "canary-elevenlabs-key",
    "DAILY_API_KEY": "canary-daily-key",
    "DAILY_DIALIN_SECRET": "Y2FuYXJ5LWRhaWx5LXNlY3JldA==",
    "TWILIO_SIGNING_SECRET": "canary-signing-secret",
    "NGROK_AUTHTOKEN": "canary-ngrok-token",
    "BOTRUN_ICE_SERVERS": "turn:ada:canary-turn-password@127.0.0.1:3478",
}


@dataclass
class Vendor:
    """A server of every service, which refuses every key and repeats it, twice, in what it answers."""

    address: str = ""
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head)
            keys = [line for line in head.decode().splitlines() if "canary" in line]
            key = keys[0].split()[-1] if keys else "no key"
            body = json.dumps({"error": {"message": f"Incorrect API key provided: {key}. {'x' * 130} {key}"}})
            writer.write(
                f"HTTP/1.1 401 {key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
                f"connection: close\r\n\r\n{body}".encode()
            )
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def refusing_vendor() -> AsyncIterator[Vendor]:
    vendor = Vendor()
    listening = await asyncio.start_server(vendor.serve, "127.0.0.1", 0)
    vendor.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield vendor
    finally:
        listening.close()
        await listening.wait_closed()


def environment(style: str, voice: str, vendor: Vendor) -> dict[str, str]:
    return {**SECRETS, "BOTRUN_LOG": style, "VOICE": voice, "VENDOR": vendor.address}


async def listen(socket: ClientConnection, into: list[str]) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            into.append(str(message))


async def shown(run: Run, key: str, *paths: str) -> str:
    """What the run answers to who knows its key."""
    texts = []
    async with httpx2.AsyncClient(timeout=10, trust_env=False) as client:
        for path in paths:
            answer = await client.get(f"http://127.0.0.1:{run.port}{path}", headers={HEADER: key})
            assert answer.status_code == 200
            texts.append(answer.text)
    return "\n".join(texts)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("style", "voice"), [("text", "ElevenLabs"), ("json", "Cartesia")])
@pytest.mark.faults(29)
async def test_a_call_in_which_every_key_is_refused_and_repeated_shows_none(
    style: str, voice: str, tmp_path: Path
) -> None:
    received: list[str] = []
    async with (
        provider_server() as server,
        refusing_vendor() as vendor,
        running("twilio", server, tmp_path, "-v", bot=BOT, **environment(style, voice, vendor)) as run,
    ):
        (key_file,) = (tmp_path / "state").glob("*.key")
        key = key_file.read_text().strip()
        server.calls["C1"] = "talking"
        fields = call_fields("twilio", "C1")
        forged = signed("twilio", "/twilio/answer", fields, origin="https://evil.example")
        assert (await post(run.origin, forged)).status_code == 403
        answer = await post(run.origin, signed("twilio", "/twilio/answer", fields, origin=run.origin))
        url = media_url("twilio", answer.text)
        token = url.rpartition("/")[2]
        phone = wire("twilio", "C1")
        headers = socket_headers("twilio", url)
        async with connect(url, additional_headers=headers, proxy=None, compression=None) as socket:
            for message in phone.opening():
                await socket.send(message)
            await eventually(lambda: "session" in run.output, 10)
            events = f"ws://127.0.0.1:{run.port}/sessions/C1/events"
            async with connect(events, additional_headers={HEADER: key}, proxy=None) as beside:
                ready = {"label": LABEL, "type": "client-ready", "id": "1", "data": {"version": VERSION}}
                await beside.send(json.dumps(ready))
                listening = asyncio.create_task(listen(beside, received))
                for title in ("Deepgram", voice, vendor.address):
                    await run.ready(f"{title} refused the key")
                await eventually(lambda: any("refused the key" in text for text in received), 15)
                received.append(await shown(run, key, "/status", "/metrics", "/"))
                server.faults.extend(["401"] * 3)
            await listening
        await run.end()
    assert len(vendor.asked) >= 4
    assert "no good" in run.output
    assert "a Twilio webhook was refused" in run.output
    log = "\n".join(line for line in run.output.splitlines() if f"?key={key}" not in line)
    for secret in (*CANARIES, *SECRETS.values(), "canary", token, key):
        assert secret not in log
        assert not any(secret in text for text in received)
