"""The bot that a local phone starts for itself."""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import cast

import pytest

from runner.callers.bot_process import EVERY_LINE, LONGEST_LINE, WARNINGS, BotProcess, _stop, lines_of
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


async def test_lines_come_whole_however_long_they_are() -> None:
    stream = asyncio.StreamReader()
    stream.feed_data(b"one\r\nt")
    stream.feed_data("wö\n\n".encode())
    stream.feed_data(b"x" * 200_000 + b"\n" + b"y" * (LONGEST_LINE + 1) + b"last")
    stream.feed_eof()
    lines = [line async for line in lines_of(stream)]
    assert lines[:3] == ["one", "twö", ""]
    assert lines[3] == "x" * 200_000
    assert "".join(lines[4:]) == "y" * (LONGEST_LINE + 1) + "last"


async def test_botruns_own_table_is_not_mistaken_for_what_the_bot_prints() -> None:
    printed: list[str] = []
    bot = BotProcess("bot.py", "twilio", printed=printed.append)
    stream = asyncio.StreamReader()
    table = ["bot         bot.py  bot()", "transports  twilio", "talk        http://localhost:1/"]
    table += [
        "socket      ws://localhost:1/ws  twilio",
        "calls       from this machine",
        "key missing X_API_KEY",
    ]
    after = ["of the bot", "bot         looks like a row, but comes later", "  indented", ""]
    stream.feed_data("\n".join(["at import", *table, *after, "the end"]).encode())
    stream.feed_eof()
    await bot._read_output(cast(asyncio.subprocess.Process, SimpleNamespace(stdout=stream)))
    assert printed == [
        "at import",
        "of the bot",
        "bot         looks like a row, but comes later",
        "  indented",
        "",
        "the end",
    ]
    assert bot.url == "ws://localhost:1/ws"
