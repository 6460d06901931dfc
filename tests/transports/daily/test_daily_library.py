"""The contract with the real daily-python, as far as it goes without a network. In processes of their own:
the library keeps threads, and writes to stderr."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.processes

HERE = Path(__file__).parent
ENDS_WITHIN_S = 30


def run(*args: str, alone: bool = False) -> dict[str, Any]:
    command = [sys.executable, str(HERE / "real_library.py"), *args]
    if alone:
        command = ["unshare", "--net", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ENDS_WITHIN_S)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(autouse=True)
def _needs_daily_python() -> None:
    if importlib.util.find_spec("daily") is None:
        sentence = "needs daily-python: pip install 'botrun[daily]'"
        if os.environ.get("BOTRUN_CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)


def test_the_real_library_behaves_as_our_fake_does() -> None:
    found = run()
    assert found["methods"] == []
    assert found["events"] == []
    assert found["taken"] == [480]
    assert found["seconds"] > 0.4  # 25 chunks of 20 ms: two microphones of one process, each by its clock
    assert "mismatch" in found["short_picture"]
    assert found["inputs"] == found["publishing"] == found["profiles"] == "done: None"
    not_there = "the bot is not in the room (yet, or any more)"
    assert found["early_message"] == found["recording"] == found["dialout"] == found["dtmf"] == not_there
    assert found["garbage"] == ("Could not join the Daily room garbage: this is not the URL of a Daily room")
    assert found["errors_told"] == []
    assert found["left"] is True


@pytest.mark.root
def test_a_join_without_a_network_ends_by_our_deadline_and_holds_no_process() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, of util-linux")
    found = run("join", "https://nobody.daily.co/room", alone=True)
    assert "within 1 s" in found["said"]
    assert found["seconds"] < 15
    assert found["left"] is False  # it goes on for 19 s in a thread that holds nothing
