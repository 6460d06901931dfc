"""The text of one call's data channel: what waits for the channel, and what waits for the bot."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

MAX_QUEUED_MESSAGES = 256


class TextChannel(Protocol):
    """What carries text to the far end; a `Peer`."""

    @property
    def channel_is_open(self) -> bool: ...
    def send_text(self, text: str) -> bool: ...


class Mailbox:
    """Bounded both ways: what finds no room pushes out the oldest.

    Attributes:
        dropped: messages that found no room, no channel or no sense.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self._outbox: deque[str] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._inbox: deque[Any] = deque(maxlen=MAX_QUEUED_MESSAGES)
        self._drained = asyncio.Event()
        self._drained.set()
        self._closed = False

    # ------------------------------------------------------------ to the far end

    def send(self, text: str, channel: TextChannel | None) -> None:
        """Sends at once if the channel is open; else it waits for `channel_opened`."""
        if self._closed:
            self.dropped += 1
        elif channel is not None and channel.channel_is_open:
            self.dropped += not channel.send_text(text)
        else:
            self.dropped += len(self._outbox) == MAX_QUEUED_MESSAGES
            self._outbox.append(text)
            self._drained.clear()

    def channel_opened(self, channel: TextChannel) -> None:
        while self._outbox and channel.send_text(self._outbox[0]):
            self._outbox.popleft()
        if not self._outbox:
            self._drained.set()

    async def flush(self, timeout_secs: float) -> None:
        """Waits until what was sent so far is out, the mailbox is closed or time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_secs):
                await self._drained.wait()

    def close(self) -> None:
        """Nothing is sent any more, and nobody waits."""
        self._closed = True
        self._drained.set()

    # ------------------------------------------------------------ from the far end

    def receive(self, message: Any) -> None:
        """Keeps it until `hand_over`."""
        self._inbox.append(message)

    def hand_over(self, deliver: Callable[[Any], None]) -> None:
        """All that has come and was not handed over yet."""
        while self._inbox:
            deliver(self._inbox.popleft())
