"""Queues for one client: messages until it is ready, and frames of held replies until they are confirmed."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from runner.frames import Frame, LLMContextFrame
from runner.processors.floor_state import Replies
from runner.rtvi.messages import MAJORS, Message

MAX_WAITING = 500
"""Maximum number of messages kept until the client is ready. The oldest are dropped first."""

Send = Callable[[Message], Awaitable[None]]


class Outbox:
    """Sends messages once the client's major version is known; drops those for the other major."""

    def __init__(self, send: Send) -> None:
        self.major: int | None = None
        self._send = send
        self._waiting: deque[tuple[Message, tuple[int, ...]]] = deque(maxlen=MAX_WAITING)
        self._sending = False

    async def post(self, message: Message, *, majors: tuple[int, ...] = MAJORS) -> None:
        """Send when the client is ready. `majors`: the versions that have this message."""
        self._waiting.append((message, majors))
        await self._flush()

    async def open(self, major: int, first: Iterable[Message]) -> None:
        """The client is ready: send `first`, then everything that is queued."""
        self.major = major
        self._waiting.extendleft((message, MAJORS) for message in reversed(list(first)))
        await self._flush()

    async def _flush(self) -> None:
        """Send what is queued. If a send is under way, it sends the rest too, in order."""
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
"""Maximum number of frames kept; a long answer has a few hundred. The oldest are dropped first."""


class Holding:
    """Keeps the frames of held replies in order until their reply is confirmed or discarded.

    Args:
        replies: the call's replies; None if none is ever held.

    Attributes:
        due: the kept frames to send now, in order.
    """

    def __init__(self, replies: Replies | None) -> None:
        self._replies = replies
        self._held: deque[Frame] = deque(maxlen=MAX_HELD)
        self.due: deque[Frame] = deque()
        self._thrown: set[int] = set()
        if replies is not None:
            replies.on_settled(self._settled)

    def keeps(self, frame: Frame) -> bool:
        """Whether this frame must not be reported, or not yet."""
        if self._replies is None:
            return False
        if self._is_held(self._replies, frame):
            self._held.append(frame)
            return True
        return bool(self._thrown) and getattr(frame, "reply_id", None) in self._thrown

    @staticmethod
    def _is_held(replies: Replies, frame: Frame) -> bool:
        # The context frame comes before its reply has an id.
        return replies.is_held(frame) or (replies.holding and isinstance(frame, LLMContextFrame))

    def _settled(self, wanted: bool) -> None:
        held = tuple(self._held)
        self._held.clear()
        if wanted:
            self.due.extend(held)
        else:
            ids = (getattr(frame, "reply_id", None) for frame in held)
            self._thrown.update(reply_id for reply_id in ids if reply_id is not None)
