"""Lets frames go on from the output when the listener hears them, and tells who speaks when.

The output notes what it has written and where (`Playout` positions); here each frame waits for its
position to be heard. So whatever stands behind `transport.output()` sees what was heard, when it was
heard: words for the context and the subtitles, sound for the recorder, and the end of the call.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from runner.audio.playout import NEVER, Playout
from runner.eventloop.alarm import Alarm
from runner.eventloop.clock import Clock
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
"""A gap (s) in the bot's speech that is not yet the end of it, while its reply may still go on."""

LOOK_AGAIN_S = 0.02


@dataclass(order=True, slots=True)
class _Entry:
    position: int
    order: int
    frame: Frame = field(compare=False)


class Heard:
    """The frames that were written and are not yet heard.

    Args:
        playout: knows what has been heard of what was written.
        clock: seconds.
        delay_s: from the wire to the listener's ear (s), asked each time.
        deliver: takes each frame as it is heard.
        tell: takes who speaks, for both directions.
        more_to_come: whether sound waits to be written.

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
        tell: Callable[[Frame], Awaitable[None]],
        more_to_come: Callable[[], bool],
    ) -> None:
        self._playout = playout
        self._clock = clock
        self._delay_s = delay_s
        self._deliver = deliver
        self._tell = tell
        self._more_to_come = more_to_come
        self._entries: list[_Entry] = []
        self._order = 0
        self._work = EagerWork(self._let_go)
        self._alarm = Alarm(self._work.kick)
        self._speech_from: int | None = None
        self.speech_until = 0
        self._speaking = False
        self._reply_complete = False
        self._held_back: list[_Entry] = []
        self._paused_at: float | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be heard."""
        return not self._entries and not self._held_back

    @property
    def speaking(self) -> bool:
        """Whether the listener hears the bot speak."""
        return self._speaking

    def position(self) -> int:
        """The position (samples) that has been heard by now."""
        return self._playout.heard(self._clock() - self._delay_s())

    def place(self, frame: Frame, position: int) -> None:
        """Let the frame go on when this position is heard."""
        self._order += 1
        entry = _Entry(position, self._order, frame)
        heapq.heappush(self._entries, entry)
        if self._entries[0] is entry:  # else it is waited for something that comes before it
            self._look_soon()

    def speech(self, begin: int, end: int) -> None:
        """Speech was written from one position to another."""
        if not self._speaking and self._speech_from is None:
            self._speech_from = begin
            self._look_soon()
        self.speech_until = end
        self._reply_complete = False

    def end_words_at(self, position: int) -> None:
        """The utterance ends here: words placed behind its end are heard with it."""
        late = [e for e in self._entries if e.position > position and isinstance(e.frame, TTSTextFrame)]
        for entry in late:
            entry.position = position
        if late:
            heapq.heapify(self._entries)
            self._look_soon()

    def marked(self) -> None:
        """The peer has reported what it played: look again."""
        self._look_soon()

    # ------------------------------------------------------------ pause

    def hold_back(self) -> int:
        """The peer was silenced for a while: what nobody heard waits for `let_go_on`. Returns the
        position that was heard."""
        heard = self._playout.cut(self._clock() - self._delay_s())
        unheard = [entry for entry in self._entries if entry.position > heard]
        # Its sound will be written again.
        self._held_back = sorted(e for e in unheard if not isinstance(e.frame, OutputAudioRawFrame))
        self._entries = [entry for entry in self._entries if entry.position <= heard]
        heapq.heapify(self._entries)
        if self._speech_from is not None and self._speech_from > heard:
            self._speech_from = None
        self.speech_until = min(self.speech_until, heard)
        return heard

    def let_go_on(self, shift: int) -> None:
        """What was held back comes so many samples behind its old position."""
        held, self._held_back = self._held_back, []
        for entry in held:
            entry.position += shift
            heapq.heappush(self._entries, entry)
        self._look_soon()

    def pause(self) -> None:
        """Nothing more is written for a while."""
        self._paused_at = self._clock()
        self._look_soon()

    def resume(self) -> float:
        """The bot goes on; returns how long (s) it was paused."""
        paused_at, self._paused_at = self._paused_at, None
        self._look_soon()
        return 0.0 if paused_at is None else self._clock() - paused_at

    async def cut(self) -> None:
        """The peer was silenced: what nobody heard is dropped, control frames go on."""
        now = self._clock()
        heard = self._playout.cut(now - self._delay_s())
        entries, self._entries = sorted(self._entries), []
        # Positions of before the pause: nobody has heard these, whatever has been written since.
        unheard, self._held_back = self._held_back, []
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
            await self._tell(BotStoppedSpeakingFrame(at=silent_since, interrupted=True))

    def start(self, start_task: StartTask) -> None:
        """Let frames go as they are heard, in a task that runs for the whole call."""
        self._work.start(start_task)

    def _look_soon(self) -> None:
        asyncio.get_running_loop().call_soon(self._work.kick)

    async def _let_go(self) -> None:
        """Deliver all that is heard by now; an alarm tells when the next is."""
        while True:
            now = self._clock()
            heard = self._playout.heard(now - self._delay_s())
            if self._speech_from is not None and heard >= self._speech_from:
                await self._started()
            elif self._entries and self._entries[0].position <= heard:
                await self._let_one_go(heard, now)
            elif self._speech_ended(heard, now):
                await self._stopped()
            else:
                if (wait_s := self._next_look(now)) is not None:
                    self._alarm.ring_in(wait_s)
                return

    async def _let_one_go(self, heard: int, now: float) -> None:
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
        await self._tell(BotStartedSpeakingFrame(at=at))

    async def _stopped(self) -> None:
        self._speaking = False
        await self._tell(BotStoppedSpeakingFrame(at=self._time_of(self.speech_until)))

    def _time_of(self, position: int) -> float:
        at = self._playout.time_of(position) + self._delay_s()
        return at if at > NEVER else self._clock()  # nothing plays: it was heard before the pause

    def _stamped(self, entry: _Entry, now: float) -> Frame:
        if isinstance(entry.frame, OutputAudioRawFrame | TTSTextFrame):
            at = self._time_of(entry.position)
            return replace(entry.frame, heard_at=at if 0 <= at <= now else now)
        return entry.frame
