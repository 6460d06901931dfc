"""The folder of all records: names, permissions, finding a record, keeping the folder small."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from runner.errors import BotrunError

SCHEMA = 1
"""The format that this version writes, and the newest that it reads."""

HOME = ".botrun"
CALLS = "calls"
MOST_AGE_S = 7 * 86400.0
MOST_BYTES = 2 * 1024**3
FOLDER_MODE, FILE_MODE = 0o700, 0o600

_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[A-Za-z0-9_-]{1,80}")
_PART = re.compile(r"[A-Za-z0-9_-]{1,100}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")


class RecordError(BotrunError):
    """A record cannot be used. `status`: the HTTP status that says the same."""

    status = 422


class NoRecordError(RecordError):
    """There is no such record, or no such part of it."""

    status = 404


class BadCallNameError(RecordError):
    """A text names no record, or several."""

    status = 400


def calls_folder(directory: Path | None = None) -> Path:
    """The folder of the records of runs in this directory, the working directory by default."""
    return (directory or Path.cwd()) / HOME / CALLS


def record_id(session: str, at: float) -> str:
    """The id of a record: the time (s since 1970) in UTC, and the session's id made safe for paths."""
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{stamp}-{_UNSAFE.sub('_', session)[:80] or 'call'}"


def is_record_id(name: str) -> bool:
    """Whether this is the name of a record's folder."""
    return _ID.fullmatch(name) is not None


def prepare(folder: Path) -> None:
    """Create the folder of all records, which git ignores.

    Raises:
        OSError: it cannot be created.
    """
    home = folder.parent
    for path in (home, folder):
        path.mkdir(FOLDER_MODE, parents=True, exist_ok=True)
    ignore = home / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")


def ids_in(folder: Path) -> list[str]:
    """The ids of all records, newest first."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name for entry in entries if is_record_id(entry.name)), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return []


def find(folder: Path, name: str) -> Path:
    """The folder of the record that is meant: an id, the beginning of one, a session id, or "last".

    Raises:
        NoRecordError: there is none.
        BadCallNameError: there are several, or the text cannot name a record.
    """
    if _PART.fullmatch(name) is None:
        raise BadCallNameError(
            f"{name[:60]!r} cannot be a call's id: use one that botrun calls lists, its beginning, or last"
        )
    if is_record_id(name) and (folder / name).is_dir():
        return folder / name
    ids = ids_in(folder)
    if name == "last":
        found = ids[:1]
    else:
        found = [each for each in ids if each.partition("-")[2] == name]
        found = found or [each for each in ids if each.startswith(name)]
        found = found or [each for each in ids if each.partition("-")[2].startswith(name)]
    if not found:
        what = (
            "there are no recorded calls" if name == "last" else f"no recorded call has the id {name[:60]!r}"
        )
        raise NoRecordError(f"{what} in {folder}: botrun calls lists them")
    if len(found) > 1:
        raise BadCallNameError(
            f"{name!r} is the beginning of {len(found)} ids, such as {found[0]}: give more of it"
        )
    return folder / found[0]


def sweep(
    folder: Path,
    is_running: Callable[[Path], bool],
    *,
    now: float | None = None,
    most_age_s: float = MOST_AGE_S,
    most_bytes: int = MOST_BYTES,
) -> list[str]:
    """Delete the records that are too old, and the oldest ones while all are too large; returns their ids.

    `is_running` is asked before a record is deleted.
    """
    now = time.time() if now is None else now
    removed, total = [], 0
    for name in ids_in(folder):
        size, changed = _size_of(folder / name)
        total += size
        if (now - changed > most_age_s or total > most_bytes) and not is_running(folder / name):
            shutil.rmtree(folder / name, ignore_errors=True)
            removed.append(name)
            total -= size
    return removed


def _size_of(record: Path) -> tuple[int, float]:
    """Bytes of a record's files, and when one was changed last (s since 1970)."""
    size, changed = 0, 0.0
    for stat in _stats(record):
        size += stat.st_size
        changed = max(changed, stat.st_mtime)
    return size, changed


def _stats(record: Path) -> Iterator[os.stat_result]:
    with contextlib.suppress(OSError), os.scandir(record) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                yield entry.stat(follow_symlinks=False)
