"""The only reader of the environment: what was set, and where. The settings themselves: `settings_table.py`.

A value comes from the flag, else from the environment, else from the `.env` beside the bot, else it is the
default; `Settings.sources` remembers which.
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
        UsageError: a value cannot be what it says; the sentence names where it was given.
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
    # An empty variable is an absent one: `BOTRUN_PORT=` in a shell or a `.env` says "as usual".
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
    """The `.env` beside the bot, else the one in the current folder; only a regular file is one."""
    return next((path for path in _dotenv_places(bot) if path.is_file()), None)


def _dotenv_places(bot: Path) -> tuple[Path, Path]:
    return bot.parent / ".env", Path(".env")


def dotenv_notes(bot: Path) -> list[str]:
    """A sentence for each `.env` that is no regular file. (Reading a device may never end.)"""
    found = {path.absolute(): path for path in _dotenv_places(bot) if path.exists() and not path.is_file()}
    return [
        f"{path} is a {_kind(path)}, not a file: botrun reads no settings from it"
        for path in dict.fromkeys(found)
    ]


def _kind(path: Path) -> str:
    return "folder" if path.is_dir() else "pipe" if path.is_fifo() else "device"


def read_dotenv(path: Path | None) -> dict[str, str]:
    """What a `.env` sets; nothing enters the environment here.

    Raises:
        UsageError: the file, or a line of it, cannot be read.
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
        raise UsageError(f"{path} cannot be read: it is not UTF-8") from None
    if len(raw) > DOTENV_LIMIT_BYTES or "\0" in text:
        raise UsageError(f"{path} cannot be read: it is no text of settings")
    for statement in parse_stream(io.StringIO(text)):
        if statement.error:  # dotenv_values would leave it out, and tell so in words of its own
            bad = statement.original
            line = bad.line + bad.string[: -len(bad.string.lstrip())].count("\n")
            raise UsageError(
                f"{path}:{line} is no setting: write NAME=value, with both its quotes"
                " if it has any, or # before what is a note"
            )
    pairs = dotenv_values(stream=io.StringIO(text))
    return {name: value for name, value in pairs.items() if value is not None}


def unknown_variables(dotenv: Mapping[str, str], environ: Mapping[str, str] | None = None) -> list[str]:
    """A sentence for each variable that looks like a setting of ours and is none: a slip, most likely."""
    environ = os.environ if environ is None else environ
    known = {setting.env for setting in SETTINGS.values()} | {key.env for key in KEYS} | _OF_OUR_TESTS
    endings = [name.removeprefix(PREFIX) for name in known - _OF_OUR_TESTS if name.startswith(PREFIX)]
    notes = []
    for name in sorted({*dotenv, *environ}):
        if name.startswith(PREFIX) and name not in known:
            place = name if name in environ else f"{name} in .env"
            near = values.nearest(name.removeprefix(PREFIX), endings)
            meant = f"did you mean {PREFIX}{near}?" if near else ".env.example lists them"
            notes.append(f"{place} is no setting; {meant}")
    return notes


def enter_dotenv(values: Mapping[str, str]) -> None:
    """Put a `.env` into the environment of this process, for the bot; what is already set wins."""
    for name, value in values.items():
        os.environ.setdefault(name, value)


def is_set(name: str) -> bool:
    """Whether a variable has a value. (The value itself is nobody's business but its service's.)"""
    return bool(os.environ.get(name, "").strip())


def read_keys(names: Sequence[str], dotenv: Mapping[str, str] | None = None) -> dict[str, str]:
    """The values of those of these variables that have one; a `.env` that is not entered yet may be given."""
    later = dotenv or {}
    found = {name: os.environ.get(name, "").strip() or later.get(name, "").strip() for name in names}
    return {name: value for name, value in found.items() if value}


def state_folder(settings: Settings) -> Path:
    """Where what must outlive a run is kept. It need not exist yet."""
    if settings.state_dir:
        return Path(settings.state_dir).expanduser()
    base = os.environ.get("XDG_STATE_HOME", "").strip()
    return (Path(base) if base else Path.home() / ".local" / "state") / "botrun"


def child_environment(more: Mapping[str, str]) -> dict[str, str]:
    """What a process that we start is given: our own environment, and `more` over it."""
    return {**os.environ, **more}
