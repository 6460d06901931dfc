"""The files of a record that are written at once: `call.json`, a line of the index, a line of JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.records.folder import FILE_MODE
from runner.records.listing import INDEX
from runner.records.record import CALL, summary_of

LONGEST_VALUE = 1 << 16


def write_head(path: Path, head: Mapping[str, Any]) -> None:
    """Replace a record's `call.json` at once.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(head, ensure_ascii=False, indent=1, default=str)
    new = path / f".{CALL}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(text + "\n")
    new.replace(path / CALL)


def append_to_index(folder: Path, head: Mapping[str, Any]) -> None:
    """Add the summary of a call that has ended to the index.

    Raises:
        OSError: it cannot be written.
    """
    line = json.dumps(summary_of(head, "ended").as_dict(), ensure_ascii=False, default=str) + "\n"
    descriptor = os.open(folder / INDEX, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
    try:
        os.write(descriptor, line.encode(errors="replace"))
    finally:
        os.close(descriptor)


def as_json(line: Mapping[str, Any]) -> str:
    """One line of JSON; what is no JSON becomes text, and what is too long is cut."""
    try:
        text = json.dumps(line, default=repr)
    except (TypeError, ValueError, RecursionError):  # odd keys, circles
        text = ""
    if text and len(text) <= LONGEST_VALUE:
        return text
    short = {name: _short(value) for name, value in line.items()}
    return json.dumps(short, default=repr)


def _short(value: Any) -> Any:
    if isinstance(value, int | float | bool | None):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST_VALUE // 8 else text[: LONGEST_VALUE // 8] + "…"
