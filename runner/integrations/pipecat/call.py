"""One call of a Pipecat bot: what its hooks need, found from any of the call's tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, Protocol

from runner.integrations.pipecat.call_events import EventWriter
from runner.integrations.pipecat.memory import ContextMemory
from runner.sessions.events import current_events
from runner.sessions.stats import CallFigures
from runner.transports.session_port import SessionPort


class Line(Protocol):
    """Where the bot's sound goes.

    Attributes:
        closed: set when the bot has ended the call and its last sound was played.
    """

    closed: asyncio.Event

    @property
    def caller_left(self) -> bool:
        """Whether nobody is there any more."""

    async def played_out(self) -> None:
        """Wait until the caller has heard what was sent."""


class PipecatCall:
    """One call.

    Attributes:
        port: the session's.
        events: the session's, for its record.
        figures: the session's statistics.
        kind: the transport: "twilio", "webrtc", "daily", …
        line: where the bot's sound goes; None where Pipecat itself waits until it is played.
        connection: the WebRTC connection; None for other transports.
        memories: the contexts of its pipelines, in order.
        workers: its pipelines, as Pipecat calls them.
    """

    def __init__(self, port: SessionPort, figures: CallFigures, kind: str) -> None:
        self.port = port
        self.figures = figures
        self.kind = kind
        self.events = EventWriter(current_events())
        self.line: Line | None = None
        self.connection: Any = None
        self.memories: list[ContextMemory] = []
        self.workers: list[Any] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_over(self) -> bool:
        """Whether one side has ended the call, and it does not continue with newer code."""
        line = self.line
        return line is not None and (line.closed.is_set() or line.caller_left) and not self.port.moved

    def start_task(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Start a task that ends with the call."""
        task = asyncio.get_running_loop().create_task(work, name=f"{name} {self.figures.session_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Code in the block, and the tasks that it starts, belong to this call."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)
            for task in tuple(self._tasks):
                task.cancel()


_current: ContextVar[PipecatCall | None] = ContextVar("botrun pipecat call", default=None)


def current() -> PipecatCall | None:
    """The call that this code runs in."""
    return _current.get()
