"""A call of this machine's phone, while its bot is edited."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from saving import Saved, saving

from runner.callers.call import new_wire
from runner.callers.connections import SideChannel, dial_network
from runner.callers.phone import Phone
from runner.callers.wires import Wire

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


class Spoken:
    """What the bot says, in words, over all its codes."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def take(self, kind: str, data: dict[str, Any]) -> None:
        if kind in ("bot-llm-text", "bot-tts-text"):
            self.words.append(str(data.get("text")))

    @property
    def text(self) -> str:
        return " ".join(self.words)


async def test_the_phone_moves_with_its_conversation(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "twilio") as saved:
        await talk_through_edits(saved)
        await saved.until("has gone")
        assert re.findall("the client of .* has gone", saved.output) == ["the client of version 2 has gone"]


async def talk_through_edits(saved: Saved) -> None:
    result, url = Spoken(), f"ws://127.0.0.1:{saved.port}/ws"
    wire = new_wire("twilio")
    async with Phone(url, wire, connect=lambda url: dial_network(url, waits=True)) as phone:
        side = SideChannel(url, wire.facts.call_id, result.take)
        following = asyncio.create_task(side.run())
        await eventually(phone.bot_has_spoken, what="the greeting was heard")
        await eventually(lambda: phone.bot_quiet_s() > 0.3, what="the greeting is over")
        for version in (1, 2):
            wire = phone.wire
            saved.edit(f"version {version - 1}", f"version {version}")
            await saved.reloaded(version)
            await say(phone, wire, side, result, f"turn{version}", f"version {version}")
        assert "turn1 turn2" in result.text
        wire = phone.wire
        saved.edit("    # here a test makes it fail", "    raise RuntimeError('no voice')")
        await saved.until("no voice")
        assert not phone.ended.is_set()
        saved.edit("    raise RuntimeError('no voice')", "    # here a test makes it fail")
        await saved.reloaded(4)
        await eventually(lambda: phone.wire is not wire, what="the call has moved")
        await say(phone, wire, side, result, "turn3", "turn1 turn2 turn3")
        assert result.text.count("Greetings") <= 1
        assert phone.log.violations == []
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def say(phone: Phone, wire: Wire, side: SideChannel, spoken: Spoken, text: str, answer: str) -> None:
    """Typed beside the wire, once the call has moved."""
    data = {"content": text, "options": {"run_immediately": True, "audio_response": True}}
    await eventually(lambda: side.live and phone.wire is not wire, what="the call has moved")
    assert await side.send("send-text", data)
    await eventually(lambda: answer in spoken.text, what=f"{answer} in {spoken.text}")
