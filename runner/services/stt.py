"""Speech recognition: audio in, `TranscriptionFrame`s out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from runner.frames import (
    Frame,
    FrameDirection,
    InputAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import FrameProcessor
from runner.services.common.failures import push_failure
from runner.services.common.work import iterating

PRE_ROLL_S = 0.6
"""Audio (s) kept from before the VAD detects speech (after `start_secs`), so that words keep their
beginning."""


class STTService(FrameProcessor):
    """A recogniser that gets all audio, continuously.

    Override `run_stt`; it is called in order, in a task of the service, so that the call's audio never waits
    for the recogniser. The audio is also pushed on, for later processors.
    """

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._inbox: asyncio.Queue[bytes] = asyncio.Queue()
        self._listener: asyncio.Task[None] | None = None

    def run_stt(self, audio: bytes) -> AsyncIterator[Frame]:
        """Recognise a chunk of pcm; yield frames, mostly `TranscriptionFrame`s."""
        raise NotImplementedError(f"{type(self).__name__} does not override run_stt")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        match frame:
            case InputAudioRawFrame():
                self.hear(frame)
            case UserStartedSpeakingFrame() if direction is FrameDirection.DOWNSTREAM:
                self.speech_started(frame)
            case UserStoppedSpeakingFrame() if direction is FrameDirection.DOWNSTREAM:
                self.speech_ended(frame)

    def hear(self, frame: InputAudioRawFrame) -> None:
        """Take audio of the caller. Must not block."""
        self.recognise(frame.audio)

    def speech_started(self, frame: UserStartedSpeakingFrame) -> None:
        """The VAD detected the start of speech. Must not block."""

    def speech_ended(self, frame: UserStoppedSpeakingFrame) -> None:
        """The VAD detected the end of speech. Must not block."""

    def recognise(self, audio: bytes) -> None:
        """Queue pcm for `run_stt`."""
        if self._listener is None:
            self._listener = self.create_task(self._listen(), "listen")
        self._inbox.put_nowait(audio)

    async def _listen(self) -> None:
        while True:
            audio = await self._inbox.get()
            try:
                async for frame in iterating(self.run_stt(audio), self, "run_stt"):
                    if not isinstance(frame, Frame):
                        what = f"{type(self).__name__}.run_stt yielded {frame!r:.60}"
                        raise TypeError(f"{what}: yield TranscriptionFrame(text) or another frame")
                    await self.push_frame(frame)
            except Exception as error:  # the boundary to the service's own code
                await push_failure(self, error)


class SegmentedSTTService(STTService):
    """A recogniser that gets one whole utterance at a time: `run_stt` is called with its pcm."""

    def __init__(self, *, name: str | None = None) -> None:
        super().__init__(name=name)
        self._before: deque[bytes] = deque()
        self._before_bytes = 0
        self._utterance: list[bytes] | None = None
        self.sample_rate = 0

    def hear(self, frame: InputAudioRawFrame) -> None:
        self.sample_rate = frame.sample_rate
        if self._utterance is not None:
            self._utterance.append(frame.audio)
            return
        self._before.append(frame.audio)
        self._before_bytes += len(frame.audio)
        limit = int(PRE_ROLL_S * frame.sample_rate) * 2
        while self._before_bytes - len(self._before[0]) >= limit:
            self._before_bytes -= len(self._before.popleft())

    def speech_started(self, frame: UserStartedSpeakingFrame) -> None:
        self._utterance = list(self._before)
        self._before.clear()
        self._before_bytes = 0

    def speech_ended(self, frame: UserStoppedSpeakingFrame) -> None:
        if self._utterance is not None:
            self.recognise(b"".join(self._utterance))
            self._utterance = None
