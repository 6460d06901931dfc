"""Inbound sound: speech detection, interruption, and a bounded queue to the pipeline."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import replace
from functools import partial

from runner.audio.level import downmix
from runner.audio.mixer import AudioFilter, FilterEnableFrame
from runner.audio.resampler import Resampler
from runner.eventloop.inline_task import EagerWork
from runner.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    InputImageRawFrame,
    StartFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor, ProcessorSetup
from runner.transports.params import TransportParams
from runner.turns.end_of_turn import TurnAnalyzer
from runner.turns.vad import VADEvent
from runner.vad.base import VADAnalyzer

GAP_S = 0.3
"""Time (s) without sound during speech after which silence is inserted, so that a muted or broken microphone
does not keep the user speaking forever."""


class Hearing:
    """The speech detection of one call.

    Args:
        analyzer: distinguishes speech from other sound.
        setup: the call's clock and tasks.
        on_event: called at each start and end of speech, after the sound it was detected in; must not block.
        on_gap: called with silence that replaces missing sound.
    """

    def __init__(
        self,
        analyzer: VADAnalyzer,
        setup: ProcessorSetup,
        *,
        on_event: Callable[[VADEvent], None],
        on_gap: Callable[[InputAudioRawFrame], None],
    ) -> None:
        self._analyzer = analyzer
        self._setup = setup
        self._clock = setup.clock
        self._on_event = on_event
        self._on_gap = on_gap
        self._context = copy_context()
        self._heard_at = 0.0
        self._gap_watch: asyncio.Task[None] | None = None

    def hear(self, frame: InputAudioRawFrame) -> None:
        """Process sound; never blocks."""
        self._heard_at = now = self._clock()
        if self._analyzer.sample_rate != frame.sample_rate:
            self._analyzer.set_sample_rate(frame.sample_rate)
        self._analyzer.listen(frame.audio, now, self._heard)

    def close(self) -> None:
        """The call is over."""
        self._analyzer.close()

    def _heard(self, event: VADEvent) -> None:
        # An analyzer may process several calls at once: continue in this call's context.
        self._context.run(self._on_event, event)
        self._watch_for_gaps(event.started, self._analyzer.sample_rate or 0)

    def _watch_for_gaps(self, speaking: bool, sample_rate: int) -> None:
        if speaking:
            self._gap_watch = self._setup.create_task(self._fill_gaps(sample_rate), "gaps")
        elif self._gap_watch is not None:
            self._gap_watch.cancel()

    async def _fill_gaps(self, sample_rate: int) -> None:
        """Insert silence while the user speaks and no sound comes."""
        while True:
            await asyncio.sleep(GAP_S / 3)
            missing_s = self._clock() - self._heard_at
            if missing_s >= GAP_S:
                self._on_gap(InputAudioRawFrame(bytes(2 * int(missing_s * sample_rate)), sample_rate))


logger = logging.getLogger(__name__)

QUEUE_MS = 5000
"""Maximum sound (ms) queued for the pipeline, for example while services connect; then the oldest is
dropped."""

AUDIO_IN_HZ = 16000
AUDIO_OUT_HZ = 24000


class BaseInputTransport(FrameProcessor):
    """The first processor. A transport's reader passes sound to `receive_audio`, which does not wait.

    Speech is detected there, before the queue, so that an interruption takes effect at once even if the
    pipeline is busy.

    Attributes:
        dropped_ms: sound (ms) dropped because the pipeline was too slow.
        dropped_pictures: pictures replaced by a newer one before the pipeline took them.
    """

    default_in_hz = AUDIO_IN_HZ
    default_out_hz = AUDIO_OUT_HZ

    def __init__(self, params: TransportParams, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self.params = params
        self.dropped_ms = 0.0
        self.dropped_pictures = 0
        self._picture: InputImageRawFrame | None = None
        self.sample_rate = 0
        self._queue: deque[Frame] = deque()
        self._behind_ms = 0.0
        self._pump = EagerWork(self._push_received)
        self._open = True
        self._hearing: Hearing | None = None
        self._filter = params.audio_in_filter
        self._turn_sound: TurnAnalyzer | None = None
        self._resampler: Resampler | None = None

    # ------------------------------------------------------------ for the transport's reader

    def receive_audio(self, frame: InputAudioRawFrame) -> None:
        """Queue the caller's sound, without waiting."""
        if not self._open or not self.params.audio_in_enabled:
            return
        if self._filter is not None:
            frame = self._cleaned(frame, self._filter)
            if not frame.audio:
                return  # held back until more comes
        was_empty = not self._queue
        # Queued before speech detection, so that its events follow the sound; pushed after it, so that a
        # blocking processor delays no interruption.
        self._queue.append(frame)
        if self._turn_sound is not None:
            self._turn_sound.hear(frame.audio, frame.sample_rate)
        if self._hearing is not None:
            self._hearing.hear(frame)
        if was_empty:
            self._behind_ms = 0.0
            self._pump.kick()
        else:  # a push is under way or about to be
            self._behind_ms += _duration_ms(frame)
            if self._behind_ms >= QUEUE_MS:
                self._limit_queue()

    def _cleaned(self, frame: InputAudioRawFrame, cleaner: AudioFilter) -> InputAudioRawFrame:
        pcm = frame.audio if frame.num_channels == 1 else downmix(frame.audio, frame.num_channels)
        try:
            return InputAudioRawFrame(cleaner.filter(pcm, frame.sample_rate), frame.sample_rate)
        except Exception:  # the boundary to the bot's own filter
            logger.exception("the audio_in_filter failed; the call continues without it")
            self._filter = None
            return frame

    def push_soon(self, frame: Frame) -> None:
        """Push a frame after the sound received before it, without waiting. It is pushed in the loop's next
        iteration, so that a pause is announced before the frame that caused it."""
        self._queue.append(frame)
        asyncio.get_running_loop().call_soon(self._pump.kick)

    def receive_picture(self, picture: InputImageRawFrame) -> None:
        """Queue a picture of the caller, without waiting. It follows all sound; only the latest is kept."""
        if self._open and self.params.video_in_enabled:
            self.dropped_pictures += self._picture is not None
            self._picture = picture
            self._pump.kick()

    async def started(self, frame: StartFrame) -> None:
        """The pipeline has started. Override to start with it."""

    # ------------------------------------------------------------ as a processor

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        setup.floor.on_unmuted(self.user_started)
        if (turns := self.params.turn_analyzer) is not None:
            setup.floor.turn_analyzer = turns
            self._turn_sound = turns if turns.wants_sound else None
        if (analyzer := self.params.vad_analyzer) is not None:
            self._hearing = Hearing(analyzer, setup, on_event=self._speech_event, on_gap=self.receive_audio)

    async def cleanup(self) -> None:
        if self._hearing is not None:
            self._hearing.close()
        await super().cleanup()

    def totals(self) -> Mapping[str, float]:
        return {"dropped_ms": self.dropped_ms}

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        match frame:
            case StartFrame() if direction is DOWNSTREAM:
                await self._start(frame)
            case EndFrame() if direction is DOWNSTREAM:
                self._open = False
                self.push_soon(frame)
            case InputAudioRawFrame() if direction is DOWNSTREAM:
                self.receive_audio(self._at_our_rate(frame))  # from RTVI's raw-audio
            case CancelFrame():
                self._open = False
                await self.push_frame(frame, direction)
            case FilterEnableFrame(enable=enable):
                self._filter = self.params.audio_in_filter if enable else None
                await self.push_frame(frame, direction)
            case _:
                await self.push_frame(frame, direction)

    async def _start(self, frame: StartFrame) -> None:
        params = self.params
        frame = replace(
            frame,
            audio_in_sample_rate=frame.audio_in_sample_rate
            or params.audio_in_sample_rate
            or self.default_in_hz,
            audio_out_sample_rate=frame.audio_out_sample_rate
            or params.audio_out_sample_rate
            or self.default_out_hz,
        )
        self.sample_rate = frame.audio_in_sample_rate
        await self.push_frame(frame)
        self._pump.start(partial(self.create_task, name="pump"))
        await self.started(frame)

    def _at_our_rate(self, frame: InputAudioRawFrame) -> InputAudioRawFrame:
        if frame.sample_rate == self.sample_rate:
            return frame
        if self._resampler is None or self._resampler.rate_in != frame.sample_rate:
            self._resampler = Resampler(frame.sample_rate, self.sample_rate)
        pcm = self._resampler.process(downmix(frame.audio, frame.num_channels))
        return InputAudioRawFrame(pcm, self.sample_rate)

    async def _push_received(self) -> None:
        """Push what was received. A blocking pipeline delays only this."""
        while self._queue or self._picture is not None:
            if not self._queue:
                picture, self._picture = self._picture, None
                assert picture is not None
                await self.push_frame(picture)
                continue
            await self.push_frame(self._queue.popleft())

    def _speech_event(self, event: VADEvent) -> None:
        if event.started:
            self.user_started(event.at)
        else:
            self.user_stopped(event.at)

    def user_started(self, at: float) -> None:
        """The user started to speak at this time (s); the interruption strategy decides what the bot does."""
        if self.processor_setup.floor.user_started(at):
            self.push_soon(UserStartedSpeakingFrame(at=at))

    def user_stopped(self, at: float) -> bool:
        """The user stopped at this time (s); False if that is not reported (the user is muted)."""
        reported = self.processor_setup.floor.user_stopped(at)
        if reported:
            self.push_soon(UserStoppedSpeakingFrame(at=at))
        return reported

    def _limit_queue(self) -> None:
        """Drop what is too old.

        `_behind_ms` counts only frames that arrived while others were queued, so that most packets cost
        nothing; here it is recomputed.
        """
        self._behind_ms = sum(_duration_ms(f) for f in self._queue if isinstance(f, InputAudioRawFrame))
        if self._behind_ms > QUEUE_MS:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        if not self.dropped_ms:
            logger.warning(
                "The pipeline is %d ms behind the caller; the oldest sound is dropped. A processor blocks:"
                " run its slow work in a task",
                QUEUE_MS,
            )
        for index, frame in enumerate(self._queue):
            if isinstance(frame, InputAudioRawFrame):
                del self._queue[index]
                self._behind_ms -= _duration_ms(frame)
                self.dropped_ms += _duration_ms(frame)
                return


def _duration_ms(frame: InputAudioRawFrame) -> float:
    return len(frame.audio) * 500 / (frame.sample_rate * frame.num_channels)
