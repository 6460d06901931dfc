"""Unchanged bots on the wires of the four providers, rung by this machine's phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import ring, serving

pytestmark = [pytest.mark.realtime, pytest.mark.needs_pipecat, pytest.mark.timeout(240)]

PHONES = ("twilio", "telnyx", "plivo", "exotel")


def said(report: dict[str, Any], who: str) -> list[str]:
    return [line["text"] for line in report["conversation"] if line["who"] == who]


async def test_the_bot_greets_and_answers_on_each_wire(tmp_path: Path, spoken: Path) -> None:
    ways = [word for provider in PHONES for word in ("-t", provider)]
    async with serving(tmp_path, "talk_bot.py", *ways) as run:
        for number, provider in enumerate(PHONES, 1):
            report = await ring(run, provider, "--wav", str(spoken))
            assert report["violations"] == [], provider
            assert said(report, "bot") == ["Polly greets.", "Polly heard 1: line 1."], run.output
            assert len(report["turn_latencies_ms"]) == 1, provider
            await run.until(r"turn latency \d+ ms p50 \(n=1\)", number)
        assert run.output.count("Client disconnected") == len(PHONES)


async def test_a_bot_that_reads_the_socket_itself_says_goodbye_to_its_end(
    tmp_path: Path, spoken: Path
) -> None:
    async with serving(tmp_path, "socket_bot.py", "-t", "twilio") as run:
        report = await ring(run, "twilio", "--wav", str(spoken))
        await run.until("the bot finished")
    assert (report["ended_by"], report["close_code"]) == ("bot", 1000)
    assert report["lost_ms"] == 0
    # 70 characters, 20 ms each.
    assert report["bot_speech_s"] == pytest.approx(1.4, abs=0.1)
    assert "is over" in run.output
