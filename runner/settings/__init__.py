"""Reads settings from flags, environment and `.env`. The settings themselves: `table.py`.

A value comes from the flag, else the environment, else the `.env` beside the bot, else the default;
`Settings.sources` says which.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import UsageError
from runner.settings import parsing as values
from runner.settings.credentials import KEYS as KEYS
from runner.settings.table import DEFAULTS as DEFAULTS
from runner.settings.table import SETTINGS as SETTINGS
from runner.settings.table import Setting as Setting
from runner.settings.table import Settings as Settings

DOTENV_LIMIT_BYTES = 1 << 20
PREFIX = "BOTRUN_"
_OF_OUR_TESTS = frozenset({"BOTRUN_CI", "BOTRUN_FUZZ_FRAMES"})


def resolve(
    flags: Mapping[str, Any], dotenv: Mapping[str, str], environ: Mapping[str, str] | None = None
) -> Settings:
    """Settings from flags (text as typed; True or False for switches; None if absent), environment, `.env`.

    Raises:
        UsageError: a value is invalid; the message names where it was set.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, setting in SETTINGS.items():
        place, given = _where(setting, flags.get(name), environ, dotenv)
        if place:
            found[name] = _read(setting, place, given)
            sources[name] = place
    return Settings(**found, sources=sources)


def _where(
    setting: Setting, flag: Any, environ: Mapping[str, str], dotenv: Mapping[str, str]
) -> tuple[str, Any]:
    if flag is not None and flag != []:
        return setting.flags[0].partition("/")[0], flag
    # An empty variable counts as unset: `BOTRUN_PORT=` in a shell or a `.env` means the default.
    if environ.get(setting.env, "").strip():
        return setting.env, environ[setting.env]
    if dotenv.get(setting.env, "").strip():
        return f"{setting.env} in .env", dotenv[setting.env]
    return "", None


def _read(setting: Setting, place: str, given: Any) -> Any:
    if isinstance(given, bool):
        return given
    try:
        if setting.many:
            words: Sequence[str] = given if isinstance(given, list) else values.split_words(given)
            return tuple(setting.parse(word) for word in words)
        return setting.parse(given)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None


def find_dotenv(bot: Path) -> Path | None:
    """The `.env` beside the bot, else the one in the current folder. Only regular files count."""
    return next((path for path in _dotenv_places(bot) if path.is_file()), None)


def _dotenv_places(bot: Path) -> tuple[Path, Path]:
    return bot.parent / ".env", Path(".env")


def dotenv_notes(bot: Path) -> list[str]:
    """A sentence for each `.env` that is not a regular file. (Reading a device may never end.)"""
    found = {path.absolute(): path for path in _dotenv_places(bot) if path.exists() and not path.is_file()}
    return [f"{path} is a {_kind(path)}, not a file. botrun ignores it." for path in dict.fromkeys(found)]


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "pipe" if path.is_fifo() else "device"


def read_dotenv(path: Path | None) -> dict[str, str]:
    """The variables of a `.env`. Does not change the environment.

    Raises:
        UsageError: the file, or one of its lines, cannot be read.
    """
    if path is None:
        return {}
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        raw = path.read_bytes()[: DOTENV_LIMIT_BYTES + 1]
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} cannot be read: not UTF-8") from None
    if len(raw) > DOTENV_LIMIT_BYTES or "\0" in text:
        raise UsageError(f"{path} cannot be read: not a text file of at most 1 MB")
    for statement in parse_stream(io.StringIO(text)):
        if statement.error:  # dotenv_values would skip it, with a warning of its own
            bad = statement.original
            line = bad.line + bad.string[: -len(bad.string.lstrip())].count("\n")
            raise UsageError(
                f"{path}:{line} is not a setting. Write NAME=value, close its quotes, or begin with #."
            )
    pairs = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in pairs.items() if value is not None}


def unknown_variables(dotenv: Mapping[str, str], environ: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each BOTRUN_ variable that is not a setting: most likely a typo."""
    environ = os.environ if environ is None else environ
    known = {setting.env for setting in SETTINGS.values()} | {key.env for key in KEYS} | _OF_OUR_TESTS
    endings = [name.removeprefix(PREFIX) for name in known - _OF_OUR_TESTS if name.startswith(PREFIX)]
    notes = []
    for name in sorted({*dotenv, *environ}):
        if name.startswith(PREFIX) and name not in known:
            place = name if name in environ else f"{name} in .env"
            near = values.nearest(name.removeprefix(PREFIX), endings)
            meant = f"did you mean {PREFIX}{near}?" if near else "see .env.example"
            notes.append(f"{place} is not a setting; {meant}")
    return notes


def enter_dotenv(values: Mapping[str, str]) -> None:
    """Put the variables of a `.env` into this process's environment, unless they are already set."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def is_set(name: str) -> bool:
    """Whether a variable has a value."""
    return bool(os.environ.get(name, "").strip())


def read_keys(names: Sequence[str], dotenv: Mapping[str, str] | None = None) -> dict[str, str]:
    """The values of these variables, without empty ones. `dotenv` fills in what the environment lacks."""
    later = dotenv or {}
    found = {name: os.environ.get(name, "").strip() or later.get(name, "").strip() for name in names}
    return {name: value for name, value in found.items() if value}


def state_folder(settings: Settings) -> Path:
    """The folder for data kept between runs. It may not exist yet."""
    if settings.state_dir:
        return Path(settings.state_dir).expanduser()
    base = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "state") / "botrun"


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child process: this process's, updated with `more`."""
    return {**os.environ, **more}
