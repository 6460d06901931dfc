"""Voices: convert text to speech, with the time of each word."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

from runner.frames import (
    Frame,
    FrameDirection,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    TextFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UnspokenTextFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor, stands_in_line, survives_interruption
from runner.services.common.failures import push_failure
from runner.services.common.sound_format import SoundReader, is_container
from runner.services.common.spoken_text import Piece, SentenceAggregator, cut
from runner.services.common.work import ReplyWork, iterating
from runner.turns.segments import speaking_weight, units

CHARS_PER_S = 14.5
"""Typical speed of voices (characters/s), to estimate word times."""


@dataclass(frozen=True, slots=True)
class _Say:
    """Text to speak, queued among the frames."""

    text: str
    reply_id: int | None
    joined: bool = False


class TTSService(FrameProcessor):
    """A voice. Override `run_tts`.

    Text is split into sentences, which are spoken in order in a task that an interruption stops. Other frames
    keep their place between the sentences.

    Attributes:
        gives_word_times: whether `run_tts` yields a `TTSTextFrame` for each word. If not, the times
            are estimated.
    """

    gives_word_times = False

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._sentences = SentenceAggregator()
        self._line: deque[Frame | _Say] = deque()
        self._work: ReplyWork | None = None
        self._reply_id: int | None = None
        self._read_only: int | None = None
        self._was_mute = False

    def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        """Say a sentence: yield `TTSAudioRawFrame`s, and `TTSTextFrame`s with `audio_offset_ms` from
        its beginning. Raise `ServiceError` with one sentence when the voice fails."""
        raise NotImplementedError(f"{type(self).__name__} does not override run_tts")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if direction is not DOWNSTREAM:
            await self.push_frame(frame, direction)
            return
        match frame:
            case TTSTextFrame():
                await self._in_line(frame)
            case TextFrame():
                reply_id = frame.reply_id or self._reply_id
                self._line += [self._to_say(piece, reply_id) for piece in self._sentences.feed(frame.text)]
            case TTSSpeakFrame():
                reply_id = frame.reply_id or self.processor_setup.replies.new()
                self._line += [_Say(piece.text, reply_id, piece.joined) for piece in cut(frame.text)]
            case LLMFullResponseStartFrame():
                self._sentences.clear()
                self._reply_id = frame.reply_id
                self._read_only = frame.reply_id if frame.skip_tts else None
                await self._in_line(frame)
            case LLMFullResponseEndFrame():
                self._flush_text()
                await self._in_line(frame)
            case _:
                await self._in_line(frame)
        if self._line and not self._busy:
            self._work = ReplyWork(self).start(self._serve, "speak")

    def interrupted(self) -> None:
        self._sentences.clear()
        self._line = deque(x for x in self._line if not isinstance(x, _Say) and survives_interruption(x))
        if self._work is not None and self._work.running:
            self._work.stop()
            self._work = ReplyWork(self).start(self._serve, "speak") if self._line else None

    @property
    def _busy(self) -> bool:
        return self._work is not None and self._work.running

    def _flush_text(self) -> None:
        self._line += [self._to_say(piece, self._reply_id) for piece in self._sentences.flush()]

    def _to_say(self, piece: Piece, reply_id: int | None) -> Frame | _Say:
        """A sentence to speak, or a frame with its text if the reply is not spoken."""
        if reply_id is not None and reply_id == self._read_only:
            return UnspokenTextFrame(piece.text, joined=piece.joined, reply_id=reply_id)
        return _Say(piece.text, reply_id, piece.joined)

    async def _in_line(self, frame: Frame) -> None:
        if (self._busy or self._line) and stands_in_line(frame):
            self._line.append(frame)
        else:
            await self.push_frame(frame)

    async def _serve(self, work: ReplyWork) -> None:
        while self._line:
            item = self._line.popleft()
            if isinstance(item, _Say):
                await self._say(work, item)
            else:
                await work.push(item)
        if self._work is work:
            self._work = None

    async def _say(self, work: ReplyWork, item: _Say) -> None:
        await work.push(TTSStartedFrame(item.text, reply_id=item.reply_id))
        joined = item.joined
        if not self.gives_word_times:
            for word in spread_words(item.text):
                await work.push(replace(word, reply_id=item.reply_id, joined=word.joined or joined))
                joined = False
        asked_at = self.processor_setup.clock()
        first = True
        try:
            spoken = iterating(self.run_tts(item.text), self, "run_tts")
            async with contextlib.aclosing(_as_samples(spoken, self)) as frames:
                async for frame in frames:
                    if first and isinstance(frame, OutputAudioRawFrame):
                        first = False
                        waited_ms = (self.processor_setup.clock() - asked_at) * 1000
                        await work.push(MetricsFrame("ttfb", self.name, waited_ms, reply_id=item.reply_id))
                    if isinstance(frame, TTSTextFrame):
                        frame = replace(frame, reply_id=item.reply_id, joined=frame.joined or joined)
                        joined = False
                    elif isinstance(frame, OutputAudioRawFrame):
                        frame = replace(frame, reply_id=item.reply_id)
                    await work.push(frame)
        except Exception as error:  # the boundary to the service's own code
            await push_failure(self, error)
            first = False
        if first and not self._was_mute and any(map(str.isalnum, item.text)):
            self._was_mute = True
            what = f"made no sound for {item.text[:60]!r}: run_tts yielded no audio frame"
            await self.push_error(f"{self.name} {what}")
        await work.push(TTSStoppedFrame(reply_id=item.reply_id))


async def _as_samples(frames: AsyncGenerator[Frame, None], voice: TTSService) -> AsyncGenerator[Frame, None]:
    """The same frames, with WAV audio converted to pcm. Raises `ServiceError` for other containers, and
    `TypeError` for other values."""
    reader: SoundReader | None = None
    begun = False
    async with contextlib.aclosing(frames):
        async for frame in frames:
            if not isinstance(frame, Frame):
                what = f"{type(voice).__name__}.run_tts yielded {frame!r:.60}"
                raise TypeError(f"{what}: yield TTSAudioRawFrame(pcm, sample_rate) or another frame")
            if isinstance(frame, OutputAudioRawFrame):
                if not begun and is_container(frame.audio):
                    reader = SoundReader(voice.name, frame.sample_rate)
                begun = True
                if reader is not None:
                    pcm = reader.feed(frame.audio)
                    frame = replace(frame, audio=pcm, sample_rate=reader.sample_rate, num_channels=1)
                    if not pcm:
                        continue
            yield frame


def spread_words(text: str) -> list[TTSTextFrame]:
    """The words of a text with estimated times."""
    frames = []
    before, end = 0.0, 0
    for unit in units(text):
        before += speaking_weight(text[end : unit.start])
        frames.append(
            TTSTextFrame(unit.text, audio_offset_ms=before / CHARS_PER_S * 1000, joined=unit.joined)
        )
        before += speaking_weight(unit.text)
        end = unit.start + len(unit.text)
    return frames
