"""`AudioRecorder`: records a call to disk, as it was heard, while it runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import IO, Any

from runner.audio.level import downmix
from runner.audio.resampler import Resampler
from runner.audio.tracks import ArrivingTrack, Track, interleave, wav_header
from runner.errors import why
from runner.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSTextFrame,
    UnspokenTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor

WRITE_EVERY_S = 1.0
HOLD_S = 1.5
"""Time (s) before audio is written: until then an interruption can cut the bot's audio, and the caller's can
arrive late."""

HEADER_BYTES = 44
NEAR_S = 0.03
"""Bot audio that starts within this time (s) of the end of earlier audio is appended to it."""


class AudioRecorder(FrameProcessor):
    """Records a call in stereo: the caller left, the bot right. The bot's audio is where the caller heard it;
    audio cut off by an interruption is left out.

    Place it after `transport.output()`. It writes during the call, so memory stays bounded and a crash leaves
    a playable file, at most 3 s short. Beside `call.wav` it writes `call.words.jsonl`, one JSON object per
    line: `{"speaker": "bot", "at_ms": 1200, "text": "Hello"}` for each word of the bot that was played (or
    sentence that was shown), and one with `until_ms` for each utterance of the caller. `"joined": true` marks
    a word without a space before it, as in Chinese.

    Args:
        path: the WAV file; its folder is created, an existing file is overwritten.
        sample_rate: sample rate of the file (Hz); None = the bot's rate.
    """

    def __init__(self, path: str | Path, *, sample_rate: int | None = None) -> None:
        super().__init__()
        self.path = Path(path)
        self.words_path = self.path.with_suffix(".words.jsonl")
        self._rate = sample_rate or 0
        self._begin = 0.0
        self._user: _Channel | None = None
        self._bot: _Channel | None = None
        self._file: _GrowingWav | None = None
        self._words: IO[str] | None = None
        self._lines: list[str] = []
        self._utterance = [0.0, 0.0]
        self._writing = asyncio.Lock()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if direction is not DOWNSTREAM:
            return
        match frame:
            case InputAudioRawFrame() if self._user is not None:
                self._user.arrive(frame, self._seconds(self.processor_setup.clock()))
            case OutputAudioRawFrame(heard_at=float() as at) if self._bot is not None:
                self._bot.put(frame, self._seconds(at))
            case BotStoppedSpeakingFrame(interrupted=True) if self._bot is not None:
                self._bot.cut(self._seconds(frame.at))
            case StartFrame():
                await self._start(frame)
            case _:
                self._note(frame)

    def _note(self, frame: Frame) -> None:
        match frame:
            case UserStartedSpeakingFrame(at=at):
                self._utterance = [at, at]
            case UserStoppedSpeakingFrame(at=at):
                self._utterance[1] = at
            case TTSTextFrame(heard_at=float() as at):
                self._write_words("bot", frame.text, at, **_joined(frame))
            case UnspokenTextFrame():
                self._write_words(
                    "bot", frame.text, self.processor_setup.clock(), read=True, **_joined(frame)
                )
            case TranscriptionFrame() if frame.text.strip():
                since, until = self._utterance
                self._write_words("user", frame.text, since, until_ms=self._ms(until))

    # ------------------------------------------------------------ begin and end

    async def _start(self, frame: StartFrame) -> None:
        self._rate = self._rate or frame.audio_out_sample_rate
        self._begin = self.processor_setup.clock()
        self._utterance = [self._begin, self._begin]
        self._user = _Channel(ArrivingTrack(frame.audio_in_sample_rate), self._rate)
        self._bot = _Channel(Track(frame.audio_out_sample_rate), self._rate)
        try:
            await asyncio.to_thread(self._open)
        except OSError as error:
            self._user = self._bot = None
            await self.push_error(f"AudioRecorder cannot write, so this call is not recorded: {why(error)}")
            return
        self.create_task(self._write_on(), "write")

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _GrowingWav(self.path, self._rate)
        self._words = self.words_path.open("w", encoding="utf-8")

    async def cleanup(self) -> None:
        if self._file is None:
            return
        until_s = self._seconds(self.processor_setup.clock())
        try:
            await self._write_until(until_s, last=True)
        finally:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._words is not None:
            self._words.close()

    # ------------------------------------------------------------ to disk

    async def _write_on(self) -> None:
        while True:
            await asyncio.sleep(WRITE_EVERY_S)
            await self._write_until(self._seconds(self.processor_setup.clock()) - HOLD_S)

    async def _write_until(self, until_s: float, *, last: bool = False) -> None:
        assert self._user is not None
        assert self._bot is not None
        assert self._file is not None
        left, right = self._user.take(until_s, last), self._bot.take(until_s, last)
        if last:  # each is rounded to whole samples, so they may differ by one
            longest = max(len(left), len(right))
            left, right = left.ljust(longest, b"\0"), right.ljust(longest, b"\0")
        async with self._writing:
            await asyncio.to_thread(self._append, left, right)

    def _append(self, left: bytes, right: bytes) -> None:
        """Runs in a thread, so that a slow disk blocks no call."""
        assert self._file is not None
        assert self._words is not None
        self._file.append(left, right)
        lines, self._lines = self._lines, []
        self._words.writelines(lines)
        self._words.flush()

    def _write_words(self, speaker: str, text: str, at: float, **more: Any) -> None:
        if self._file is not None:
            word = {"speaker": speaker, "at_ms": self._ms(at), **more, "text": text.strip()}
            self._lines.append(json.dumps(word, ensure_ascii=False) + "\n")

    def _seconds(self, at: float) -> float:
        return at - self._begin

    def _ms(self, at: float) -> int:
        return round(self._seconds(at) * 1000)


def _joined(frame: TTSTextFrame | UnspokenTextFrame) -> dict[str, bool]:
    """The `joined` field; left out if it is False."""
    return {"joined": True} if frame.joined else {}


class _Channel:
    """One speaker's track, at the rate of the incoming audio; converted to the file's rate when taken."""

    def __init__(self, track: Track, file_rate: int) -> None:
        self._track = track
        self._to_file = Resampler(track.sample_rate, file_rate)
        self._from_other: Resampler | None = None

    def arrive(self, frame: InputAudioRawFrame, at_s: float) -> None:
        assert isinstance(self._track, ArrivingTrack)
        self._track.arrive(self._mono(frame), self._position(at_s))

    def put(self, frame: OutputAudioRawFrame, at_s: float) -> None:
        position = self._position(at_s)
        near = abs(position - self._track.end) <= NEAR_S * self._track.sample_rate
        self._track.put(self._track.end if near else position, self._mono(frame))

    def cut(self, at_s: float) -> None:
        self._track.cut(self._position(at_s))

    def take(self, until_s: float, last: bool) -> bytes:
        """Audio up to `until_s`, or all of it if `last`."""
        until = self._position(until_s)
        pcm = self._to_file.process(self._track.take(max(until, self._track.end) if last else until))
        return pcm + self._to_file.flush() if last else pcm

    def _position(self, at_s: float) -> int:
        return round(at_s * self._track.sample_rate)

    def _mono(self, frame: InputAudioRawFrame | OutputAudioRawFrame) -> bytes:
        pcm = downmix(frame.audio, frame.num_channels)
        if frame.sample_rate == self._track.sample_rate:
            return pcm
        if self._from_other is None or self._from_other.rate_in != frame.sample_rate:
            self._from_other = Resampler(frame.sample_rate, self._track.sample_rate)
        return self._from_other.process(pcm)


class _GrowingWav:
    """A stereo WAV file that is readable at any time: each write updates its header."""

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._file = path.open("wb", buffering=0)
        self._rate = sample_rate
        self._bytes = 0
        self._waiting = (b"", b"")
        self._write_header()

    def append(self, left: bytes, right: bytes) -> None:
        """Append audio of both channels; keep the surplus of the longer one for the next call."""
        left, right = self._waiting[0] + left, self._waiting[1] + right
        both = min(len(left), len(right))
        stereo = interleave(left[:both], right[:both])
        self._waiting = left[both:], right[both:]
        self._file.seek(HEADER_BYTES + self._bytes)
        self._file.write(stereo)
        self._bytes += len(stereo)
        self._write_header()

    def close(self) -> None:
        self._file.close()

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(wav_header(self._bytes, self._rate, 2))
