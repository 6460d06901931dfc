"""Warns while a bot blocks the event loop, with the line, and if a bot lacks a pipeline or an `await`.

All calls of a process share one loop, so a bot that sleeps or computes in it blocks every call. A thread
pings the loop ten times a second and samples its stack while it does not answer. A warning gives its
evidence, and the user's line only if the user's code is running. Other causes are named as such: garbage
collection, an import, a machine without a free CPU, and botrun's own work.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import linecache
import logging
import re
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from runner.botcode.location import OURS, is_users_file
from runner.sessions.events import LoopStalled
from runner.sessions.registry import Sessions
from runner.sessions.session import Session

logger = logging.getLogger(__name__)

LOOK_S = 0.1
STALL_S = 0.2
"""Interval (s) of the pings, and time (s) after which a loop that has not answered counts as blocked."""

SAMPLE_S = 0.02
"""Interval (s) of the stack samples while the loop does not answer."""

SAY_AGAIN_S = (1.0, 5.0, 30.0)
"""Times (s) after which a continuing stall is reported again."""

NO_PIPELINE_S = 10.0
"""Time (s) after which a bot without a pipeline is reported."""

_UNAWAITED = re.compile(r"coroutine '(?P<name>[^']+)' was never awaited")


class LoopGuard:
    """Watches the event loop in which it was created, while `watching`.

    Args:
        bot: the bot's file; files in its folder are the user's code.
        sessions: the active calls.
        warn: called with each warning, from any thread.
    """

    def __init__(self, bot: Path, sessions: Sessions, warn: Callable[[str], None] = logger.warning) -> None:
        self._bot = bot
        self._sessions = sessions
        self._warn = warn
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._native_id = threading.get_native_id()
        self._garbage = _GarbageClock()
        self._over = threading.Event()
        self._answered = threading.Event()
        self._without_pipeline: set[str] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the loop while the block runs."""
        thread = threading.Thread(target=self._watch, name="loop guard", daemon=True)
        thread.start()
        gc.callbacks.append(self._garbage)
        try:
            yield
        finally:
            gc.callbacks.remove(self._garbage)
            self._over.set()
            # The thread may be about to ping this loop; `_over` keeps it from waiting for an answer.
            thread.join()

    # ------------------------------------------------------------ in the thread

    def _watch(self) -> None:
        while not self._over.wait(LOOK_S):
            # Without calls, a blocked loop affects nobody; not pinging it saves a laptop's battery.
            if self._sessions.active and not self._ask():
                return

    def _ask(self) -> bool:
        """Ping the loop and report a stall; False if the loop is closed."""
        asked_at, before = time.monotonic(), self._usage()
        self._answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._answer)
        except RuntimeError:
            return False
        if self._answered.wait(STALL_S) or self._over.is_set():
            return True
        # This thread was late as well: the process was stopped, or the laptop was asleep.
        late_s = time.monotonic() - asked_at
        if late_s > 2 * STALL_S:
            return True
        self._stalled(asked_at, before)
        return True

    def _answer(self) -> None:
        self._answered.set()
        self._look_for_pipelines()

    def _stalled(self, asked_at: float, before: _Usage) -> None:
        """The loop is blocked: warn now, again while it lasts, and at its end with its length."""
        stall, whose = _Stall(asked_at, before, self._garbage), self._whose()
        stall.samples[self._sample()] += 1
        # A thread waiting for a CPU is not blocking anything itself: report it once it has run long enough.
        while stall.is_starved(self._usage()):
            if self._wait(SAMPLE_S, stall):
                break
        else:
            self._say(stall, whose)
        for again_s in (*SAY_AGAIN_S, None):
            wait_s = None if again_s is None else asked_at + again_s - time.monotonic()
            if self._wait(wait_s, stall):
                break
            self._say(stall, whose)
        if not self._over.is_set():
            seconds, now = stall.seconds, self._usage()
            what, _ = stall.verdict(now)
            self._warn(f"the event loop runs again after {_words(seconds)}: {what}{whose}")
            cause, place = stall.cause(now)
            event = LoopStalled(at=self._loop.time(), seconds=round(seconds, 4), cause=cause, place=place)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._emit, event)

    def _wait(self, seconds: float | None, stall: _Stall) -> bool:
        """Whether the loop answers, or watching ends, within `seconds` (None: no limit)."""
        until = None if seconds is None else time.monotonic() + seconds
        while not self._over.is_set():
            left = SAMPLE_S if until is None else min(SAMPLE_S, until - time.monotonic())
            if self._answered.wait(max(left, 0.0)):
                return True
            stall.samples[self._sample()] += 1
            if until is not None and time.monotonic() >= until:
                return False
        return True

    def _say(self, stall: _Stall, whose: str) -> None:
        what, advice = stall.verdict(self._usage())
        self._warn(f"the event loop has been blocked for {_words(stall.seconds)}: {what}{whose}. {advice}")

    def _sample(self) -> _Place:
        """The line that the loop's thread is running now."""
        return _place(sys._current_frames().get(self._thread_id), self._bot)

    def _usage(self) -> _Usage:
        return _usage(self._thread_id, self._native_id)

    def _whose(self) -> str:
        """The call in which it happened: by the running task's name, or the only call."""
        active = list(self._sessions.active)
        task = asyncio.current_task(self._loop)
        name = task.get_name() if task is not None else ""
        named = [session_id for session_id in active if session_id in name]
        found = named or (active if len(active) == 1 else [])
        return f" (session {found[0]})" if found else ""

    # ------------------------------------------------------------ in the loop

    def _emit(self, event: LoopStalled) -> None:
        """Emit the event in every call of the loop."""
        for session in self._sessions.active.values():
            session.events.emit(event)

    def _look_for_pipelines(self) -> None:
        for session in self._sessions.active.values():
            # For a call that was handed over by older code, only the time in this process counts.
            late = session.here_s > NO_PIPELINE_S and not session.figures.has_pipeline
            if late and session.id not in self._without_pipeline:
                self._without_pipeline.add(session.id)
                self._warn(_no_pipeline(session, self._bot))
        self._without_pipeline &= set(self._sessions.active)


