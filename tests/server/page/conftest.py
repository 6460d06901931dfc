"""A headless Chromium for all tests without a microphone, and one for each whose microphone plays a file."""

from __future__ import annotations

import re
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from browsing import FLAGS, MICROPHONE, Visit

Open = Callable[..., Any]
READY = "window.botrun !== undefined"


@pytest.fixture(scope="session")
def silent_chromium(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a browser without a microphone; it starts once."""
    profile = f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"
    command = [chromium, *FLAGS, profile, "--remote-debugging-port=0", "about:blank"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            lines = (re.search(r"DevTools listening on (\S+)", line) for line in process.stderr)
            yield next(found[1] for found in lines if found)
        finally:
            process.terminate()
            process.stderr.read()  # else it may wait for a reader


@pytest.fixture
async def visit(chromium: str, silent_chromium: str) -> AsyncIterator[Open]:
    """`await visit(address, microphone=file or None, **context)` opens the page."""
    from playwright.async_api import async_playwright

    async with AsyncExitStack() as stack:
        playwright = await stack.enter_async_context(async_playwright())

        async def open_page(
            address: str,
            *,
            microphone: Path | None = None,
            init: str = "",
            ready: str = READY,
            **context: Any,
        ) -> Visit:
            if microphone:
                sound = [*MICROPHONE, f"--use-file-for-fake-audio-capture={microphone}%noloop"]
                browser = await playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *sound])
            else:
                browser = await playwright.chromium.connect_over_cdp(silent_chromium)
            stack.push_async_callback(browser.close)
            allowed = ["microphone"] if microphone else []
            page = await (await browser.new_context(permissions=allowed, **context)).new_page()
            opened = Visit(page)
            if init:
                await page.add_init_script(init)
            await page.goto(address)
            await opened.until(ready)
            return opened

        yield open_page
