"""The page on a machine that loses one network and has another: the same call goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from browsing import ASSETS, botrun
from two_links import BOT_ADDRESS, two_links

TOOLS = Path(__file__).parents[2] / "support"
pytestmark = [pytest.mark.processes, pytest.mark.root, pytest.mark.browser, pytest.mark.timeout(90)]


def test_a_call_goes_on_over_another_network(chromium: str) -> None:
    with (
        two_links() as links,
        botrun(ASSETS / "talkative_bot.py", inside=links.bot, BOTRUN_HOST=BOT_ADDRESS) as address,
    ):
        inside = ["ip", "netns", "exec", links.caller, sys.executable, str(TOOLS / "page_visitor.py")]
        visitor = subprocess.Popen([*inside, address, chromium], stdout=subprocess.PIPE, text=True)
        try:
            assert visitor.stdout is not None
            first = json.loads(visitor.stdout.readline())
            links.change()
            second = json.loads(visitor.stdout.readline())
        finally:
            visitor.terminate()
            visitor.communicate(timeout=10)
    assert second["states"][-3:] == ["connected", "reconnecting", "connected"]
    assert [session["id"] for session in second["sessions"]] == [first["sessions"][0]["id"]]
    assert second["packets"] > 20  # the bot's sound goes on
