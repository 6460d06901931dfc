"""The calls as they go, on a terminal; and single keys from it."""

from __future__ import annotations

import asyncio
import os
import pty
import termios
from collections.abc import Iterator
from typing import Any

import pytest
from eventually import eventually
from rich.console import Console

from runner.cli import terminal as terminal_module
from runner.cli.terminal import KEYS, MOST_ROWS, render


def shown(state: dict[str, Any], width: int = 120, **more: Any) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(render(state, **more))
    return captured.get()


def call(number: int = 1, **more: Any) -> dict[str, Any]:
    return {"id": f"a1b2c{number}", "kind": "webrtc", "secs": 72.4, "last_turn_ms": {}, **more}


def test_a_call_shows_its_last_turn_and_what_it_was_made_of() -> None:
    text = shown({"sessions": [call(last_turn_ms={"pause": 400, "ears": 0, "model": 150, "line": 10})]})
    assert "webrtc  a1b2c1  1:12" in text
    assert "answered in 0.56 s = pause 0.40 + model 0.15 + line 0.01" in text


def test_levels_are_bars() -> None:
    assert "caller █  bot  " in shown({"sessions": [call(levels={"in": 1.2, "out": 0.0})]})


def test_many_calls_are_counted_and_not_all_shown() -> None:
    text = shown({"sessions": [call(n) for n in range(MOST_ROWS + 3)]})
    assert text.count("no spoken turn answered yet") == MOST_ROWS
    assert "and 3 more calls" in text
    assert f"{MOST_ROWS + 3} calls" in text


def test_turn_latency_stands_below_with_its_count() -> None:
    turns = {"n": 12, "p50_ms": 570, "p95_ms": 640}
    assert "0 calls   turn latency 0.57 s p50, 0.64 s p95 (n=12)" in shown({"turns": turns})


def test_a_notice_stands_above_and_help_names_each_key() -> None:
    text = shown({}, notice="my_bot.py:3: SyntaxError", help_too=True)
    assert "my_bot.py:3: SyntaxError" in text
    assert all(what in text for what in KEYS.values())


def test_a_key_that_does_nothing_in_this_run_is_not_offered() -> None:
    keys = {key: what for key, what in KEYS.items() if key != "c"}
    assert "c call it" in shown({})
    assert "ring it" not in shown({}, keys=keys) + shown({}, keys=keys, help_too=True)


def test_it_fits_a_narrow_terminal() -> None:
    text = shown({"sessions": [call(last_turn_ms={"pause": 400, "line": 10})]}, width=40)
    assert max(map(len, text.splitlines())) <= 40


# ------------------------------------------------------------------ keys


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Any]]:
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as stdin:
        monkeypatch.setattr(terminal_module.sys, "stdin", stdin)
        yield ours, stdin
    os.close(ours)


async def test_keys_come_one_by_one_and_the_terminal_is_put_back(terminal: tuple[int, Any]) -> None:
    ours, stdin = terminal
    before = termios.tcgetattr(stdin)
    pressed: list[str] = []
    with terminal_module.read_keys(pressed.append):
        assert termios.tcgetattr(stdin)[3] & termios.ICANON == 0
        assert termios.tcgetattr(stdin)[3] & termios.ISIG, "Ctrl-C stays a signal"
        os.write(ours, b"or")
        await eventually(lambda: len(pressed) >= 2, 5)
        os.write(ours, b"\x1b[A")  # an arrow
        os.write(ours, b"?")
        await asyncio.sleep(0.05)
    assert pressed[:2] == ["o", "r"]
    assert "A" not in pressed
    assert termios.tcgetattr(stdin) == before


async def test_the_terminal_is_put_back_after_a_failure_too(terminal: tuple[int, Any]) -> None:
    _, stdin = terminal
    before = termios.tcgetattr(stdin)
    with pytest.raises(ZeroDivisionError), terminal_module.read_keys(lambda key: None):
        raise ZeroDivisionError
    assert termios.tcgetattr(stdin) == before
