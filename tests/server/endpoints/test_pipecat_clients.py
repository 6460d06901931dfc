"""Clients that speak Pipecat's protobuf frames, over `/ws-client`."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import numpy as np
import pytest
from phone_bots import Served, over_sockets, tone
from pipecat_frames import Frame
from websockets.asyncio.client import ClientConnection, connect

from runner import WebSocketRunnerArguments, create_transport
from runner.frames import Frame as OurFrame
from runner.frames import FrameDirection, InputAudioRawFrame, OutputAudioRawFrame
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor
from runner.transports.params import TransportParams

READY = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0"}}
bodies: list[Any] = []


class Echo(FrameProcessor):
    async def process_frame(self, frame: OurFrame, direction: FrameDirection) -> None:
        if isinstance(frame, InputAudioRawFrame):
            frame = OutputAudioRawFrame(frame.audio, frame.sample_rate)
        await self.push_frame(frame, direction)


async def bot(args: WebSocketRunnerArguments) -> None:
    bodies.append(args.body)
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    transport = await create_transport(args, {"websocket": lambda: params})
    await PipelineRunner().run(PipelineTask(Pipeline([transport.input(), Echo(), transport.output()])))


async def talk(socket: ClientConnection, rate: int) -> tuple[list[dict[str, Any]], bytes]:
    """Say that the client is ready, and a tone; until half a second of it has come back."""
    messages, sound = [], b""
    await socket.send(Frame(message={"data": json.dumps(READY)}).SerializeToString())
    pcm = tone(1.0, rate)
    step = rate // 50 * 2
    for at in range(0, len(pcm), step):
        audio = {"audio": pcm[at : at + step], "sample_rate": rate, "num_channels": 1}
        await socket.send(Frame(audio=audio).SerializeToString())
    async with asyncio.timeout(10):
        while len(sound) < 24000 or not messages:
            message = await socket.recv()
            if isinstance(message, str):  # botrun's own, before it knows the client
                assert json.loads(message)["type"] == "session"
                continue
            frame = Frame.FromString(message)
            match frame.WhichOneof("frame"):
                case "audio":
                    assert (frame.audio.sample_rate, frame.audio.num_channels) == (24000, 1)
                    sound += frame.audio.audio
                case "message":
                    messages.append(json.loads(frame.message.data))
    return messages, sound


def address(served: Served) -> str:
    return served.url.replace("/ws", "/ws-client").replace("ws-client://", "ws://")


async def check(socket: ClientConnection, rate: int = 16000) -> None:
    messages, sound = await talk(socket, rate)
    assert messages[0]["type"] == "bot-ready"
    samples = np.frombuffer(sound, "<i2").astype(float)
    loud = samples[np.abs(samples).argmax() % len(samples) :][:12000]
    assert np.abs(loud).max() > 5000
    assert np.argmax(np.abs(np.fft.rfft(samples))) * 24000 / len(samples) == pytest.approx(440, abs=5)


@pytest.mark.parametrize("rate", [16000, 48000])
async def test_a_client_connects_straight_away(rate: int) -> None:
    async with over_sockets(bot) as served, connect(address(served)) as socket:
        await check(socket, rate)


async def test_a_client_asks_start_first() -> None:
    async with over_sockets(bot) as served, httpx2.AsyncClient(trust_env=False) as http:
        start = address(served).replace("ws://", "http://").replace("/ws-client", "/start")
        answer = await http.post(start, json={"transport": "websocket", "body": {"guest": "Ada"}})
        connect_to = answer.json()
        # As @pipecat-ai/websocket-transport does, which appends the token once more.
        async with connect(f"{connect_to['wsUrl']}&token={connect_to['token']}") as socket:
            await check(socket)
    assert bodies[-1] == {"guest": "Ada"}
