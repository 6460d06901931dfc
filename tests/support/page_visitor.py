"""Opens the page of the address given, calls, and tells (one JSON object a line) when it connects; at the
second time it also tells whether the bot is still heard, and ends."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from browsing import FLAGS, MICROPHONE, Visit
from eventually import eventually

NOTE_STATES = """window.states = [];
setInterval(() => {
  const state = window.botrun?.state;
  if (state && state !== window.states.at(-1)) window.states.push(state);
}, 20);"""
SESSIONS = "fetch('/status').then((answer) => answer.json()).then(({ sessions }) => sessions)"
HEARD = """window.peers.at(-1).getStats().then((report) =>
  [...report.values()].find((entry) => entry.type === "inbound-rtp"))"""
KEEP_PEERS = """(() => { const Peer = RTCPeerConnection; window.peers = [];
window.RTCPeerConnection = class extends Peer {
  constructor(...args) { super(...args); window.peers.push(this); }
};
})();"""


def tell(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


async def visit(address: str, chromium: str) -> None:
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        flags = [*FLAGS, *MICROPHONE, f"--unsafely-treat-insecure-origin-as-secure={address}"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            page = await (await browser.new_context(permissions=["microphone"])).new_page()
            here = Visit(page)
            await page.add_init_script(KEEP_PEERS + NOTE_STATES)
            await page.goto(address)
            await here.until("window.botrun !== undefined")
            await page.click("#orb")
            await here.until("botrun.state === 'connected' && botrun.ready")
            tell(sessions=await page.evaluate(SESSIONS))
            await here.until("states.includes('reconnecting') && botrun.state === 'connected'", 40)
            # The new connection stands before its first packet of sound is there.
            before = await eventually(lambda: page.evaluate(HEARD))

            async def more_is_heard() -> Any:
                heard = await page.evaluate(HEARD)
                return heard if heard["packetsReceived"] - before["packetsReceived"] > 20 else None

            after = await eventually(more_is_heard)
            tell(
                states=await page.evaluate("window.states"),
                sessions=await page.evaluate(SESSIONS),
                packets=after["packetsReceived"] - before["packetsReceived"],
            )
        finally:
            await browser.close()


if __name__ == "__main__":
    asyncio.run(visit(sys.argv[1], sys.argv[2]))
