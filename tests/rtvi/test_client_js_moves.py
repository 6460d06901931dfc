"""Pipecat's published client goes on with new code, as it is: a save during its call."""

from __future__ import annotations

from pathlib import Path

import pytest
from saving import saving
from test_client_js import READY, Open, bundle, events, microphone, open_at  # noqa: F401

pytestmark = [pytest.mark.processes, pytest.mark.browser, pytest.mark.client_js, pytest.mark.timeout(120)]


async def test_its_call_moves_to_what_was_saved(open_at: Open, tmp_path: Path) -> None:  # noqa: F811
    async with saving(tmp_path, "-t", "webrtc") as saved:
        guest = await open_at(saved.address, True)
        await guest.page.click("#connect")
        await guest.until(READY)
        turns: list[str] = []

        async def turn(version: int) -> None:
            turns.append(f"turn{len(turns)}")
            await guest.page.evaluate(f"client.sendText('{turns[-1]}')")
            answer = f"version {version}, heard {' '.join(turns)}."
            await guest.until(f"document.querySelector('section').innerText.includes('{answer}')")

        await turn(0)
        for version in (1, 2):
            saved.edit(f"version {version - 1}", f"version {version}")
            await saved.until(r"session \S+ started", version + 1)
            await guest.until("client.transport.dc.readyState === 'open'")
            await turn(version)
        await guest.until("document.querySelector('#state').innerText === 'ready'")
        kinds = {kind for kind, _ in await events(guest)}
        assert not kinds & {"disconnected", "botDisconnected", "error"}
        assert "has gone" not in saved.output
        # 503 makes it come again; candidates that it sends late, under its old id, find nobody (404, 410).
        assert all(any(status in fault for status in ("503", "404", "410")) for fault in guest.faults)
