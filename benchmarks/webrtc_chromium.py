"""How Chromium hears a bot, by its own `getStats`, during calls of the real page.

    python benchmarks/webrtc_chromium.py --calls 6 [--lead 0]

`--lead` sets how many packets of silence leave with the first one (`outbound.LEAD_PACKETS`).
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browsing import FLAGS, MICROPHONE, botrun, microphone_file  # noqa: E402

NOTE_PEERS = """(() => {
  const Peer = RTCPeerConnection;
  window.peers = [];
  window.RTCPeerConnection = class extends Peer {
    constructor(...args) { super(...args); window.peers.push(this); }
  };
})()"""
READ = """async () => {
  const report = await window.peers.at(-1).getStats();
  return [...report.values()].find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
}"""
BOT = """
import os, sys
sys.path.insert(0, {bots!r})
from echo_bot import bot
from runner.transports.webrtc.outbound import OutboundRtp
if lead := os.environ.get("LEAD"):
    OutboundRtp.__init__.__defaults__ = (int(lead),)
"""


async def call(playwright: Any, address: str, sound: Path, secs: float) -> dict[str, float]:
    recording = f"--use-file-for-fake-audio-capture={sound}%noloop"
    browser = await playwright.chromium.launch(
        executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=[*FLAGS, *MICROPHONE, recording]
    )
    try:
        page = await (await browser.new_context(permissions=["microphone"])).new_page()
        await page.add_init_script(NOTE_PEERS)
        await page.goto(address)
        await asyncio.sleep(1)
        await page.click("#orb")
        await asyncio.sleep(secs)
        found: dict[str, float] = await page.evaluate(READ)
        return found
    finally:
        await browser.close()


async def measure(calls: int, secs: float, lead: int | None) -> None:
    from playwright.async_api import async_playwright

    with tempfile.TemporaryDirectory() as folder:
        sound = microphone_file(Path(folder) / "microphone.wav", 2.0)
        bot = Path(folder) / "lead_bot.py"
        bot.write_text(BOT.format(bots=str(ROOT / "bots")))
        environment = {} if lead is None else {"LEAD": str(lead)}
        async with async_playwright() as playwright:
            with botrun(bot, **environment) as address:
                for _ in range(calls):
                    print(row(await call(playwright, address, sound, secs)), flush=True)


def row(found: dict[str, float]) -> str:
    held_ms = 1000 * found["jitterBufferDelay"] / found["jitterBufferEmittedCount"]
    return (
        f"{found['packetsReceived']:.0f} packets, {found['packetsLost']:.0f} lost; "
        f"{found['concealmentEvents']:.0f} concealed, {found['concealedSamples'] / 48:.1f} ms; "
        f"held {held_ms:.1f} ms"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=6)
    parser.add_argument("--secs", type=float, default=8.0)
    parser.add_argument("--lead", type=int)
    asked = parser.parse_args()
    asyncio.run(measure(asked.calls, asked.secs, asked.lead))
