"""What the page's tests share: a botrun of their own, recordings as microphones, an open page."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ASSETS = Path(__file__).parents[1] / "assets" / "page"
BOTS = Path(__file__).parents[2] / "bots"
MIC_RATE = 16000

# Nothing of Chromium's own may reach out, and nobody is there to click on "allow".
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]
MICROPHONE = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]


@contextmanager
def botrun(
    bot: Path,
    goodbye: signal.Signals = signal.SIGINT,
    inside: str | None = None,
    folder: Path | None = None,
    **environment: str,
) -> Iterator[str]:
    """Runs `botrun` for the length of the block, in a network namespace if named, and in this working
    directory; gives its address."""
    prefix = ["ip", "netns", "exec", inside] if inside else []
    main = "from runner.cli import main; raise SystemExit(main())"
    process = subprocess.Popen(
        [*prefix, sys.executable, "-u", "-c", main, str(bot), "--no-open"],
        env={**os.environ, "BOTRUN_PORT": "0", "BOTRUN_RELOAD": "0", **environment},
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    try:
        yield _address(process)
    finally:
        process.send_signal(goodbye)
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"talk\s+(http://\S+)", line)
        if found:
            return found[1].rstrip("/")
    raise AssertionError("botrun printed no address")


def microphone_file(path: Path, *parts: float | str) -> Path:
    """A recording of silences (s) and utterances (names of assets), to be played once."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MIC_RATE)
        for part in parts:
            if isinstance(part, str):
                with wave.open(str(ASSETS / f"{part}.wav")) as utterance:
                    file.writeframes(utterance.readframes(utterance.getnframes()))
            else:
                file.writeframes(bytes(2 * round(part * MIC_RATE)))
    return path


class Visit:
    """A page that is open on a botrun, and what was noticed about it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.hosts: set[str] = set()
        self.faults: list[str] = []
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda message: message.type == "error" and self.faults.append(message.text))

    async def until(self, condition: str, timeout_s: float = 15) -> None:
        """Looks every 50 ms; playwright's own waiting evaluates a text, which the page's policy forbids."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if await self.page.evaluate(f"Boolean({condition})"):
                return
            await asyncio.sleep(0.05)
        seen = await self.page.evaluate("[window.botrun?.state, document.body.innerText]")
        raise AssertionError(f"never came to be: {condition}; the page: {seen} {self.faults}")

    async def figures(self) -> dict[str, float]:
        found: dict[str, float] = await self.page.evaluate("botrun.figures")
        return found

    async def texts(self, selector: str) -> list[str]:
        return [text.strip() for text in await self.page.locator(selector).all_inner_texts()]
