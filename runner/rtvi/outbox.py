"""Messages and frames on their way to one client: kept until it is ready, and until a reply is certain."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from runner.frames import Frame, LLMContextFrame
from runner.processors.floor_state import Replies
from runner.rtvi.messages import MAJORS, Message

MAX_WAITING = 500
"""Messages kept for a client that is not ready yet; beyond it the oldest go."""

Send = Callable[[Message], Awaitable[None]]


class Outbox:
    """Sends messages once the client's major is known, and leaves out those for the other major."""

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
        """A post during a send is left to that send, which keeps the order."""
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


MAX_HELD = 2048
"""Frames kept; a model's whole answer is a few hundred. Beyond it the oldest go."""


class Holding:
    """Keeps frames of held replies in order, until their reply is certain or thrown away.

    Args:
        replies: the call's; None where nothing is ever held.

    Attributes:
        due: what was kept and is to be sent now, in order.
    """

    def __init__(self, replies: Replies | None) -> None:
        self._replies = replies
        self._held: deque[Frame] = deque(maxlen=MAX_HELD)
        self.due: deque[Frame] = deque()
        self._thrown: set[int] = set()
        if replies is not None:
            replies.on_settled(self._settled)

    def keeps(self, frame: Frame) -> bool:
        """Whether this frame is not to be reported, or not yet."""
        if self._replies is None:
            return False
        if self._is_held(self._replies, frame):
            self._held.append(frame)
            return True
        return bool(self._thrown) and getattr(frame, "reply_id", None) in self._thrown

    @staticmethod
    def _is_held(replies: Replies, frame: Frame) -> bool:
        # The question comes before the reply that it belongs to has a number.
        return replies.is_held(frame) or (replies.holding and isinstance(frame, LLMContextFrame))

    def _settled(self, wanted: bool) -> None:
        held = tuple(self._held)
        self._held.clear()
        if wanted:
            self.due.extend(held)
        else:
            ids = (getattr(frame, "reply_id", None) for frame in held)
            self._thrown.update(reply_id for reply_id in ids if reply_id is not None)
