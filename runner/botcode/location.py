"""Finds where in the user's own code something failed, and limits how often it is logged."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

from runner.errors import BotrunError
from runner.settings import credentials as keys

MOST_REPORTED = 100
OURS = Path(__file__).resolve().parents[1]
_LIBRARIES = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))
_INSTALLED = frozenset(("site-packages", "dist-packages"))


def users_place(error: BaseException | None) -> tuple[str, int] | None:
    """File name and line of the deepest frame in the user's own code (see `is_users_file`)."""
    for step in reversed(traceback.extract_tb(error.__traceback__) if error else []):
        path = Path(step.filename)
        if is_users_file(path) and path.is_file():
            return path.name, step.lineno or 0
    return None


def users_source(error: BaseException | None) -> str | None:
    """The source line at `users_place`."""
    for step in reversed(traceback.extract_tb(error.__traceback__) if error else []):
        path = Path(step.filename)
        if is_users_file(path) and path.is_file():
            return step.line or None
    return None


def is_users_file(file: Path, bot: Path | None = None) -> bool:
    """Whether a file is the user's own: not botrun's, an installed package's or Python's.

    Files below the folder of `bot`, if given, are the user's, wherever Python is installed.
    """
    if file == bot:
        return True
    if file.is_relative_to(OURS) or not _INSTALLED.isdisjoint(file.parts) or str(file).startswith("<"):
        return False
    if bot is not None and file.is_relative_to(bot.parent):
        return True
    return not any(file.is_relative_to(library) for library in _LIBRARIES)


def describe(error: BaseException, called: object = None) -> str:
    """An error of the user's code in one line: its message, and its place in the user's file.

    `called` is the user's function, for an error raised before its first line.
    """
    text = " ".join(keys.hide(str(error)).split())
    if not isinstance(error, BotrunError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    code = getattr(called, "__code__", None)
    place = users_place(error) or (code and (Path(code.co_filename).name, code.co_firstlineno))
    return f"{text} ({place[0]}:{place[1]})" if place else text


class Seldom:
    """Reports a failure at once, and its repeats only every `every_s` seconds, with a count.

    Otherwise a failure on every 20 ms of audio would be logged fifty times per second.
    """

    def __init__(self, every_s: float = 10.0) -> None:
        self._every_s = every_s
        self._reported: dict[object, tuple[float, int]] = {}

    def pass_on(self, sentence: str, error: BaseException | None, now: float, who: str = "") -> str | None:
        """The sentence to log at `now` (s), or None for a repeat: the same line, error type and `who`."""
        step = error.__traceback__ if error else None
        while step is not None and step.tb_next is not None:
            step = step.tb_next
        key = (who, type(error), step.tb_frame.f_code, step.tb_lineno) if step is not None else sentence
        since, unsaid = self._reported.get(key, (float("-inf"), 0))
        if now - since < self._every_s:
            self._reported[key] = since, unsaid + 1
            return None
        if len(self._reported) >= MOST_REPORTED:
            self._reported.clear()
        self._reported[key] = now, 0
        return f"{sentence}; {unsaid} times more since this was last reported" if unsaid else sentence
