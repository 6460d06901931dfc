"""The bot that a local phone starts for itself."""

from __future__ import annotations

import logging

import pytest

from runner.callers.bot_process import EVERY_LINE, WARNINGS
from runner.logs import TextLines


@pytest.mark.parametrize(
    ("level", "is_shown"), [(logging.INFO, False), (logging.WARNING, True), (logging.ERROR, True)]
)
def test_a_call_shows_the_warnings_of_its_bot(level: int, is_shown: bool) -> None:
    record = logging.LogRecord("runner", level, __file__, 1, "run(…) was called without `await`", None, None)
    line = TextLines(colour=False, verbose=False).format(record)
    assert bool(WARNINGS.match(line)) is is_shown
    assert EVERY_LINE.match(line)
