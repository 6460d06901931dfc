"""The page and `bots/my_bot.py`, with this machine's ears and voice: the first talk, as a newcomer has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import BOTS, Visit, botrun, microphone_file

pytestmark = [pytest.mark.realtime, pytest.mark.browser, pytest.mark.local]

AUDIBLE_DB = -35
LAST_REPLY = "[...document.querySelectorAll('.bubble.bot p')].at(-1).innerText"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with botrun(BOTS / "my_bot.py", OPENAI_API_KEY="") as found:
        yield found


async def test_the_bot_says_the_time_counts_and_is_interrupted(
    visit: Any, address: str, tmp_path: Path
) -> None:
    """It greets for 4 s, tells the time for 3, and counts for 5; "stop" is said while it counts."""
    microphone = microphone_file(
        tmp_path / "talk.wav", 6.0, "what_time_is_it", 5.5, "count_to_ten", 3.0, "stop", 60.0
    )
    here: Visit = await visit(address, microphone=microphone)
    await here.page.click("#orb")
    await here.until("botrun.state === 'connected' && botrun.ready")
    await here.until(f"botrun.db.bot > {AUDIBLE_DB}")
    await here.until("document.querySelector('.bubble.you p')?.innerText === 'what time is it'", timeout_s=20)
    await here.until(rf"/It is \d+(:\d\d| o'clock) (in the|at night)/.test({LAST_REPLY})")
    await here.until(f"botrun.db.bot > {AUDIBLE_DB}")
    await here.until(f"/^One, two/.test({LAST_REPLY}) && botrun.db.bot > {AUDIBLE_DB}", timeout_s=20)
    await here.until("document.querySelector('.bubble.cut del')")
    await here.until("botrun.db.bot < -70")
    [cut] = await here.texts(".bubble.cut p")
    assert re.match(r"One, two", cut)
    assert (await here.figures())["stopMs"] > 0
    assert (here.hosts, here.faults) == ({address.removeprefix("http://")}, [])
