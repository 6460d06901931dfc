"""Failures of the user's code: the line, and one sentence for the terminal and the page."""

from __future__ import annotations

import importlib.util
import inspect
import linecache
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.botcode.location import is_users_file
from runner.errors import BotLoadError, BotrunError, MissingModelError, MissingPackageError, UsageError
from runner.settings import credentials
from runner.settings.parsing import did_you_mean

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')

_PLACED = re.compile(r"(?P<file>.+?\.py):(?P<line>\d+):? (?P<said>.+)", re.DOTALL)
"""The message of a missing package starts with its place."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure and its place in the user's code.

    Attributes:
        text: the sentence, with its place.
        message: the sentence alone.
        file: "" if the place is not known.
        line: 0 if the line is not known.
        source: that line of the file.
        usage: whether it is a usage error (exit status 2).
        traceback: shown with `--verbose`.
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
        """The error to raise when botrun runs without a supervisor."""
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


class BotCrashError(BotLoadError):
    """The bot's own code failed while it was imported; `__cause__` has the traceback."""


def explain(error: BaseException, path: Path) -> BotLoadError | MissingPackageError:
    """The error that explains why a bot's file cannot be imported."""
    where, line = place_of(error, path)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return _missing_module(error.name, where, line)
    if isinstance(error, MissingPackageError):
        return error
    return BotCrashError(str(error) if isinstance(error, BotrunError) else in_words(error), where, line)


def in_words(error: BaseException, *, hints: bool = True) -> str:
    """An exception of the user's code in one line; with `hints`, also what to do about it."""
    text = _plain(error)
    return text + _hint(error) if hints else text


def _plain(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, SystemExit):
        return f"the bot ended the program (sys.exit({error.code!r}))"
    text = _message(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _message(error: BaseException) -> str:
    text = " ".join(credentials.hide(str(error)).split())
    if isinstance(error, TypeError):
        text = re.sub(r"\. Did you mean '\w+'\?$", "", text)  # Python 3.13's hint; ours covers all versions
    return text


_NO_UTF8 = ("null bytes", "codec can't decode", "unknown encoding", "encoding problem")
"""Python's words for files that are not what they say, such as UTF-16."""


def _hint(error: BaseException) -> str:
    text = _message(error)
    hint = ""
    if isinstance(error, SyntaxError) and any(sign in text for sign in _NO_UTF8):
        hint = ": save the file as UTF-8 text"
    elif isinstance(error, ImportError):
        hint = _import_hint(text)
    elif isinstance(error, TypeError):
        hint = _argument_hint(error, text)
    if isinstance(error, (AttributeError, TypeError)) and "coroutine" in text:
        hint += ": an await is missing"
    return hint


_name_hint: Callable[[str, str], str] | None = None


def register_name_hint(hint: Callable[[str, str], str]) -> None:
    """Call `hint(name, where)` first for a name that a module or class does not have."""
    global _name_hint
    _name_hint = hint


def _known_name(name: str, where: str) -> str:
    return _name_hint(name, where) if _name_hint is not None else ""


def advice_of(error: BaseException | None, sentence: str) -> str | None:
    """What to do about a failure, if known: from the exception, or from botrun's own sentence, where it
    follows a colon."""
    if isinstance(error, MissingPackageError):
        return error.install
    if isinstance(error, MissingModelError):
        return error.fetch
    if error is not None and not isinstance(error, BotrunError):
        return _hint(error).lstrip(":;?, ") or None
    return sentence.partition(": ")[2] or None


def _import_hint(text: str) -> str:
    if text.startswith("attempted relative import"):
        return (
            ": without a package around the bot write `import helper`, or put an empty __init__.py beside it"
        )
    found = re.match(r"cannot import name '(\w+)' from '([\w.]+)'", text)
    if found is None or "circular" in text:
        return ""
    return _known_name(found[1], found[2]) or did_you_mean(found[1], dir(sys.modules.get(found[2])))


def _argument_hint(error: TypeError, text: str) -> str:
    """The parameters of a class that was called with an unknown keyword argument."""
    found = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text)
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if found is None or last is None:
        return ""
    kind = {**last.tb_frame.f_globals, **last.tb_frame.f_locals}.get(found[1])
    if not isinstance(kind, type):
        return ""
    takes = list(inspect.signature(kind).parameters)
    return (
        _known_name(found[2], found[1]) or did_you_mean(found[2], takes) or f"; it takes {', '.join(takes)}"
    )


def place_of(error: BaseException, path: Path) -> tuple[Path, int | None]:
    """The deepest line in the user's own code: a file in the bot's folder that was not installed there."""
    if isinstance(error, SyntaxError) and error.filename:
        return Path(error.filename), error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if is_users_file(Path(frame.filename), path):
            return Path(frame.filename), frame.lineno
    return path, None


# Modules whose package has another name.
_PACKAGES = {
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python",
    "daily": "'botrun[daily]'",
    "dotenv": "python-dotenv",
    "espeakng_loader": "'botrun[local]'",
    "google": "google-genai",
    "pipecat": "pipecat-ai",
    "pocketsphinx": "'botrun[local]'",
    "sklearn": "scikit-learn",
    "webrtc_noise_gain": "'botrun[noise]'",
    "yaml": "pyyaml",
}


def _missing_module(name: str, path: Path, line: int | None) -> BotLoadError | MissingPackageError:
    top = name.partition(".")[0]
    if top == "runner" or importlib.util.find_spec(top) is not None:
        return BotLoadError(f"there is no module {name}", path, line)
    return MissingPackageError(f"{path}:{line}:", top, install_command(_PACKAGES.get(top, top)))


def install_command(package: str) -> str:
    """The command that installs a package into this environment (uv's environments have no pip)."""
    has_pip = importlib.util.find_spec("pip") is not None
    return f"pip install {package}" if has_pip else f"uv pip install {package}"
