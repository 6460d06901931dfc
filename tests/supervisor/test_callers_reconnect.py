"""botrun's own callers move to new code as the page does; over TLS as well."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from eventually import eventually
from saving import saving

from runner.callers.call import new_wire
from runner.callers.load.server import pid_of
from runner.callers.load.websocket_line import PhoneLine
from runner.callers.phone import Phone
from runner.callers.webrtc import WebRTCCaller
from runner.callers.wires.base import PlainWire
from runner.errors import TransportError

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def rtvi(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"label": "rtvi-ai", "type": kind, "id": kind, "data": data}


HELLO = rtvi("client-ready", {"version": "1.2.0"})


def typed(text: str) -> dict[str, Any]:
    return rtvi("send-text", {"content": text, "options": {"run_immediately": True, "audio_response": True}})


async def test_the_webrtc_caller_moves_with_its_conversation_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    more = ("-t", "webrtc", "--https", "--host", "127.0.0.1")
    async with saving(tmp_path, *more, BOTRUN_STATE_DIR=str(state)) as saved:
        found = re.search(r"talk\s+(https://127\.0\.0\.1:\d+)/", saved.output)
        assert found, saved.output
        with pytest.raises(TransportError, match="CERTIFICATE_VERIFY_FAILED"):
            async with WebRTCCaller(found[1]):
                pass
        monkeypatch.setenv("BOTRUN_STATE_DIR", str(state))
        async with WebRTCCaller(found[1]) as caller:
            caller.send_message(HELLO)
            await eventually(lambda: len(caller.pcm_heard()) > 0)
            session, before = caller.session_id, caller.pc_id
            for version in (1, 2):
                saved.edit(f"version {version - 1}", f"version {version}")
                await saved.reloaded(version)
                caller.send_message(typed(f"turn{version}"))
                await eventually(lambda: caller.moved == version)  # noqa: B023
                caller.send_message(HELLO)
                await caller.wait_for(lambda messages: f"version {version}, heard" in said(messages), 20)  # noqa: B023
            assert caller.session_id == session
            assert caller.pc_id != before
            words = " ".join(said(message.value) for message in caller.messages)
            assert "version 2, heard turn1 turn2." in words
            assert words.count("Greetings") <= 1


def said(message: Any) -> str:
    return str(message["data"].get("text", "")) if message.get("type") == "bot-llm-text" else ""


async def test_a_plain_client_moves_by_its_token(tmp_path: Path) -> None:
    async with saving(tmp_path, "-t", "websocket") as saved:
        wire = new_wire("websocket")
        assert isinstance(wire, PlainWire)
        url = f"ws://127.0.0.1:{saved.port}/ws-client?{wire.query}"
        async with Phone(url, wire, keep_messages=True) as phone:
            await eventually(phone.bot_has_spoken)
            saved.edit("version 0", "version 1")
            await saved.reloaded(1)
            await eventually(lambda: phone.wire is not wire)
            for message in (HELLO, typed("turn1")):
                await phone._send(json.dumps(message))
            await eventually(lambda: any("version 1, heard turn1." in one.text for one in phone.log.messages))
            assert sum("Greetings" in one.text for one in phone.log.messages if not one.to_bot) <= 1
            assert phone.log.violations == []


async def test_loads_callers_ring_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOTRUN_STATE_DIR", str(tmp_path))
    more = ("-t", "twilio", "--https", "--host", "127.0.0.1", "--no-reload")
    async with saving(tmp_path, *more) as saved:
        address = r"talk\s+https://(127\.0\.0\.1:\d+)/"
        await saved.until(address)
        found = re.search(address, saved.output)
        assert found
        assert await asyncio.to_thread(pid_of, f"wss://{found[1]}/ws") == saved.process.pid
        line = PhoneLine(f"wss://{found[1]}/ws", "twilio", 1)
        await line.open()
        await eventually(lambda: line.received > 0)
        await line.hang_up()
