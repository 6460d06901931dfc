"""How the bot's code failed, worded for the terminal and the page."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.errors import BotrunError, UsageError

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')

_PLACED = re.compile(r"(?P<file>.+?\.py):(?P<line>\d+):? (?P<said>.+)", re.DOTALL)
"""The message of a missing package begins with its place."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure and its place in the user's code.

    Attributes:
        text: the sentence, with its place.
        message: the sentence alone.
        file: "" if the place is not known.
        line: 0 if the line is not known.
        source: that line of the file.
        usage: wrong usage: exit status 2.
        traceback: for `--verbose`.
    """

    text: str
    message: str
    file: str = ""
    line: int = 0
    source: str = ""
    usage: bool = True
    traceback: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def raised(self) -> BotrunError:
        """The error that `botrun` without a supervisor raises."""
        return UsageError(self.text) if self.usage else BotrunError(self.text)

    def shown(self) -> str:
        """Sentence, place and source, on up to two lines."""
        return f"{self.text}\n  {self.line} | {self.source}" if self.source else self.text


def failure_at(message: str, file: str, line: int, *, usage: bool = False, trace: str = "") -> Failure:
    """A failure at that line."""
    linecache.checkcache(file)
    source = linecache.getline(file, line).rstrip() if file and line else ""
    place = f"{file}:{line}: " if line else f"{file}: " if file else ""
    return Failure(
        text=place + message,
        message=message,
        file=file,
        line=line,
        source=source,
        usage=usage,
        traceback=trace,
    )


def failure_of(error: BotrunError, *, crashed: bool) -> Failure:
    """The failure for an error raised while the bot was loaded. `crashed`: its own code failed."""
    trace = "".join(traceback.format_exception(error.__cause__ or error))
    path, line = getattr(error, "path", None), getattr(error, "line", None)
    usage = isinstance(error, UsageError) and not crashed
    if path is None and (placed := _PLACED.match(str(error))):
        return failure_at(placed["said"], placed["file"], int(placed["line"]), usage=usage, trace=trace)
    if path is None:
        return Failure(text=str(error), message=str(error), usage=usage, traceback=trace)
    place = f"{path}:{line}: " if line else f"{path}: "
    return failure_at(str(error).removeprefix(place), str(path), line or 0, usage=usage, trace=trace)


def hanging(trace: str, is_users: Callable[[Path], bool], waited_s: float) -> Failure:
    """The failure of a bot that is still being imported; `trace` is faulthandler's, innermost call first."""
    calls = [(match["file"], int(match["line"])) for match in _FRAME.finditer(trace)]
    users = [(file, line) for file, line in calls if is_users(Path(file))]
    if not calls:  # the import is done
        return failure_at(f"the bot was not ready after {waited_s:g} s", "", 0)
    file, line = next(iter(users or calls))
    return failure_at(f"the import has not finished after {waited_s:g} s; it hangs here", file, line)
