"""Tells while it happens that a bot holds up the event loop, and in words what a bot has forgotten.

All calls of a process share one loop: a bot that sleeps or computes in it silences every caller. A thread
looks at the loop from outside, for the loop itself cannot; when it stands still, the thread reads off the
line of the user's code at which it does.
"""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from runner.botcode.location import is_users_file
from runner.sessions.registry import Sessions
from runner.sessions.session import Session

logger = logging.getLogger(__name__)

LOOK_S = 0.1
STALL_S = 0.2
"""How often (s) the thread looks at the loop, and how long the loop may stand still."""

SAY_AGAIN_S = (1.0, 5.0, 30.0)
"""A stall that goes on is told again after so long (s)."""

NO_PIPELINE_S = 10.0
"""A bot that runs no pipeline after so long (s) has forgotten it, or waits for what does not come."""

_UNAWAITED = re.compile(r"coroutine '(?P<name>[^']+)' was never awaited")


class LoopGuard:
    """Watches the loop it is made in, while `watching`.

    Args:
        bot: the bot's file; what lies beside it is the user's code.
        sessions: the calls under way.
        tell: takes each sentence; any thread calls it.
    """

    def __init__(self, bot: Path, sessions: Sessions, tell: Callable[[str], None] = logger.warning) -> None:
        self._bot = bot
        self._sessions = sessions
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._over = threading.Event()
        self._answered = threading.Event()
        self._without_pipeline: set[str] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Look at the loop while the block runs."""
        thread = threading.Thread(target=self._watch, name="loop guard", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            # The thread may be about to ask the loop that is leaving here: it does not wait for an answer.
            thread.join()

    # ------------------------------------------------------------ in the thread

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            # A loop without calls holds up nobody, and a laptop's battery is to last.
            if self._sessions.active and not self._ask():
                return

    def _ask(self) -> bool:
        """Have the loop answer, and see how long it takes; False if it is closed."""
        asked_at, worked_s = time.monotonic(), time.process_time()
        self._answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False
        if self._answered.wait(STALL_S) or self._over.is_set():
            return True
        # A process that was stopped, or a laptop that slept, has not worked meanwhile: nobody's fault.
        late_s = time.monotonic() - asked_at
        if late_s > 2 * STALL_S and time.process_time() - worked_s < late_s / 2:
            return True
        self._stalled(asked_at)
        return True

    def _answer(self) -> None:
        self._answered.set()
        self._look_for_pipelines()

    def _stalled(self, asked_at: float) -> None:
        """The loop stands still: say so now, again while it does, and how long it was."""
        place, whose = self._place(), self._whose()
        self._say(place, whose, time.monotonic() - asked_at)
        for again_s in (*SAY_AGAIN_S, None):
            wait_s = None if again_s is None else asked_at + again_s - time.monotonic()
            if self._wait(wait_s):
                break
            self._say(self._place(), whose, time.monotonic() - asked_at)
        if not self._over.is_set():
            stood_s = time.monotonic() - asked_at
            self._tell(f"the event loop goes on: it stood still for {_words(stood_s)} at {place}{whose}")

    def _wait(self, seconds: float | None) -> bool:
        """Whether the loop has answered, or nobody looks any more, within so many seconds (None: ever)."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._over.is_set():
            left = LOOK_S if until is None else min(LOOK_S, until - time.monotonic())
            if self._answered.wait(max(left, 0.0)):
                return True
            if until is not None and time.monotonic() >= until:
                return False
        return True

    def _say(self, place: str, whose: str, stood_s: float) -> None:
        self._tell(
            f"the event loop has stood still for {_words(stood_s)} at {place}{whose}: every caller waits. "
            "Await what takes long, or give it to a thread: await asyncio.to_thread(…)"
        )

    def _place(self) -> str:
        """Where the loop's thread is: the deepest line of the user's code, else the deepest of all."""
        frame = deepest = sys._current_frames().get(self._thread_id)
        while frame is not None and not is_users_file(Path(frame.f_code.co_filename), self._bot):
            frame = frame.f_back
        return _shown(frame or deepest, self._bot)

    def _whose(self) -> str:
        """In which call: the running task's name tells, or there is only one."""
        active = list(self._sessions.active)
        task = asyncio.current_task(self._loop)
        name = task.get_name() if task is not None else ""
        named = [session_id for session_id in active if session_id in name]
        found = named or (active if len(active) == 1 else [])
        return f" (session {found[0]})" if found else ""

    # ------------------------------------------------------------ in the loop

    def _look_for_pipelines(self) -> None:
        for session in self._sessions.active.values():
            late = session.duration_s > NO_PIPELINE_S and not session.figures.has_pipeline
            if late and session.id not in self._without_pipeline:
                self._without_pipeline.add(session.id)
                self._tell(_no_pipeline(session, self._bot))
        self._without_pipeline &= set(self._sessions.active)


def _no_pipeline(session: Session, bot: Path) -> str:
    return (
        f"session {session.id}: {bot.name} was called {session.duration_s:.0f} s ago and runs no pipeline: "
        "the caller hears nothing. It ends in `await PipelineRunner().run(PipelineTask(pipeline))`"
    )


def _shown(frame: FrameType | None, bot: Path) -> str:
    if frame is None:
        return "a place that cannot be seen"
    path, line = Path(frame.f_code.co_filename), frame.f_lineno
    text = linecache.getline(str(path), line).strip()
    with contextlib.suppress(ValueError):
        path = path.relative_to(bot.parent)
    return f"{path}:{line}" + (f" ({text})" if text else "")


def _words(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


@contextlib.contextmanager
def telling_what_was_not_awaited(bot: Path) -> Iterator[None]:
    """While the block runs, Python's warning of a forgotten `await` is said in words, with its place."""
    before = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> Any:
        found = _UNAWAITED.search(str(message)) if issubclass(category, RuntimeWarning) else None
        if found is None:
            return before(message, category, filename, lineno, file, line)
        path = Path(filename)
        with contextlib.suppress(ValueError):
            path = path.relative_to(bot.parent)
        name = found["name"].rpartition(".")[2]
        logger.warning("%s:%d: %s(…) was called without `await`, so it did nothing", path, lineno, name)
        return None

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