def _no_pipeline(session: Session, bot: Path) -> str:
    return (
        f"session {session.id}: {bot.name} was called {session.here_s:.0f} s ago and runs no pipeline: "
        "the caller hears nothing. End the bot with `await PipelineRunner().run(PipelineTask(pipeline))`"
    )


# ------------------------------------------------------------------ evidence


@dataclass(frozen=True, slots=True)
class _Place:
    """A line at which the loop's thread was sampled.

    Attributes:
        kind: "user" (the user's code, or a library that it called), "botrun", "import" or "library".
        shown: file, line and text.
    """

    kind: str
    shown: str


@dataclass(frozen=True, slots=True)
class _Usage:
    """The loop thread's CPU time so far (s), and the time it waited for a free CPU (Linux only)."""

    cpu_s: float
    queued_s: float


class _GarbageClock:
    """Measures how long (s) the garbage collector has run in this process; a callback in `gc.callbacks`."""

    def __init__(self) -> None:
        self._done_s = 0.0
        self._since: float | None = None

    def __call__(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._since = time.monotonic()
        elif self._since is not None:
            self._done_s += time.monotonic() - self._since
            self._since = None

    @property
    def seconds(self) -> float:
        since = self._since
        return self._done_s + (time.monotonic() - since if since is not None else 0.0)


class _Stall:
    """One stall and the evidence of its cause."""

    def __init__(self, since: float, before: _Usage, garbage: _GarbageClock) -> None:
        self.samples: Counter[_Place] = Counter()
        self._since = since
        self._before = before
        self._garbage = garbage
        self._garbage_before_s = garbage.seconds

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._since

    def is_starved(self, now: _Usage) -> bool:
        """Whether the loop would have answered in time on a free CPU."""
        return self.seconds - (now.queued_s - self._before.queued_s) < STALL_S

    def cause(self, now: _Usage) -> tuple[str, str]:
        """The cause, as one of `LoopStalled`'s words, and its place in the code, if any."""
        if self.is_starved(now):
            return "busy_machine", ""
        if self._garbage.seconds - self._garbage_before_s >= max(self.seconds, 0.001) / 2:
            return "garbage_collection", ""
        [(place, _)] = self.samples.most_common(1)
        return ("bot_code" if place.kind == "user" else place.kind), place.shown.partition(" (")[0]

    def verdict(self, now: _Usage) -> tuple[str, str]:
        """The cause with its evidence, and what to do about it."""
        lasted_s = max(self.seconds, 0.001)
        queued_s, cpu_s = now.queued_s - self._before.queued_s, now.cpu_s - self._before.cpu_s
        garbage_s = self._garbage.seconds - self._garbage_before_s
        if self.is_starved(now):
            return (
                f"no CPU was free (the thread waited {_words(queued_s)} for one)",
                "Other programs keep the machine busy; your code is not the cause",
            )
        if garbage_s >= lasted_s / 2:
            return (
                f"Python's garbage collection took {_words(garbage_s)}",
                "Keep fewer objects alive, or call gc.freeze() after your bot has loaded its data",
            )
        place, seen = self.samples.most_common(1)[0]
        evidence = f"{seen} of {self.samples.total()} stack samples, {_words(cpu_s)} of CPU time"
        if place.kind == "user":
            return (
                f"at {place.shown}: every caller waits ({evidence})",
                "Await slow work, or run it in a thread: await asyncio.to_thread(…)",
            )
        if place.kind == "import":
            return f"an import at {place.shown} ({evidence})", "Import it at the top of the bot's file"
        whose = "botrun" if place.kind == "botrun" else "a library that botrun uses"
        return f"{whose} at {place.shown} ({evidence})", "The line is not in your code; please report it"


def _place(frame: FrameType | None, bot: Path) -> _Place:
    """Whose code is running, by the innermost frame of the user or of botrun."""
    deepest = frame
    importing = False
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        importing = importing or frame.f_code.co_filename.startswith("<frozen importlib")
        if is_users_file(file, bot):
            return _Place("import" if importing else "user", _shown(frame, bot))
        if file.is_relative_to(OURS):
            return _Place("botrun", _shown(frame, bot))
        frame = frame.f_back
    return _Place("library", _shown(deepest, bot))


def _shown(frame: FrameType | None, bot: Path) -> str:
    if frame is None:
        return "an unknown place"
    path, line = Path(frame.f_code.co_filename), frame.f_lineno
    text = linecache.getline(str(path), line).strip()
    for folder in (bot.parent, OURS.parent):
        with contextlib.suppress(ValueError):
            path = path.relative_to(folder)
    return f"{path}:{line}" + (f" ({text})" if text else "")


def _usage(thread_id: int, native_id: int) -> _Usage:
    cpu_s = queued_s = 0.0
    with contextlib.suppress(AttributeError, OSError):  # no such clock on this system
        cpu_s = time.clock_gettime(time.pthread_getcpuclockid(thread_id))
    with contextlib.suppress(OSError, ValueError, IndexError):  # proc(5): run time, wait time (ns), slices
        queued_s = int(Path(f"/proc/self/task/{native_id}/schedstat").read_text().split()[1]) / 1e9
    return _Usage(cpu_s, queued_s)


def _words(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


@contextlib.contextmanager
def warning_of_unawaited_coroutines(bot: Path) -> Iterator[None]:
    """While the block runs, log a plain sentence with the place instead of Python's warning about a missing
    `await`."""
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
