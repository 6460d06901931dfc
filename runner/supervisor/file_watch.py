"""Notices that files were saved, by any editor, also in new folders; a burst of saves is one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import watch

from runner.supervisor.bot_files import BotFiles

BURST_MS, QUIET_MS = 400, 50
"""A burst is over when nothing more has come for `QUIET_MS`, or has lasted `BURST_MS`."""

MISSING_S = 0.25
"""Some editors delete a file before they write it again."""


class Watch:
    """Calls `on_change(paths)` in the loop when files of the bot have another content.

    `before` is called before files are compared: it brings in what the bot itself has written.
    """

    def __init__(
        self, files: BotFiles, on_change: Callable[[list[Path]], None], before: Callable[[], object]
    ) -> None:
        self._files = files
        self._on_change = on_change
        self._before = before
        self._folders: list[Path] = []
        self._loop = asyncio.get_running_loop()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looking: asyncio.TimerHandle | None = None

    def renew(self) -> None:
        """Watch the bot's folders as they are now."""
        folders = self._files.folders()
        if folders == self._folders and self._thread is not None:
            return
        self.close()
        self._folders, self._stop = folders, threading.Event()
        self._thread = threading.Thread(
            target=self._follow, args=(folders, self._stop), name="watch", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Watch nothing more."""
        self._stop.set()
        if self._looking is not None:
            self._looking.cancel()

    def _follow(self, folders: list[Path], stop: threading.Event) -> None:
        bursts = watch(
            *folders, watch_filter=None, recursive=False, stop_event=stop, raise_interrupt=False,
            debounce=BURST_MS, step=QUIET_MS,
        )  # fmt: skip
        for burst in bursts:
            paths = [Path(name) for _, name in burst]
            if not stop.is_set():
                self._loop.call_soon_threadsafe(self._look, paths)

    def _look(self, paths: Iterable[Path]) -> None:
        paths = list(paths)
        if any(not path.exists() for path in paths):
            self._looking = self._loop.call_later(MISSING_S, self._judge, paths)
        else:
            self._judge(paths)

    def _judge(self, paths: list[Path]) -> None:
        folders = [path for path in paths if path.is_dir()]
        # Nothing reports what was put into a new folder before it was watched.
        paths += [file for folder in folders for file in folder.rglob("*") if file.is_file()]
        if folders or any(not path.exists() for path in self._folders):
            self.renew()
        self._before()
        if changed := self._files.changed(paths):
            self._on_change(changed)
