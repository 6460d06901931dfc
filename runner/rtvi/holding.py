"""What is not told yet: frames of a reply that is made before it is sure that it is wanted."""

from __future__ import annotations

from collections import deque

from runner.frames import Frame, LLMContextFrame
from runner.processors.replies import Replies

MAX_HELD = 2048
"""Frames kept; a model's whole answer is a few hundred. Beyond it the oldest go."""


class Holding:
    """Keeps frames of held replies in order, until their reply is certain or thrown away.

    Args:
        replies: the call's; None where nothing is ever held.

    Attributes:
        due: what was kept and is to be told now, in order.
    """

    def __init__(self, replies: Replies | None) -> None:
        self._replies = replies
        self._held: deque[Frame] = deque(maxlen=MAX_HELD)
        self.due: deque[Frame] = deque()
        self._thrown: set[int] = set()
        if replies is not None:
            replies.on_settled(self._settled)

    def keeps(self, frame: Frame) -> bool:
        """Whether nobody is to be told of this frame, or not yet."""
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
