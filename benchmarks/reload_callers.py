"""Who talks to the bot while `reload.py` saves it: the page in a browser, or this machine's phone.

Each types a turn as soon as the new code answers, and says when the bot speaks (RTVI's bot-started-speaking).
The page is in headless Chromium (playwright); both are on this machine, so that the line costs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Protocol

sys.path.append(str(Path(__file__).parents[1] / "tests" / "support"))

TURN = "what time is it"
SPEAKS, STOPS, READY = "bot-started-speaking", "bot-stopped-speaking", "bot-ready"
LOOK_S, LONGEST_S, QUIET_S = 0.01, 30.0, 0.6


class Caller(Protocol):
    async def quiet(self) -> None:
        """Returns when the bot has said what it had to say."""

    async def turn(self) -> tuple[float, float]:
        """Types, where the call has moved to. When it had moved, and when the bot spoke (`perf_counter`)."""


@contextlib.asynccontextmanager
async def page_caller(address: str) -> AsyncIterator[Caller]:
    from browsing import FLAGS, Visit
    from playwright.async_api import async_playwright

    found = next(path for name in ("chromium", "google-chrome") if (path := shutil.which(name)))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=FLAGS)
        visit = Visit(await browser.new_page())
        await visit.page.goto(address)
        await visit.until("window.botrun !== undefined")
        caller = Page(visit)
        await visit.page.fill("#text", TURN)  # which calls the bot
        await visit.page.keyboard.press("Enter")
        try:
            yield caller
        finally:
            await browser.close()


class Page:
    """What came when is asked on the page's own clock: it keeps the last thousand messages only."""

    def __init__(self, visit: Any) -> None:
        self._visit = visit
        self._since = 0.0

    async def _came(self, kind: str, since: float = 0.0) -> float:
        """When the last of these came (ms on the page's clock); 0 if none did since then."""
        words = f"botrun.messages.findLast((m) => m.type === '{kind}' && m.at >= {since})?.at ?? 0"
        return float(await self._visit.page.evaluate(words))

    async def quiet(self) -> None:
        await until_true(self._silent)
        self._since = float(await self._visit.page.evaluate("performance.now()"))

    async def _silent(self) -> bool:
        spoke, stopped = await self._came(SPEAKS), await self._came(STOPS)
        now = float(await self._visit.page.evaluate("performance.now()"))
        return stopped > spoke and now - stopped > 1000 * QUIET_S

    async def turn(self) -> tuple[float, float]:
        since = self._since
        await self._visit.page.fill("#text", TURN)
        await self._visit.page.keyboard.press("Enter")
        await until_true(lambda: self._came(SPEAKS, since))
        offset = time.perf_counter() - float(await self._visit.page.evaluate("performance.now()")) / 1000
        moved, spoke = await self._came(READY, since), await self._came(SPEAKS, since)
        return offset + moved / 1000, offset + spoke / 1000


@contextlib.asynccontextmanager
async def phone_caller(address: str) -> AsyncIterator[Caller]:
    from runner.callers.call import new_wire
    from runner.callers.connections import SideChannel, dial_network
    from runner.callers.phone import Phone

    url, wire = address.replace("http:", "ws:") + "/ws", new_wire("twilio")
    async with Phone(url, wire, connect=lambda url: dial_network(url, waits=True)) as phone:
        told: Counter[str] = Counter()
        side = SideChannel(url, wire.facts.call_id, lambda kind, data: told.update([kind]))
        following = asyncio.create_task(side.run())
        caller = LocalPhone(phone, side, told)
        try:
            await caller.until(lambda: phone.bot_has_spoken() and side.live)
            yield caller
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


class LocalPhone:
    def __init__(self, phone: Any, side: Any, told: Counter[str]) -> None:
        self._phone = phone
        self._side = side
        self._told = told
        self._ends = 0
        self._wire = phone.wire

    async def until(self, met: Callable[[], bool]) -> None:
        async def ask() -> bool:
            return met()

        await until_true(ask)

    async def quiet(self) -> None:
        # What the bot has begun to say may not have come to the ear yet.
        await self.until(lambda: self._told[STOPS] >= self._ends and self._phone.bot_quiet_s() > QUIET_S)
        self._wire = self._phone.wire

    async def turn(self) -> tuple[float, float]:
        before = self._told[SPEAKS]
        await self.until(lambda: self._phone.wire is not self._wire and self._side.live)
        moved = time.perf_counter()
        options = {"run_immediately": True, "audio_response": True}
        await self._side.send("send-text", {"content": TURN, "options": options})
        await self.until(lambda: self._told[SPEAKS] > before)
        self._ends = self._told[STOPS] + 1
        return moved, time.perf_counter()


async def until_true(met: Callable[[], Any]) -> None:
    async with asyncio.timeout(LONGEST_S):
        while not await met():
            await asyncio.sleep(LOOK_S)
