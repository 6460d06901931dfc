"""A pause of the bot's: what was sent and not heard is taken back, and sent again when it goes on."""

from __future__ import annotations

from runner.audio.playout import Playout
from runner.transports.heard import Heard
from runner.transports.outbox import Outbox


class Pause:
    """One output's pauses. Positions are samples, as `Playout` counts them.

    Attributes:
        on: whether the bot is paused.
        told: whether the others know of it.
    """

    def __init__(self, playout: Playout, outbox: Outbox) -> None:
        self.on = self.told = False
        self._playout = playout
        self._outbox = outbox
        self._taken_back = False
        self._taken_from: int | None = None

    def begin(self, heard: Heard, *, take_back: bool) -> None:
        """Send nothing more. `take_back`: what was not heard waits here again, each sample once; the far end
        is to drop it."""
        self.on, self._taken_back = True, take_back
        if take_back:
            self._taken_from = self._outbox.take_back(heard.hold_back())

    def end(self, heard: Heard) -> int:
        """Go on; returns by how much the positions of what was taken back have moved."""
        self.on = False
        if not self._taken_back:
            return 0
        begin = self._playout.written if self._taken_from is None else self._taken_from
        shift, self._taken_from = self._playout.written - begin, None
        heard.let_go_on(shift)
        return shift

    def forget(self) -> None:
        """The bot was interrupted: there is nothing to go on with."""
        self.on = self.told = False
        self._taken_from = None
