"""A real browser as the peer, with and without a network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from test_webrtc_endpoint import EchoBot

pytestmark = pytest.mark.realtime

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]

# With the permission for a microphone, and on a machine that has nothing but loopback, Chromium finds no
# address at all unless this flag is given.
LOOPBACK_FLAG = "--allow-loopback-in-peer-connection"

CALL = """async ([withMicrophone, usedtx]) => {
  const peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });
  const stream = withMicrophone ? await navigator.mediaDevices.getUserMedia({ audio: true }) : null;
  peer.addTransceiver(stream ? stream.getAudioTracks()[0] : "audio", { direction: "sendrecv" });
  peer.addTransceiver("video", { direction: "sendrecv" });
  peer.ontrack = ({ track }) => {
    const audio = (window.audio = new Audio());
    audio.srcObject = new MediaStream([track]);
    audio.play().catch(() => {});
  };
  const channel = peer.createDataChannel("chat");
  const message = new Promise((done) => (channel.onmessage = (event) => done(event.data)));
  channel.onopen = () => channel.send(JSON.stringify({ hello: 1 }));
  await peer.setLocalDescription(await peer.createOffer());
  const { sdp, type } = peer.localDescription;
  const headers = { "Content-Type": "application/json" };
  const asked = usedtx ? sdp.replaceAll("useinbandfec=1", "useinbandfec=1;usedtx=1") : sdp;
  const body = JSON.stringify({ sdp: asked, type });
  const answer = await (await fetch("/api/offer", { method: "POST", headers, body })).json();
  await peer.setRemoteDescription(answer);
  const echo = JSON.parse(await message);
  await new Promise((done) => setTimeout(done, 1500));
  const stats = [...(await peer.getStats()).values()];
  const inbound = stats.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
  peer.close();
  const { packetsReceived, packetsLost, totalAudioEnergy } = inbound;
  const codec = stats.find((entry) => entry.id === inbound.codecId);
  return {
    echo, packets: packetsReceived, lost: packetsLost, energy: totalAudioEnergy, format: codec.sdpFmtpLine,
    concealed: inbound.concealedSamples, made: inbound.totalSamplesReceived, delay: inbound.jitterBufferDelay,
    emitted: inbound.jitterBufferEmittedCount,
  };
}"""


async def talk(url: str, chromium: str, microphone: bool, usedtx: bool = False) -> dict[str, Any]:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, LOOPBACK_FLAG])
        try:
            page = await browser.new_page()
            await page.goto(url)
            found: dict[str, Any] = await page.evaluate(CALL, [microphone, usedtx])
            return found
        finally:
            await browser.close()


@pytest.mark.browser
@pytest.mark.parametrize("microphone", [True, False])
async def test_chromium_talks_with_an_echo_bot(serve: Any, chromium: str, microphone: bool) -> None:
    bot = EchoBot()
    async with serve(bot) as served:
        found = await talk(served.url, chromium, microphone)
    assert found["echo"] == {"echo": {"hello": 1}}
    assert found["packets"] > 50
    assert found["lost"] == 0
    assert (found["energy"] > 0.01) is microphone
    assert bot.events[:2] == ["connected", {"hello": 1}]
    assert "useinbandfec=1" in found["format"]
    assert found["delay"] > 0
    # None once the call stands (`benchmarks/README.md`); a loaded machine may stall for a moment.
    assert found["concealed"] <= 0.05 * found["made"]


@pytest.mark.browser
async def test_a_silent_bot_pauses_for_a_chromium_that_wants_it_so(serve: Any, chromium: str) -> None:
    async with serve(EchoBot()) as served:
        found = await talk(served.url, chromium, False, usedtx=True)
    assert found["packets"] < 40
    assert found["lost"] == 0


@pytest.mark.browser
@pytest.mark.root
def test_chromium_talks_with_an_echo_bot_without_any_network() -> None:
    name = "test_chromium_talks_with_an_echo_bot"
    inner = (
        f"{sys.executable} -m pytest -q --realtime -p no:cacheprovider {Path(__file__)} -k '{name} and True'"
    )
    sealed = ["unshare", "-n", "sh", "-c", f"ip link set lo up && exec {inner}"]
    done = subprocess.run(sealed, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
