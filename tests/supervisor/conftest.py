"""The page's browser, for the reload tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from browsing import FLAGS, Visit


@pytest.fixture
async def page_of(chromium: str) -> AsyncIterator[Any]:
    """`await page_of(address)` opens the page."""
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)

        async def open_page(address: str) -> Visit:
            opened = Visit(await browser.new_page())
            await opened.page.goto(address)
            await opened.until("window.botrun !== undefined")
            return opened

        yield open_page
        await browser.close()
