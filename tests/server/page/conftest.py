"""A headless Chromium whose microphone plays a file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, MICROPHONE, Visit

Open = Callable[..., Any]


@pytest.fixture
async def visit(chromium: str) -> AsyncIterator[Open]:
    """`await visit(address, microphone=file or None, **context)` opens the page."""
    from playwright.async_api import async_playwright

    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())

        async def open_page(
            address: str, *, microphone: Path | None = None, init: str = "", **context: Any
        ) -> Visit:
            sound = (
                [*MICROPHONE, f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
            )
            browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *sound])
            stack.push_async_callback(browser.close)
            allowed = ["microphone"] if microphone else []
            page = await (await browser.new_context(permissions=allowed, **context)).new_page()
            opened = Visit(page)
            if init:
                await page.add_init_script(init)
            await page.goto(address)
            await opened.until("window.botrun !== undefined")
            return opened

        yield open_page
