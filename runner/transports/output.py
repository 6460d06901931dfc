"""Outbound sound: cut into chunks, sent when due, and followed until the listener has heard it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from runner.audio.dtmf import tones
from runner.audio.mixer import MixerEnableFrame, MixerUpdateSettingsFrame, VolumeFrame
from runner.audio.playout import Pacer, Playout
from runner.eventloop.clock import Alarm
from runner.eventloop.inline_task import EagerWork
from runner.frames import (
    BotPausedSpeakingFrame,
    BotResumedSpeakingFrame,
    CancelFrame,
    DataFrame,
    EndFrame,
    Frame,
    FrameDirection,
    MetricsFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputImageRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    StartFrame,
    TransferCallFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM, FrameProcessor, ProcessorSetup, stands_in_line
from runner.transports.background import Control, Surroundings
from runner.transports.heard import Heard
from runner.transports.outbox import Chunk, Outbox, Pause
from runner.transports.params import TransportParams
from runner.transports.pictures import PictureError

logger = logging.getLogger(__name__)

TAIL_CHUNKS = 3
"""Sound that does not fill a chunk waits this many chunks' time for more, then is padded with silence."""

AUDIO_OUT_HZ = 24000


class OutputWire(FrameProcessor):
    """An output's operations on its wire. A transport overrides those that its wire supports."""

    chunk_ms = 20
    """Length (ms) of the chunks that `write_audio` gets."""

    takes_back = True
    """Whether `clear_audio` makes the peer drop unplayed sound; a pause then queues that sound again."""

    carries_messages = False
    """Whether messages reach the peer's application; RTVI is used then."""

    def wire_rate(self, asked: int) -> int:
        """The rate (Hz) of `write_audio` if the bot asks for this one; other sound is resampled to it."""
        return asked

    async def write_audio(self, pcm: bytes) -> None:
        """Send one chunk of pcm at `sample_rate`; return when there is room for the next."""
        raise NotImplementedError

    def try_write(self, take: Callable[[], bytes]) -> bool:
        """Send the chunk that `take` returns, if that is possible without waiting.

        Otherwise returns False without calling `take`, and `write_audio` is used.
        """
        return False

    def clear_audio(self) -> None:
        """Drop all written sound that has not been played, here and at the peer."""

    def playout_delay(self) -> float:
        """Seconds from `write_audio` until the listener hears the sound."""
        return 0.0

    def write_picture(self, picture: OutputImageRawFrame) -> None:
        """Show a picture soon, without waiting. Raises `PictureError`."""

    async def send_message(self, message: Any) -> None:
        """Send a JSON value to the peer's application."""

    async def transfer_call(self, to: str) -> None:
        """Transfer the caller to another number; what the bot said before has been heard."""
        await self.push_error("Only phone calls can be transferred; this caller uses another transport.")

    async def started(self, frame: StartFrame) -> None:
        """Called once, before the first sound."""

    async def utterance_written(self) -> None:
        """The last sound of an utterance has been written."""

    def dtmf_message(self, digit: str) -> Any:
        """The peer's message for a key, for `send_dtmf`; None sends tones instead."""
        return None

    async def send_dtmf(self, message: Any) -> None:
        """Send what `dtmf_message` made."""


