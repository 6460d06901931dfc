"""The bot that a local phone starts for itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys

import pytest

from runner.callers.bot_process import EVERY_LINE, WARNINGS, _stop
from runner.logs import TextLines


@pytest.mark.parametrize(
    ("level", "is_shown"), [(logging.INFO, False), (logging.WARNING, True), (logging.ERROR, True)]
)
def test_a_call_shows_the_warnings_of_its_bot(level: int, is_shown: bool) -> None:
    record = logging.LogRecord("runner", level, __file__, 1, "run(…) was called without `await`", None, None)
    line = TextLines(colour=False, verbose=False).format(record)
    assert bool(WARNINGS.match(line)) is is_shown
    assert EVERY_LINE.match(line)


async def test_stopping_it_leaves_its_exit_status_to_asyncio(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`Popen.send_signal` waits for a child that has ended; asyncio then finds none, and complains."""

    def looks_first(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(subprocess.Popen, "send_signal", looks_first)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    await _stop(process)
    assert process.returncode == -signal.SIGTERM
