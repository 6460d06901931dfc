"""Delivers frames downstream once their sound has been played, and reports when the bot speaks.

The output notes the `Playout` position at which each frame was written; here the frame waits until that
position has been heard. So processors behind `transport.output()` get what was heard, when it was heard:
words for the context and the subtitles, sound for the recorder, and the end of the call.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from runner.audio.playout import NEVER, Playout
from runner.eventloop.clock import Alarm, Clock
from runner.eventloop.inline_task import EagerWork, StartTask
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    LLMFullResponseEndFrame,
    OutputAudioRawFrame,
    TTSTextFrame,
)
from runner.processors.base import survives_interruption

PAUSE_S = 0.3
"""A gap (s) in the bot's speech does not end it while its reply may continue."""

LOOK_AGAIN_S = 0.02


@dataclass(order=True, slots=True)
class _Entry:
    position: int
    order: int
    frame: Frame = field(compare=False)


class Heard:
    """The frames that were written and not yet heard.

    Args:
        playout: how much of the written sound has been heard.
        clock: seconds.
        delay_s: returns the delay from the wire to the listener (s).
        deliver: called with each frame when it is heard.
        report: called with the frames that say when the bot starts and stops speaking.
        more_to_come: returns whether sound waits to be written.

    Attributes:
        speech_until: the position at which the speech that was written ends.
    """

    def __init__(
        self,
        playout: Playout,
        clock: Clock,
        *,
        delay_s: Callable[[], float],
        deliver: Callable[[Frame], Awaitable[None]],
        report: Callable[[Frame], Awaitable[None]],
        more_to_come: Callable[[], bool],
    ) -> None:
        self._playout = playout
        self._clock = clock
        self._delay_s = delay_s
        self._deliver = deliver
        self._report = report
        self._more_to_come = more_to_come
        self._entries: list[_Entry] = []
        self._order = 0
        self._work = EagerWork(self._deliver_heard)
        self._alarm = Alarm(self._work.kick)
        self._speech_from: int | None = None
        self._speech_sent_at: float | None = None
        self.speech_until = 0
        self._speaking = False
        self._reply_complete = False
        self._withheld: list[_Entry] = []
        self._paused_at: float | None = None

    @property
    def empty(self) -> bool:
        """Whether no frame waits to be heard."""
        return not self._entries and not self._withheld

    @property
    def speaking(self) -> bool:
        """Whether the listener hears the bot speak."""
        return self._speaking

    def position(self) -> int:
        """The position (samples) up to which sound has been heard."""
        return self._playout.heard(self._clock() - self._delay_s())

    def place(self, frame: Frame, position: int) -> None:
        """Deliver the frame when this position has been heard."""
        self._order += 1
        entry = _Entry(position, self._order, frame)
        heapq.heappush(self._entries, entry)
        if self._entries[0] is entry:  # else the alarm is set for an earlier frame
            self._look_soon()

    def speech(self, begin: int, end: int) -> None:
        """Note that speech was written from `begin` to `end`."""
        if not self._speaking and self._speech_from is None:
            self._speech_from, self._speech_sent_at = begin, self._clock()
            self._look_soon()
        self.speech_until = end
        self._reply_complete = False

    def end_words_at(self, position: int) -> None:
        """The utterance ends here: deliver words that were placed later with its end."""
        late = [e for e in self._entries if e.position > position and isinstance(e.frame, TTSTextFrame)]
        for entry in late:
            entry.position = position
        if late:
            heapq.heapify(self._entries)
            self._look_soon()

    def marked(self) -> None:
        """The peer has reported its playout: check again what was heard."""
        self._look_soon()

    # ------------------------------------------------------------ pause

    def withhold(self) -> int:
        """The peer was silenced for a while: withhold unheard frames until `release`; returns the position
        that was heard."""
        heard = self._playout.cut(self._clock() - self._delay_s())
        unheard = [entry for entry in self._entries if entry.position > heard]
        # Their sound will be written again.
        self._withheld = sorted(e for e in unheard if not isinstance(e.frame, OutputAudioRawFrame))
        self._entries = [entry for entry in self._entries if entry.position <= heard]
        heapq.heapify(self._entries)
        if self._speech_from is not None and self._speech_from > heard:
            self._speech_from = None
        self.speech_until = min(self.speech_until, heard)
        return heard

    def release(self, shift: int) -> None:
        """Place the withheld frames again, `shift` samples after their old positions."""
        held, self._withheld = self._withheld, []
        for entry in held:
            entry.position += shift
            heapq.heappush(self._entries, entry)
        self._look_soon()

    def pause(self) -> None:
        """No more sound is written for a while."""
        self._paused_at = self._clock()
        self._look_soon()

    def resume(self) -> float:
        """The bot continues; returns the length of the pause (s)."""
        paused_at, self._paused_at = self._paused_at, None
        self._look_soon()
        return 0.0 if paused_at is None else self._clock() - paused_at

    async def cut(self) -> None:
        """The peer was silenced: drop unheard frames, and deliver those that survive an interruption."""
        now = self._clock()
        heard = self._playout.cut(now - self._delay_s())
        entries, self._entries = sorted(self._entries), []
        # Their positions are from before the pause: they are unheard, whatever has been written since.
        unheard, self._withheld = self._withheld, []
        silent_since = now if self._paused_at is None else self._paused_at
        self._paused_at = None
        was_speaking, self._speaking, self._speech_from = self._speaking, False, None
        for entry in entries:
            if entry.position <= heard or survives_interruption(entry.frame):
                await self._deliver(self._stamped(entry, now))
        for entry in unheard:
            if survives_interruption(entry.frame):
                await self._deliver(entry.frame)
        if was_speaking:
            await self._report(BotStoppedSpeakingFrame(at=silent_since, interrupted=True))

    def start(self, start_task: StartTask) -> None:
        """Deliver frames as they are heard, in a task that runs for the whole call."""
        self._work.start(start_task)

    def _look_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._work.kick)

    async def _deliver_heard(self) -> None:
        """Deliver what has been heard, and set an alarm for the next frame."""
        while True:
            now = self._clock()
            heard = self._playout.heard(now - self._delay_s())
            if self._speech_from is not None and heard >= self._speech_from:
                await self._started()
            elif self._entries and self._entries[0].position <= heard:
                await self._deliver_one(heard, now)
            elif self._speech_ended(heard, now):
                await self._stopped()
            else:
                if (wait_s := self._next_look(now)) is not None:
                    self._alarm.ring_in(wait_s)
                return

    async def _deliver_one(self, heard: int, now: float) -> None:
        entry = heapq.heappop(self._entries)
        if isinstance(entry.frame, LLMFullResponseEndFrame | EndFrame):
            self._reply_complete = True
            if self._speech_ended(heard, now):
                await self._stopped()
        await self._deliver(self._stamped(entry, now))

    def _next_look(self, now: float) -> float | None:
        positions = [self._entries[0].position] if self._entries else []
        if self._speech_from is not None:
            positions.append(self._speech_from)
        times = [self._time_of(position) for position in positions]
        if self._speaking:
            pause_s = 0 if self._reply_complete else PAUSE_S
            times.append(self._time_of(self.speech_until) + pause_s)
        return max(min(times) - now, LOOK_AGAIN_S / 4) if times else None

    def _speech_ended(self, heard: int, now: float) -> bool:
        if not self._speaking or heard < self.speech_until or self._more_to_come():
            return False
        return self._reply_complete or now >= self._time_of(self.speech_until) + PAUSE_S

    async def _started(self) -> None:
        assert self._speech_from is not None
        at, self._speech_from = self._time_of(self._speech_from), None
        self._speaking = True
        await self._report(BotStartedSpeakingFrame(at=at, sent_at=self._speech_sent_at))

    async def _stopped(self) -> None:
        self._speaking = False
        await self._report(BotStoppedSpeakingFrame(at=self._time_of(self.speech_until)))

    def _time_of(self, position: int) -> float:
        at = self._playout.time_of(position) + self._delay_s()
        return at if at > NEVER else self._clock()  # nothing is playing: it was heard before the pause

    def _stamped(self, entry: _Entry, now: float) -> Frame:
        if isinstance(entry.frame, OutputAudioRawFrame | TTSTextFrame):
            at = self._time_of(entry.position)
            return replace(entry.frame, heard_at=at if 0 <= at <= now else now)
        return entry.frame