class BaseOutputTransport(OutputWire):
    """The processor that sends to the caller. A transport overrides the methods of `OutputWire`.

    Args:
        lead_s: how far ahead of its playout sound is sent (s); None if `write_audio` waits until the next
            chunk is due.

    Attributes:
        refused_ms: sound (ms) of interrupted replies that arrived after the interruption.
    """

    def __init__(
        self, params: TransportParams, *, lead_s: float | None = None, name: str | None = None
    ) -> None:
        super().__init__(name=name)
        self.params = params
        self.refused_ms = 0.0
        self.sample_rate = 0
        self.playout = Playout(AUDIO_OUT_HZ)
        self._pacer = Pacer(lead_s) if lead_s is not None else None
        self._sender = EagerWork(self._send_due, at_once=self._send_at_once)
        self._outbox = Outbox(self._sender.kick)
        self._pause = Pause(self.playout, self._outbox)
        self._tail_due = 0.0
        self._alarm = Alarm(self._sender.kick)
        self._utterance_at = 0
        self._around: Surroundings | None = None
        self._open = False

    # ------------------------------------------------------------ for the transport

    @property
    def speech_until(self) -> int:
        """The position (samples) at which the speech that was written ends."""
        return self._heard.speech_until

    def heard_up_to(self, position: int) -> None:
        """The peer reports that it has played up to this position."""
        self.playout.reached(position, self._clock())
        self._heard.marked()

    # ------------------------------------------------------------ as a processor

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        self._clock, self._replies = setup.clock, setup.replies
        self._heard = Heard(
            self.playout,
            setup.clock,
            delay_s=self.playout_delay,
            deliver=self._deliver,
            report=self._announce,
            more_to_come=lambda: bool(self._outbox.items),
        )
        setup.floor.add_output(self)
        setup.replies.on_release(self._sender.kick)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is UPSTREAM:
            # Processors behind the output that draw what is heard send their pictures upstream.
            if isinstance(frame, OutputImageRawFrame):
                await self._show(frame)
            else:
                await self.push_frame(frame, direction)
        elif isinstance(frame, OutputAudioRawFrame) and (
            frame.reply_id is None or self._replies.is_live(frame.reply_id)
        ):
            self._take_sound(frame)  # the most frequent frame
        else:
            await self._take(frame)

    async def _take(self, frame: Frame) -> None:
        match frame:
            case StartFrame():
                await self._start(frame)
            case OutputTransportMessageUrgentFrame():
                await self.send_message(frame.message)
            case CancelFrame():
                self._open = False
                await self.push_frame(frame)
            case DataFrame() if not self._replies.is_live(frame.reply_id):
                self._refuse(frame)
            case OutputImageRawFrame():
                await self._show(frame)
                await self.push_frame(frame)
            case OutputDTMFFrame(digit=digit) if self.dtmf_message(digit) is None:
                self._take_sound(OutputAudioRawFrame(tones(digit, self.sample_rate), self.sample_rate))
            case _ if stands_in_line(frame):
                await self._take_in_line(frame)
            case _:
                await self.push_frame(frame)

    def totals(self) -> Mapping[str, float]:
        return {"underruns": self.playout.underruns, "refused_ms": self.refused_ms}

    def interrupted(self) -> None:
        """Drop all unheard sound: here, in the resampler and at the peer."""
        kept = self._outbox.clear()
        self._pause.forget()
        if not self._open:
            self._outbox.put_back(kept)
            return
        self._silence()
        self.create_task(self._cut(kept), "interrupted")

    async def _cut(self, kept: list[Frame]) -> None:
        await self._heard.cut()
        self._outbox.put_back(kept)

    def _silence(self) -> None:
        self.clear_audio()
        if self._pacer is not None:
            self._pacer.reset()
        if self._around is not None:
            self._around.cleared()

    # ------------------------------------------------------------ pause

    def pause(self) -> None:
        """Fall silent now and keep the unheard sound. A peer that cannot drop sound plays what it has."""
        if self._pause.on or not self._open:
            return
        self._pause.begin(self._heard, take_back=self.takes_back)
        if self.takes_back:
            self._silence()
        self._heard.pause()
        if self._heard.speaking:
            self._pause.announced = True
            self.create_task(self._announce(BotPausedSpeakingFrame(at=self._clock())), "paused")

    def resume(self) -> None:
        """Continue where the pause began; each sample is heard exactly once."""
        if not self._pause.on:
            return
        self._utterance_at += self._pause.end(self._heard)
        gap_ms = self._heard.resume() * 1000
        self._sender.kick()
        if self._pause.announced:
            self._pause.announced = False
            self.create_task(self._announce_gap(gap_ms), "resumed")

    async def _announce_gap(self, gap_ms: float) -> None:
        await self._announce(BotResumedSpeakingFrame(at=self._clock(), gap_ms=gap_ms))
        await self.push_frame(MetricsFrame("pause", self.name, gap_ms))

    # ------------------------------------------------------------ in

    async def _start(self, frame: StartFrame) -> None:
        asked = frame.audio_out_sample_rate or self.params.audio_out_sample_rate or AUDIO_OUT_HZ
        self.sample_rate = self.wire_rate(asked)
        self.playout.sample_rate = self.sample_rate
        self._outbox.open(self.sample_rate, self.chunk_ms)
        self._around = await Surroundings.prepare(self.params.audio_out_mixer, self.sample_rate)
        self._open = True
        self._sender.start(partial(self.create_task, name="send"))
        self._heard.start(partial(self.create_task, name="heard"))
        await self.started(frame)
        await self.push_frame(frame)

    def _take_sound(self, frame: OutputAudioRawFrame) -> None:
        if self._open and self.params.audio_out_enabled:
            self._tail_due = self._clock() + TAIL_CHUNKS * self.chunk_ms / 1000
            self._outbox.put_sound(frame)

    async def _show(self, picture: OutputImageRawFrame) -> None:
        if self._open and self.params.video_out_enabled:
            try:
                self.write_picture(picture)
            except PictureError as error:
                await self.push_error(str(error))

    async def _take_in_line(self, frame: Frame) -> None:
        if isinstance(frame, TTSStoppedFrame | EndFrame):
            self._outbox.flush()
        self._outbox.put(frame)

    def _refuse(self, frame: DataFrame) -> None:
        if isinstance(frame, OutputAudioRawFrame):
            self.refused_ms += len(frame.audio) * 500 / (frame.sample_rate * frame.num_channels)

    # ------------------------------------------------------------ out

    def _send_at_once(self) -> bool:
        """Write the chunks that are due without waiting; returns whether that was all there is to do."""
        items = self._outbox.items
        while items:
            if isinstance(items[0], Frame) or self._pause.on or self._replies.holding:
                return False
            if self._pacer is not None and (wait_s := self._pacer.wait_s(self._clock())) > 0:
                self._alarm.ring_in(wait_s)
                return True
            if not self.try_write(self._take_first):
                return False
        return self._outbox.tail is None and self._around is not None and self._around.untouched

    def _take_first(self) -> bytes:
        chunk = self._outbox.items.popleft()
        assert isinstance(chunk, Chunk)
        return self._leaving(chunk, self._clock())

    async def _send_due(self) -> None:
        """Write the chunks that are due, and set an alarm for the next one."""
        items, replies = self._outbox.items, self._replies
        while True:
            free = items and not self._pause.on and not (replies.holding and replies.is_held(items[0]))
            item = items[0] if free else None
            if isinstance(item, Frame):
                items.popleft()
                await self._place(item)
            elif (wait_s := self._patience_s() if item is None else self._wait_s()) > 0:
                if wait_s < math.inf:
                    self._alarm.ring_in(wait_s)
                return
            elif item is not None:
                items.popleft()
                await self._write(item)
            elif self._outbox.tail is not None:
                self._outbox.flush()
            else:
                await self._write(Chunk(bytes(self.sample_rate * self.chunk_ms // 1000 * 2), None, False))

    def _patience_s(self) -> float:
        """Time (s) to wait for more sound before an incomplete chunk or the background is sent."""
        now = self._clock()
        if self._around is not None and self._around.playing and self._open:
            return self._around.wait_s(now)
        return math.inf if self._outbox.tail is None else self._tail_due - now

    def _wait_s(self) -> float:
        return self._pacer.wait_s(self._clock()) if self._pacer is not None else 0.0

    async def _write(self, chunk: Chunk) -> None:
        await self.write_audio(self._leaving(chunk, self._clock()))

    def _leaving(self, chunk: Chunk, now: float) -> bytes:
        """The pcm of a chunk that is written now; notes its position to follow its playout."""
        if self.takes_back and not self._pause.on:
            self._outbox.left(chunk, self.playout.written, self._heard.position)
        if self._around is not None and not self._around.untouched:
            pcm = self._around.around(chunk.pcm, speech=chunk.speech, now=now)
            chunk = chunk._replace(pcm=pcm)
        begin = self.playout.written
        samples = len(chunk.pcm) // 2
        self.playout.wrote(samples, now)
        if self._pacer is not None:
            self._pacer.sent(samples / self.sample_rate, now)
        if chunk.speech:
            self._heard.speech(begin, self.playout.written)
        if self._next is not None and not self._next.is_end and not chunk.delivered:
            kind = TTSAudioRawFrame if chunk.speech else OutputAudioRawFrame
            self._heard.place(kind(chunk.pcm, self.sample_rate, reply_id=chunk.reply_id), begin)
        return chunk.pcm

    async def _place(self, frame: Frame) -> None:
        position = self.playout.written
        match frame:
            case TTSStartedFrame():
                self._utterance_at = position
            case TTSStoppedFrame():
                self._heard.end_words_at(position)
                await self.utterance_written()
            case EndFrame() | TransferCallFrame():
                await self.utterance_written()
            case VolumeFrame() | MixerEnableFrame() | MixerUpdateSettingsFrame():
                await self._control(frame)
            case TTSTextFrame(audio_offset_ms=float() | int() as offset_ms):
                # A word counts as heard with its first sample, not with the silence before it.
                position = self._utterance_at + 1 + round(offset_ms * self.sample_rate / 1000)
        self._heard.place(frame, position)

    async def _control(self, frame: Control) -> None:
        assert self._around is not None
        try:
            self._around.control(frame)
        except (ValueError, TypeError) as error:  # no such sound or setting
            await self.push_error(f"The background sound was not changed: {error}")

    async def _deliver(self, frame: Frame) -> None:
        if isinstance(frame, OutputTransportMessageFrame):
            await self.send_message(frame.message)
        elif isinstance(frame, OutputDTMFFrame):
            await self.send_dtmf(self.dtmf_message(frame.digit))
        elif isinstance(frame, TransferCallFrame):
            await self.push_frame(frame)
            self.create_task(self.transfer_call(frame.to), "transfer")
        else:
            await self.push_frame(frame)

    async def _announce(self, frame: Frame) -> None:
        await self.push_frame(frame, UPSTREAM)
        await self.push_frame(frame, DOWNSTREAM)
