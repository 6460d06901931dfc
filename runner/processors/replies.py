"""The bot's replies: which are over, and which are made before it is sure that they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Replies:
    """Numbers the bot's replies, and knows which of them were interrupted.

    While `holding`, replies that begin are *held*: they are made, but nothing of them is heard until
    `release`; an interruption throws them away like any other.

    Attributes:
        holding: whether there may be held replies.
    """

    def __init__(self) -> None:
        self._last = 0
        self._dead = 0
        self._held_after: int | None = None
        self.holding = False
        self._released: list[Callable[[], object]] = []
        self._settled: list[Callable[[bool], object]] = []

    def new(self) -> int:
        """The id of a new reply."""
        self._last += 1
        return self._last

    @property
    def current(self) -> int:
        """The id given out last; 0 before the first."""
        return self._last

    def interrupt(self) -> None:
        """Every reply up to now is over."""
        self._dead = self._last
        self._settle(wanted=False)

    def is_live(self, reply_id: int | None) -> bool:
        """Whether sound of this reply may still be heard; sound of no reply always may."""
        return reply_id is None or reply_id > self._dead

    # ------------------------------------------------------------ replies before their time

    def hold(self) -> None:
        """What begins from now on waits for `release`."""
        if self._held_after is None:
            self._held_after = self._last
            self.holding = True

    def release(self) -> None:
        """What was held may be heard, as far as it is live."""
        self._settle(wanted=True)

    def _settle(self, *, wanted: bool) -> None:
        if self._held_after is not None:
            self._held_after = None
            self.holding = False
            for settled in tuple(self._settled):
                settled(wanted)
            for tell in tuple(self._released):
                tell()

    def is_held(self, item: object) -> bool:
        """Whether a frame or chunk belongs to a held reply."""
        reply_id = getattr(item, "reply_id", None)
        return self._held_after is not None and reply_id is not None and reply_id > self._held_after

    def on_release(self, tell: Callable[[], object]) -> None:
        """Call this when what was held may be heard, or is over."""
        self._released.append(tell)

    def on_settled(self, settled: Callable[[bool], object]) -> None:
        """Tell whether what was held is wanted, or thrown away; before anybody hears of its release."""
        self._settled.append(settled)

    async def until_certain(self, reply_id: int | None) -> None:
        """Wait until a reply is no longer held: before doing what cannot be undone."""
        if self._held_after is None or reply_id is None or reply_id <= self._held_after:
            return
        certain = asyncio.Event()
        self._released.append(certain.set)
        try:
            await certain.wait()
        finally:
            self._released.remove(certain.set)
