"""Phone calls over real TCP between two namespaces, whose network falls silent: both ways or one way.

The relay's counters prove that packets were held back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bad_network import BadNetwork, bad_network, line_of
from eventually import eventually

pytestmark = [pytest.mark.processes, pytest.mark.root, pytest.mark.timeout(120)]

BOTS = Path(__file__).parents[2] / "bots"
PHONE = Path(__file__).parents[1] / "support" / "plain_phone.py"
BOT_ADDRESS, PORT = "10.212.0.2", 7860
SPEAKS_BYTES = 8000
"""Sound in a second in which the echo bot is heard: half of what is sent, as the seconds are not the same."""

PIPE = asyncio.subprocess.PIPE


@dataclass
class Line:
    """A phone that talks with an echo bot, across a network."""

    network: BadNetwork
    bot: asyncio.subprocess.Process
    phone: asyncio.subprocess.Process
    log: str = ""

    async def next(self) -> dict[str, Any]:
        assert self.phone.stdout is not None
        return dict(json.loads(await asyncio.wait_for(self.phone.stdout.readline(), 30)))

    async def until_heard(self) -> None:
        while (await self.next())["bytes"] < SPEAKS_BYTES:
            pass

    def switch(self, number: signal.Signals) -> None:
        self.network.relay.send_signal(number)

    async def read_log(self) -> None:
        assert self.bot.stdout is not None
        async for text in self.bot.stdout:
            self.log += text.decode()

    async def until_logged(self, pattern: str, within_s: float) -> None:
        logged = lambda: re.search(pattern, self.log)  # noqa: E731
        await eventually(logged, within_s, what=lambda: f"logged: {pattern}\n{self.log}")

    def held_back(self) -> int:
        """Packets that the network swallowed; ends it."""
        self.network.relay.terminate()
        return int(json.loads(line_of(self.network.relay))["blackholed"])


@contextlib.asynccontextmanager
async def talking() -> AsyncIterator[Line]:
    environment = {**os.environ, "BOTRUN_RELOAD": "0"}
    with bad_network("--delay", "5") as network:
        inside = ["ip", "netns", "exec"]
        bot = await asyncio.create_subprocess_exec(
            *(*inside, network.bot, sys.executable, "-m", "runner.cli", str(BOTS / "echo_bot.py")),
            *("-t", "twilio", "--host", "0.0.0.0", "--port", str(PORT)),
            stdout=PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
        )
        url = f"ws://{BOT_ADDRESS}:{PORT}/ws"
        line = Line(network, bot, bot)
        reading = asyncio.create_task(line.read_log())
        try:
            await line.until_logged(r"socket +ws://", 40)
            line.phone = await asyncio.create_subprocess_exec(
                *(*inside, network.caller, sys.executable, str(PHONE), url, "twilio", "CA1", "90"),
                stdout=PIPE,
            )
            assert line.phone.stdout is not None
            connected = await asyncio.wait_for(line.phone.stdout.readline(), 30)
            assert connected == b"connected\n", line.log
            await line.until_heard()
            yield line
        finally:
            for process in {line.phone, bot}:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            await reading


@pytest.mark.faults(13)
async def test_a_phone_call_survives_five_seconds_without_a_network() -> None:
    async with talking() as line:
        line.switch(signal.SIGUSR1)
        await asyncio.sleep(5)
        line.switch(signal.SIGUSR1)
        await line.until_heard()
        assert "ended" not in line.log
        assert line.held_back() > 10


@pytest.mark.faults(12)
async def test_a_phone_that_vanished_with_its_network_is_noticed() -> None:
    async with talking() as line:
        line.switch(signal.SIGUSR1)
        await line.until_logged(r"(nothing came|no message from twilio) for \d+ s", 25)
        assert line.held_back() > 10


@pytest.mark.faults(15)
async def test_a_phone_that_hears_nothing_any_more_is_noticed() -> None:
    """Nothing that the bot sends arrives, not even TCP's acknowledgements: the phone cannot send for long."""
    async with talking() as line:
        line.switch(signal.SIGUSR2)
        await line.until_logged(r"(nothing came|no message from twilio) for \d+ s", 40)
        assert line.held_back() > 10
