"""A bot behind a decorator is judged by the function that was decorated."""

from __future__ import annotations

from pathlib import Path

from runner.botcode.loader import BotTarget, load_bot

WRAPPED = """
import functools

def logged(function):
    @functools.wraps(function)
    def call(*args):
        return function(*args)
    return call

@logged
async def bot(runner_args):
    return runner_args
"""


async def test_a_bot_wrapped_by_a_plain_functools_wraps_decorator_is_async(tmp_path: Path) -> None:
    file = tmp_path / "wrapped_bot.py"
    file.write_text(WRAPPED)
    loaded = load_bot(BotTarget(file))
    assert await loaded.function("the arguments") == "the arguments"  # type: ignore[func-returns-value]
