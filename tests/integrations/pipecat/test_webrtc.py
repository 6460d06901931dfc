"""An unchanged bot for the browser, over botrun's media path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from conftest import serving
from eventually import eventually
from picture_caller import PictureCaller, Scene

from runner.callers.webrtc import WebRTCCaller

pytestmark = [pytest.mark.realtime, pytest.mark.needs_pipecat, pytest.mark.timeout(240)]

RED, OTHER = (250, 20, 20), (5, 235, 235)
TONE_HZ = 440


def peak_hz(pcm: bytes, sample_rate: int = 16000) -> float:
    """The strongest frequency of the loudest half second."""
    samples, size = np.frombuffer(pcm, np.int16).astype(float), sample_rate // 2
    windows = [samples[i : i + size] for i in range(0, len(samples) - size, size // 4)]
    loudest = max(windows, key=lambda window: float((window**2).sum()))
    return float(np.abs(np.fft.rfft(loudest)).argmax() * sample_rate / size)


async def test_sound_of_any_rate_pictures_messages_routes_and_arguments(tmp_path: Path) -> None:
    typed = "These are words of about fifty characters that were typed"
    async with serving(tmp_path, "vision_bot.py", "-t", "webrtc", "--", "--greeting", typed) as run:
        messages: list[str] = []
        async with (
            httpx2.AsyncClient(trust_env=False, timeout=20) as http,
            PictureCaller(run.address, Scene((160, 120), 10, RED)) as first,
            PictureCaller(run.address, Scene((160, 120), 10, RED)) as second,
        ):
            first._channel.on("message", messages.append)
            for caller in (first, second):
                await eventually(lambda caller=caller: len(caller.seen) > 3, 60, what="the bot's picture")
                colour = caller.seen[-1][1].to_ndarray(format="rgb24")[60, 80]
                assert np.abs(colour.astype(int) - OTHER).max() < 20
            assert peak_hz(b"".join(pcm for _, pcm in first.heard)) == pytest.approx(TONE_HZ, abs=10)
            first._channel.send(json.dumps({"hello": 1}))
            await eventually(lambda: '{"echo": {"hello": 1}}' in messages, 20, what="the app message")
            assert any(typed in message for message in messages)
            counted = (await http.get(f"{run.address}/pictures/seen")).json()
            assert counted["seen"] > 6
        await run.until(r"ended after .* the caller left", 2)


def rtvi(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "id": "1", "data": data}


async def test_a_save_moves_the_browsers_call_with_its_conversation(tmp_path: Path) -> None:
    ready = rtvi("client-ready", {"version": "2.0.0", "about": {"library": "test", "library_version": "1"}})
    async with serving(tmp_path, "talk_bot.py", "-t", "webrtc") as run, WebRTCCaller(run.address) as caller:

        def said() -> str:
            texts = (
                m.value["data"]["text"] for m in caller.messages if m.value.get("type") == "bot-llm-text"
            )
            return "".join(texts)

        async def ask(text: str, answer: str) -> None:
            options = {"run_immediately": True, "audio_response": True}
            caller.send_message(rtvi("send-text", {"content": text, "options": options}))
            await eventually(lambda: answer in said(), 60, what=lambda: f"{answer} in {said()}")

        caller.send_message(ready)
        await eventually(lambda: "Polly greets." in said(), 60, what="the greeting")
        await ask("my name is Ada", "Polly heard 1: my name is Ada.")
        for number, (old, new) in enumerate((("Polly", "Parry"), ("Parry", "Petra"), ("Petra", "Pablo")), 1):
            run.edit(f"{old} is a parrot", f"{new} is a parrot")
            await run.reloaded(number)
            await eventually(lambda number=number: caller.moved == number, 60, what="the call has moved")
            caller.send_message(ready)
            await ask(f"question {number}", f"{new} heard {number + 1}: question {number}.")
        assert said().count("greets") == 1
        assert not caller.ended.is_set()
