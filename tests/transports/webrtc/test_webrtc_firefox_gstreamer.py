"""Debian's Firefox and GStreamer as the peer: real calls, over loopback."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx2
import pytest
from bidi import firefox
from test_webrtc_chromium import CALL
from test_webrtc_endpoint import EchoBot

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(150)]

GSTREAMER_CALLER = Path(__file__).parents[2] / "support" / "gstreamer_caller.py"
PREFS = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.peerconnection.ice.loopback": True,
    "media.peerconnection.ice.obfuscate_host_addresses": False,
    "media.autoplay.default": 0,
    # Nothing of the browser's own leaves the machine.
    "app.update.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage": "about:blank",
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.proxy.type": 0,
    "services.settings.server": "http://127.0.0.1:1/",
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.server": "",
}


@pytest.mark.firefox
@pytest.mark.parametrize("microphone", [True, False])
async def test_firefox_talks_with_an_echo_bot(serve: Any, microphone: bool, tmp_path: Path) -> None:
    bot, program = EchoBot(), shutil.which("firefox-esr") or shutil.which("firefox")
    assert program is not None
    async with serve(bot) as served, firefox(program, tmp_path, PREFS) as browser:
        found = await browser.run(served.url, CALL, [microphone, False])
    assert found["echo"] == {"echo": {"hello": 1}}
    assert found["packets"] > 50
    assert found["lost"] == 0
    assert (found["energy"] > 0.01) is microphone
    assert bot.events[:2] == ["connected", {"hello": 1}]


@pytest.mark.gstreamer
async def test_gstreamer_talks_with_an_echo_bot(serve: Any) -> None:
    bot = EchoBot()
    caller = await asyncio.create_subprocess_exec(
        "/usr/bin/python3",  # which has GStreamer's bindings
        str(GSTREAMER_CALLER),
        "4",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    assert caller.stdin is not None
    assert caller.stdout is not None
    try:
        async with serve(bot) as served, asyncio.timeout(60):
            offer = json.loads(await caller.stdout.readline())
            async with httpx2.AsyncClient(trust_env=False) as http:
                response = await http.post(f"{served.url}/api/offer", json=offer)
            assert response.status_code == 200, response.text
            caller.stdin.write(json.dumps(response.json()).encode() + b"\n")
            found = json.loads(await caller.stdout.readline())
            await caller.wait()
    finally:
        if caller.returncode is None:
            caller.kill()
            await caller.wait()
    assert found.get("state") == "connected", found
    assert found["packets"] > 100
    assert found["peak"] > 0.1
    assert [json.loads(text) for text in found["messages"]].count({"echo": {"hello": 1}}) == 1
    assert bot.events[:2] == ["connected", {"hello": 1}]
