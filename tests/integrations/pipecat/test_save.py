"""An unchanged bot is edited during a call: the conversation stays, the new prompt is in force."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from conftest import serving
from eventually import eventually

from runner.callers.call import new_wire
from runner.callers.connections import SideChannel, dial_network
from runner.callers.phone import Phone

pytestmark = [pytest.mark.realtime, pytest.mark.needs_pipecat, pytest.mark.timeout(400)]

READY_S = 90.0


class Call:
    """A call of this machine's phone, and what the bot says in it."""

    def __init__(self, phone: Phone, side: SideChannel) -> None:
        self.phone = phone
        self._side = side

    async def ask(self, text: str, answer: str, said: list[str]) -> None:
        """Type something; the bot must answer that."""
        data = {"content": text, "options": {"run_immediately": True, "audio_response": True}}
        await eventually(lambda: self._side.live, READY_S, what="the application is attached")
        assert await self._side.send("send-text", data)
        await eventually(lambda: answer in " ".join(said), READY_S, what=lambda: f"{answer} in {said}")

    async def moved(self, before: Any) -> None:
        await eventually(lambda: self.phone.wire is not before, READY_S, what="the call has moved")


async def test_three_saves_in_one_call(tmp_path: Path) -> None:
    said: list[str] = []

    def take(kind: str, data: dict[str, Any]) -> None:
        if kind == "bot-llm-text":
            said.append(str(data.get("text")).strip())

    async with serving(tmp_path, "talk_bot.py", "-t", "twilio") as run:
        url, wire = f"ws://127.0.0.1:{run.port}/ws", new_wire("twilio")
        async with Phone(url, wire, connect=lambda url: dial_network(url, waits=True)) as phone:
            side = SideChannel(url, wire.facts.call_id, take)
            following = asyncio.create_task(side.run())
            call = Call(phone, side)
            await eventually(phone.bot_has_spoken, READY_S, what="the greeting was heard")
            await call.ask("my name is Ada", "Polly heard 1: my name is Ada.", said)

            for number, (old, new) in enumerate((("Polly", "Parry"), ("Parry", "Petra")), 1):
                wire = phone.wire
                run.edit(f"{old} is a parrot", f"{new} is a parrot")
                await run.reloaded(number)
                await call.moved(wire)
                answer = f"{new} heard {number + 1}: question {number}."
                await call.ask(f"question {number}", answer, said)

            wire = phone.wire
            run.edit("    context = LLMContext(", "    context = LLMContexts(")
            await run.until("LLMContexts")
            await run.until(r"talk_bot.py:\d+")
            assert not phone.ended.is_set()
            run.edit("    context = LLMContexts(", "    context = LLMContext(")
            await run.reloaded(4)
            await call.moved(wire)
            await call.ask("still there", "Petra heard 4: still there.", said)
            assert " ".join(said).count("greets") == 1
            assert "Client disconnected" not in run.output
            assert phone.log.violations == []
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def test_code_that_cannot_be_loaded_leaves_the_old_one_in_place(tmp_path: Path, spoken: Path) -> None:
    from conftest import ring

    async with serving(tmp_path, "talk_bot.py", "-t", "twilio") as run:
        run.edit("from loguru import logger", "from loguru import loggers")
        await run.until(r"talk_bot.py:\d+.*loggers")
        report = await ring(run, "twilio", "--wav", str(spoken))
        assert len(report["turn_latencies_ms"]) == 1, run.output
