"""Ctrl-C and SIGTERM end everything in time, whatever the bot does (RELIABILITY tests 17 and 20)."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.processes

BOTS = Path(__file__).parents[1] / "assets" / "bots"
WITH_CALL = Path(__file__).with_name("with_call.py")
IN_TIME_S = 6.0  # the deadline is 1.5 s; without it, each of these would wait for ever
CHILD = "botrun-test-child"  # as in keeps_child.py


@contextmanager
def started(*command: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """The program, once it has printed a line that begins so."""
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(until):
                    break
            yield process
        finally:
            process.kill()


def children_left() -> list[psutil.Process]:
    """Of this Python's bots: the same test may run on another beside this one."""
    found = psutil.process_iter(["cmdline"])
    return [process for process in found if {CHILD, sys.executable} <= set(process.info["cmdline"] or ())]


def stopped(process: subprocess.Popen[str], *signals: signal.Signals) -> tuple[int, str]:
    """Send signals; returns the exit status and what was said, if it ended in time after the last."""
    for number in signals:
        time.sleep(0.2)  # what is under way begins: the bot's first step, or the end after the first signal
        process.send_signal(number)
    _, said = process.communicate(timeout=IN_TIME_S)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.faults(20)
def test_a_signal_ends_a_call_and_the_process(number: signal.Signals) -> None:
    with started(str(WITH_CALL), str(BOTS / "waits.py"), until="ready") as process:
        status, said = stopped(process, number)
    assert (status, "Traceback" in said) == (0, False), said


@pytest.mark.parametrize("bot", ["keeps_child.py", "blocks.py", "holds_thread.py"])
@pytest.mark.faults(17)
def test_a_bot_that_does_not_let_go_is_ended_in_time(bot: str) -> None:
    with started(str(WITH_CALL), str(BOTS / bot), until="ready") as process:
        status, said = stopped(process, signal.SIGINT)
    assert (status, "Traceback" in said) == (0, False), said
    assert "shutdown timed out; killed what was still running: thread " in said
    assert not children_left()


@pytest.mark.faults(20)
def test_a_second_signal_ends_it_at_once() -> None:
    with started(str(WITH_CALL), str(BOTS / "swallows_cancel.py"), until="ready") as process:
        status, said = stopped(process, signal.SIGINT, signal.SIGINT)
    assert status == 130
    assert "did not end within" not in said  # nobody waited until the bot is abandoned


@pytest.mark.faults(20)
def test_ctrl_c_while_the_bot_is_imported_ends_it_without_a_traceback() -> None:
    with started(
        "-m", "runner.cli", str(BOTS / "slow_import.py"), "--port", "0", until="importing"
    ) as process:
        status, said = stopped(process, signal.SIGINT)
    assert (status, said) == (130, "")


def test_the_terminal_is_left_as_it_was() -> None:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen(
        [sys.executable, str(WITH_CALL), str(BOTS / "changes_terminal.py")],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    with process:
        output = b""
        while b"ready" not in output:
            output += os.read(ours, 1024)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0
    assert termios.tcgetattr(theirs) == before
    os.close(ours)
    os.close(theirs)
