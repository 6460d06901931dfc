"""Reports to the supervisor which files the bot's process reads, lists and writes, before it does so.

A change to a file that the bot writes is not an edit; text files that it reads are watched. Each report is
one line on a pipe, such as "w PATH".
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

DATA_SUFFIXES = frozenset(
    (".yaml", ".yml", ".json", ".jsonl", ".toml", ".txt", ".md", ".prompt", ".jinja", ".jinja2", ".j2")
)
MOST_NOTES = 5000
LONGEST_NOTE_BYTES = 4000
"""A write of up to 4,096 bytes to a pipe is atomic."""


def report_files(pipe: int, folder: Path) -> None:
    """From now on, report the files of this process. `folder` is the bot's."""
    notes = FileNotes(pipe, str(folder))
    sys.addaudithook(notes.audit)
    os.register_at_fork(after_in_child=notes.stop)


class FileNotes:
    """An audit hook (docs.python.org/3/library/audit_events.html)."""

    def __init__(self, pipe: int, folder: str) -> None:
        self._pipe = pipe
        self._folder = folder
        self._known: set[str] = set()

    def stop(self) -> None:
        """Stop reporting, in a forked child; its files are found by its open file descriptors."""
        self._pipe = -1

    def audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(*args)
        elif event == "os.rename":
            self._note("w", args[1])
        elif event in ("os.listdir", "os.scandir"):
            if not sys._getframe(1).f_code.co_filename.startswith("<frozen importlib"):
                self._note("l", args[0], inside=True)
        elif event == "subprocess.Popen":
            self._started(args[1], args[2])

    def _opened(self, path: Any, mode: Any, flags: Any) -> None:
        if not isinstance(flags, int):
            return
        if flags & (os.O_WRONLY | os.O_RDWR):
            self._note("w", path)
        elif isinstance(path, (str, os.PathLike)) and os.path.splitext(path)[1] in DATA_SUFFIXES:
            self._note("r", path, inside=True)

    def _started(self, args: Any, cwd: Any) -> None:
        """A program was started: files in its arguments that do not exist yet are its output."""
        with contextlib.suppress(TypeError, ValueError):
            words = shlex.split(args) if isinstance(args, str) else [os.fsdecode(word) for word in args]
            if len(words) == 3 and words[1] == "-c":  # a shell
                words = shlex.split(words[2].replace(">", " > "))
            for before, word in zip(["", *words], words, strict=False):
                path = os.path.join(cwd or "", word)
                if os.path.splitext(path)[1] and (before == ">" or not os.path.exists(path)):
                    self._note("w", path)

    def _note(self, kind: str, path: Any, *, inside: bool = False) -> None:
        if self._pipe < 0 or not isinstance(path, (str, bytes, os.PathLike)):
            return
        name = os.path.abspath(os.fsdecode(path))
        note = f"{kind} {name}"
        if note in self._known or "__pycache__" in name or (inside and not name.startswith(self._folder)):
            return
        line = os.fsencode(note) + b"\n"
        if b"\n" in line[:-1] or len(line) > LONGEST_NOTE_BYTES or len(self._known) >= MOST_NOTES:
            return
        self._known.add(note)
        with contextlib.suppress(OSError):  # full, or the supervisor is gone
            os.write(self._pipe, line)
