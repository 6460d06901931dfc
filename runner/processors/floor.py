"""`Floor`: decides who speaks, from the interruption strategy and the mutes.

The input reports what the VAD detects; observed frames show the transcripts and what the bot is doing. The
floor pauses and resumes the outputs, and the user aggregator asks it which words count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from runner.eventloop.clock import Clock
from runner.frames import (
    Frame,
    FrameDirection,
    InterimTranscriptionFrame,
    TranscriptionFrame,
)
from runner.processors.floor_state import TELLING, BotState, UserMute
from runner.turns.end_of_turn import RuleTurnAnalyzer, Speeches, TurnAnalyzer
from runner.turns.interruption import Decision, InterruptionStrategy, Mute, Overlap, Speech

if TYPE_CHECKING:
    from runner.processors.floor_state import Replies

SILENCED_S = 0.5
"""Maximum time (s) that interrupting words wait for the interrupted reply to be written to the context."""


class Pausable(Protocol):
    """An output that the floor can pause."""

    def pause(self) -> None: ...

    def resume(self) -> None: ...


class Floor:
    """One call's floor; an observer of its frames.

    Attributes:
        bot: the state of the bot's replies.
        strategy: decides about speech over the bot.
        turn_analyzer: decides which pause ends a turn; set by the input's transport.
        speeches: the caller's speech segments while not muted.
        speech: the number of the segment that the last transcript belongs to.
        dismissed: the numbers of the segments that did not count as an interruption.
    """

    frame_types = (*TELLING, TranscriptionFrame, InterimTranscriptionFrame)

    def __init__(
        self,
        clock: Clock,
        replies: Replies,
        create_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
        interrupt: Callable[[], object],
        *,
        strategy: InterruptionStrategy | None = None,
        mutes: Sequence[Mute] = (),
        push: Callable[[Frame], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self.bot = BotState()
        self.strategy = strategy or Speech()
        self.turn_analyzer: TurnAnalyzer = RuleTurnAnalyzer()
        self.speeches = Speeches()
        self.speech = 0
        self.dismissed = range(0)
        self._clock = clock
        self._replies = replies
        self._create_task = create_task
        self._interrupt = interrupt
        self._mute = UserMute(mutes, self.bot.state, clock, push)
        self._outputs: list[Pausable] = []
        self._output_ids: set[int] = set()
        self._settled: list[Callable[[bool], object]] = []
        self._overlap: Overlap | None = None
        self._overlaps_from = 0
        self._looked_at: Overlap | None = None
        self._dismissed: Overlap | None = None
        self._paused = False
        self._ending: object = None
        self._news = asyncio.Event()
        self._judged: Frame | None = None
        self._swallowed: Frame | None = None
        self._user_speaking = False

    # ------------------------------------------------------------ outputs and callbacks

    def add_output(self, output: Pausable) -> None:
        """Pause this output while it is undecided whether the user interrupts."""
        self._outputs.append(output)
        self._output_ids.add(id(output))

    def on_settled(self, settled: Callable[[bool], object]) -> None:
        """Call `settled` once it is decided whether the user's words count."""
        self._settled.append(settled)

    def on_unmuted(self, unmuted: Callable[[float], object]) -> None:
        """Call `unmuted` when a mute ends while the user is speaking."""
        self._mute.on_unmuted(unmuted)

    # ------------------------------------------------------------ from the input

    def user_started(self, at: float) -> bool:
        """The VAD detected the start of speech; returns False if the user is muted."""
        if self._mute.on:
            self._mute.missed = True
            return False
        self._user_speaking = True
        self.speeches.started(at)
        if self._overlap is not None:
            self._overlap.go_on(at)
            self._judge()
        elif self.bot.busy and not self._replies.holding:
            self._overlap, self._overlaps_from = Overlap(at), self.speeches.last
            self._judge()
        elif not self.strategy.keeps_reply or self._replies.holding:
            self._end_reply()
        return True

    def user_stopped(self, at: float) -> bool:
        """The VAD detected the end of speech; returns False if its start was not reported either."""
        self._mute.missed, began, self._user_speaking = False, self._user_speaking, False
        if began:
            self.speeches.stopped(at)
        if self._overlap is not None:
            self._overlap.stopped_at = at
            self._judge()
        return began

    # ------------------------------------------------------------ from the aggregator

    @property
    def undecided(self) -> bool:
        """Whether the user's speech may still be dismissed, or must wait for the bot to finish."""
        return self._overlap is not None or (self.strategy.keeps_reply and self.bot.busy)

    def takes(self, frame: Frame) -> bool:
        """Whether these words are, or may be, part of a turn."""
        return frame is not self._swallowed

    async def cut_in(self) -> None:
        """End the current reply because of the user's words or keys; return once the part that was played, of
        this reply or one that has just ended, is in the context."""
        if self.bot.busy and not self.strategy.keeps_reply:
            self._end_reply()
        if isinstance(self._ending, asyncio.Task) and not self._ending.done():
            await asyncio.wait([self._ending], timeout=SILENCED_S)

    def interrupted(self) -> None:
        """All replies were interrupted."""
        self.bot.interrupted()
        self._paused = False
        if self._overlap is not None:
            self._overlap = None
            self._settle(True)

    # ------------------------------------------------------------ from observed frames

    async def on_push_frame(self, source: object, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, TranscriptionFrame | InterimTranscriptionFrame):
            if frame is not self._judged:
                self._judged = frame
                self._understood(frame.text, frame, final=isinstance(frame, TranscriptionFrame))
            return
        self.bot.see(frame, heard=id(source) in self._output_ids)
        if self._overlap is not None and not self._paused and not self.bot.busy:
            self._overlap = None  # the bot has finished its reply
            self._settle(True)
        elif self.strategy.keeps_reply and not self.bot.busy:
            self._settle(True)
        await self._mute.update()

    def _understood(self, text: str, frame: Frame, *, final: bool) -> None:
        if self._mute.covers(self._user_speaking):
            self._swallowed = frame
            return
        self.speech = self._speech_of(frame)
        if (overlap := self._overlap) is not None and self.speech >= self._overlaps_from:
            _hear(overlap, text, frame, final=final)
            self._judge()
            if self._dismissed is overlap:
                self._swallowed = frame
        elif (late := self._dismissed) is not None and self.speech in self.dismissed:
            self._understood_late(late, text, frame, final=final)

    def _speech_of(self, frame: Frame) -> int:
        if not isinstance(frame, TranscriptionFrame):
            return self.speeches.last
        return self.speeches.transcribed(self._clock(), frame.words[0].at if frame.words else None)

    def _understood_late(self, late: Overlap, text: str, frame: Frame, *, final: bool) -> None:
        """A transcript of dismissed speech has arrived."""
        _hear(late, text, frame, final=final)
        interrupts = self.strategy.decide(late, self._clock()) is Decision.INTERRUPT
        if not interrupts or not text.strip():
            self._swallowed = frame
            if interrupts and late.murmur is False and self.bot.busy:
                self._end_reply()
        elif final:
            self._dismissed = None

    # ------------------------------------------------------------ the decision

    def _judge(self) -> None:
        overlap = self._overlap
        if overlap is None:
            return
        decision = self.strategy.decide(overlap, self._clock())
        if decision is Decision.INTERRUPT:
            self._end_reply()  # calls `interrupted`
        elif decision is Decision.DISMISS:
            self._dismiss(overlap)
        else:
            if decision is Decision.PAUSE:
                self._pause()
            self._news.set()
            if self._looked_at is not overlap:
                self._looked_at = overlap
                self._create_task(self._keep_looking(overlap), "Floor.look")

    async def _keep_looking(self, overlap: Overlap) -> None:
        """Judge again at the time that the strategy asks for."""
        while self._overlap is overlap:
            now = self._clock()
            again = self.strategy.look_again_at(overlap, now)
            self._news.clear()
            try:
                async with asyncio.timeout(None if again is None else max(again - now, 0.0)):
                    await self._news.wait()
            except TimeoutError:
                self._judge()

    def _end_reply(self) -> None:
        self._ending = self._interrupt()

    def _pause(self) -> None:
        if not self._paused:
            self._paused = True
            for output in self._outputs:
                output.pause()

    def _dismiss(self, overlap: Overlap) -> None:
        self._overlap, self._dismissed = None, overlap
        self.dismissed = range(self._overlaps_from, self.speeches.last + 1)
        self._news.set()
        if self._paused:
            self._paused = False
            for output in self._outputs:
                output.resume()
        self._settle(False)

    def _settle(self, counts: bool) -> None:
        self._news.set()
        for settled in self._settled:
            settled(counts)


def _hear(overlap: Overlap, text: str, frame: Frame, *, final: bool) -> None:
    confidence, murmur = getattr(frame, "confidence", None), getattr(frame, "murmur", None)
    overlap.hear(text, final=final, confidence=confidence, murmur=murmur)
