"""Many calls at once, driven by `botrun load`: each must be served. The figures are in docs/figures.md."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

ECHO = str(Path(__file__).parents[2] / "bots" / "echo_bot.py")

pytestmark = [pytest.mark.realtime, pytest.mark.timeout(120)]


async def load(*words: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "runner.cli", "load", ECHO, *words, "--json"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    return dict(json.loads(out))


@pytest.mark.faults(1)
async def test_fifty_phone_calls_lose_nothing() -> None:
    found = await load("-t", "twilio", "-n", "50", "--duration", "5", "--ramp", "2")
    assert found["up"] == 50
    assert found["failures"] == []
    assert found["returned"] > 0.99


@pytest.mark.faults(2)
async def test_eight_webrtc_calls_lose_nothing() -> None:
    found = await load("-t", "webrtc", "-n", "8", "--duration", "5", "--ramp", "1")
    assert found["up"] == 8
    assert found["failures"] == []
    assert found["returned"] > 0.99
