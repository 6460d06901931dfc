"""Messages on their way to one client: kept until it is ready, then sent in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from runner.rtvi.messages import MAJORS, Message

MAX_WAITING = 500
"""Messages kept for a client that is not ready yet; beyond it the oldest go."""

Send = Callable[[Message], Awaitable[None]]


class Outbox:
    """Knows the client's major, once it has told it, and leaves out what is meant for the other one."""

    def __init__(self, send: Send) -> None:
        self.major: int | None = None
        self._send = send
        self._waiting: deque[tuple[Message, tuple[int, ...]]] = deque(maxlen=MAX_WAITING)
        self._sending = False

    async def post(self, message: Message, *, majors: tuple[int, ...] = MAJORS) -> None:
        """Send when the client is ready; `majors` are those that have such a message."""
        self._waiting.append((message, majors))
        await self._flush()

    async def open(self, major: int, first: Iterable[Message]) -> None:
        """The client is ready: `first` goes before all that waits."""
        self.major = major
        self._waiting.extendleft((message, MAJORS) for message in reversed(list(first)))
        await self._flush()

    async def _flush(self) -> None:
        """Whoever posts while another is sending leaves it to that one: the order stays."""
        if self._sending or self.major is None:
            return
        self._sending = True
        try:
            while self._waiting:
                message, majors = self._waiting.popleft()
                if self.major in majors:
                    await self._send(message)
        finally:
            self._sending = False
