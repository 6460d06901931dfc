"""A run on a terminal: its table and log above, its calls below, and single keys."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

BOT = """
async def bot(runner_args):
    print("a line of the bot's")
"""
WAIT_S = 40.0
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x1b]*\x1b\\")


class Screen:
    """A botrun on a terminal of its own, and what it has written there."""

    def __init__(self, folder: Path) -> None:
        (folder / "terminal_bot.py").write_text(BOT)
        ours, self.theirs = pty.openpty()
        self.ours = ours
        env = {name: value for name, value in os.environ.items() if name not in {"CI", "BOTRUN_RELOAD"}}
        browser = folder / "programs" / ("open" if sys.platform == "darwin" else "xdg-open")
        browser.parent.mkdir()
        browser.write_text(f'#!/bin/sh\necho "$1" >> "{folder}/opened"\n')
        browser.chmod(0o755)
        env["PATH"] = f"{browser.parent}{os.pathsep}{env['PATH']}"
        self.before = termios.tcgetattr(self.theirs)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runner.cli", "terminal_bot.py", "-t", "webrtc", "--port", "0"],
            cwd=folder,
            env={**env, "TERM": "xterm-256color", "BOTRUN_STATE_DIR": str(folder), "COLUMNS": "100"},
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
        )
        self.text = ""

    def read(self, seconds: float) -> None:
        if select.select([self.ours], [], [], seconds)[0]:
            self.text += _CODES.sub("", os.read(self.ours, 1 << 16).decode(errors="replace"))

    def until(self, *words: str) -> None:
        end = time.monotonic() + WAIT_S
        while not all(word in self.text for word in words):
            assert time.monotonic() < end, self.text
            self.read(0.1)

    def press(self, key: str) -> None:
        self.text = ""
        os.write(self.ours, key.encode())

    def opened(self, note: Path) -> str:
        """The address that the browser was asked for."""
        end = time.monotonic() + WAIT_S
        while not note.exists() or not note.read_text():
            assert time.monotonic() < end, self.text
            self.read(0.1)
        return note.read_text()

    def ended(self) -> int:
        end = time.monotonic() + WAIT_S
        while self.process.poll() is None and time.monotonic() < end:
            self.read(0.05)
        return self.process.wait(1)


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    found = Screen(tmp_path)
    yield found
    if found.process.poll() is None:
        found.process.kill()
        found.process.wait()
    os.close(found.ours)
    os.close(found.theirs)


@pytest.mark.timeout(120)
def test_a_run_shows_its_calls_and_takes_keys(screen: Screen, tmp_path: Path) -> None:
    screen.until("terminal_bot.py", "http://", "0 calls", "q quit")
    screen.press("?")
    screen.until("restart the bot", "the VAD waiting for more")
    screen.press("c")
    screen.until("This run serves no phone")
    screen.press("i")
    assert screen.opened(tmp_path / "opened").endswith("/calls?call=last\n")
    screen.press("r")
    screen.until("restarted: the new code answers")
    (tmp_path / "terminal_bot.py").write_text("x = (")
    screen.until("terminal_bot.py:1: SyntaxError", "the previous code keeps serving")
    (tmp_path / "terminal_bot.py").write_text(BOT)
    screen.until("fixed; the new code answers")
    screen.press("q")
    assert screen.ended() == 0
    assert termios.tcgetattr(screen.theirs) == screen.before


@pytest.mark.timeout(120)
def test_ctrl_c_ends_it_and_leaves_the_terminal_as_it_was(screen: Screen) -> None:
    screen.until("http://", "0 calls")
    screen.process.send_signal(2)
    assert screen.ended() == 0
    assert termios.tcgetattr(screen.theirs) == screen.before
