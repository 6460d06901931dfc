"""A little of WebDriver BiDi (w3c.github.io/webdriver-bidi): it runs a script in a page of Firefox."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

READY = b"WebDriver BiDi listening on "


class BiDi:
    """One browser with one page."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def ask(self, method: str, **params: Any) -> Any:
        number = next(self._ids)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        async for text in self._socket:
            message = json.loads(text)
            if message.get("id") == number:
                if message["type"] == "error":
                    raise RuntimeError(f"{method}: {message['error']}: {message['message']}")
                return message["result"]
        raise RuntimeError(f"{method}: the browser has closed the connection")

    async def run(self, url: str, function: str, argument: Any) -> Any:
        """Open a page, call this JavaScript function there with one argument, and return its result."""
        [page] = (await self.ask("browsingContext.getTree"))["contexts"]
        await self.ask("browsingContext.navigate", context=page["context"], url=url, wait="complete")
        done = await self.ask(
            "script.callFunction",
            functionDeclaration=f"async () => JSON.stringify(await ({function})({json.dumps(argument)}))",
            target={"context": page["context"]},
            awaitPromise=True,
            userActivation=True,
        )
        if done["type"] != "success":
            raise RuntimeError(done["exceptionDetails"]["text"])
        return json.loads(done["result"]["value"])


@contextlib.asynccontextmanager
async def firefox(program: str, profile: Path, prefs: Mapping[str, object]) -> AsyncIterator[BiDi]:
    """A headless Firefox with these preferences, from when it takes commands until it is left."""
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in prefs.items())
    (profile / "user.js").write_text("".join(lines))
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HOME": str(profile), "MOZ_CRASHREPORTER_DISABLE": "1"},
        start_new_session=True,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(40):
            while READY not in (line := await process.stderr.readline()):
                assert line, "Firefox ended before it was ready"
        draining = asyncio.create_task(process.stderr.read(), name="firefox's log")
        url = line.decode().split()[-1]
        async with connect(f"{url}/session", proxy=None, max_size=None, open_timeout=20) as socket:
            browser = BiDi(socket)
            await browser.ask("session.new", capabilities={})
            yield browser
        draining.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
