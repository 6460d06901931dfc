from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from runner import logs


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def logging_is_undone() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def logged(stream: io.StringIO, **settings: object) -> str:
    logs.configure(stream=stream, **settings)  # type: ignore[arg-type]
    logger = logging.getLogger("runner.sessions.session")
    logger.info("session %s started", "3f2a", extra={"session": "3f2a"})
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("it failed")
    return stream.getvalue()


def test_away_from_a_terminal_each_line_is_a_json_object() -> None:
    first, second = map(json.loads, logged(io.StringIO()).splitlines())
    assert first["message"] == "session 3f2a started"
    assert (first["level"], first["logger"], first["session"]) == ("info", "runner.sessions.session", "3f2a")
    assert second["traceback"].splitlines()[-1] == "ValueError: no"


def test_on_a_terminal_the_lines_are_text_in_colour_unless_that_is_not_wanted() -> None:
    assert "\x1b[31merror\x1b[0m it failed" in logged(Screen())
    plain = logged(Screen(), colour=False)
    assert "session 3f2a started\n" in plain
    assert "\x1b" not in plain


@pytest.mark.parametrize(("style", "is_json"), [("json", True), ("text", False)])
def test_the_style_may_be_chosen(style: str, is_json: bool) -> None:
    assert logged(io.StringIO(), style=style).startswith("{") is is_json


def test_control_characters_from_outside_do_not_reach_the_terminal() -> None:
    stream = Screen()
    logs.configure(stream=stream, colour=False)
    logging.getLogger("runner").info("from %s", "\x1b[2Jevil\r")
    assert stream.getvalue().endswith("from \\x1b[2Jevil\\x0d\n")


NASTY = "\x1b[31m\x07\x9b2J\u202e\u2028\r\n12:00:00 session 9 ended\ntalk http://evil"
"""What a caller may write into an id: colours, C1 controls, another direction, forged lines."""


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_callers_text_neither_steers_a_terminal_nor_forges_a_line(style: str) -> None:
    stream = io.StringIO()
    logs.configure(stream=stream, style=style)
    logger = logging.getLogger("runner")
    logger.warning("session 1 ended: %s", NASTY)
    try:
        raise ValueError(NASTY)
    except ValueError:
        logger.exception("it failed")
    written = stream.getvalue()
    assert not set(written) & set("\x1b\x07\x9b\u202e\u2028\r")
    assert "session 9 ended" in written
    forged = ("12:00:00 session 9", "talk http")
    assert not [line for line in written.splitlines() if line.startswith(forged)]


def test_libraries_are_quiet_until_more_is_wanted() -> None:
    logs.configure(stream=io.StringIO())
    assert not logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)
    assert not logging.getLogger("runner").isEnabledFor(logging.DEBUG)
    logs.configure(stream=io.StringIO(), verbose=True)
    assert logging.getLogger("uvicorn.error").isEnabledFor(logging.INFO)
    assert logging.getLogger("runner").isEnabledFor(logging.DEBUG)
    logs.configure(stream=sys.stderr)
