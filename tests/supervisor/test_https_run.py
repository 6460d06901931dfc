"""A run over TLS: who trusts its certificate and knows its key comes in, before a save and after."""

from __future__ import annotations

import asyncio
import re
import ssl
from pathlib import Path

import httpx2
import pytest
from eventually import eventually
from saving import saving
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from runner.callers.call import new_wire
from runner.callers.connections import SideChannel, dial_network
from runner.callers.phone import Phone

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


async def test_the_page_and_calls_come_over_tls_with_the_key_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    more = ("-t", "twilio", "--https", "--host", "127.0.0.1")
    async with saving(tmp_path, *more, BOTRUN_STATE_DIR=str(state)) as saved:
        found = re.search(r"talk\s+(https://127\.0\.0\.1:(\d+))/\?key=(\S+)", saved.output)
        assert found, saved.output
        base, port, key = found.groups()
        assert (state / f"dial-{port}.key").read_text() == key
        trusting = ssl.create_default_context(cafile=str(state / "https.pem"))
        socket = f"wss://127.0.0.1:{port}/ws"
        async with httpx2.AsyncClient(verify=trusting, base_url=base, trust_env=False) as http:
            for path in ("/", "/status", "/metrics"):
                assert (await http.get(path)).status_code == 401
            with pytest.raises(InvalidStatus):
                await connect(socket, ssl=trusting, proxy=None)
            saved.edit("version 0", "version 1")
            await saved.reloaded(1)
            welcome = await http.get("/", params={"key": key})
            assert (welcome.status_code, welcome.headers["location"]) == (303, "/")
            assert "Secure" in welcome.headers["set-cookie"]
            assert (await http.get("/")).status_code == 200
        monkeypatch.setenv("BOTRUN_STATE_DIR", str(state))
        wire, result = new_wire("twilio"), []
        async with Phone(socket, wire, connect=dial_network) as phone:
            side = SideChannel(socket, wire.facts.call_id, lambda kind, data: result.append(kind))
            following = asyncio.create_task(side.run())
            await eventually(lambda: phone.bot_has_spoken() and result)
            following.cancel()
        async with httpx2.AsyncClient(base_url=base, trust_env=False) as stranger:
            with pytest.raises(httpx2.ConnectError):
                await stranger.get("/status")
    assert not list(state.glob("*.key"))
