"""`LocalTTSService`: a voice with espeak-ng, in one helper process for all calls."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from runner.errors import ServiceError
from runner.frames import Frame, TTSAudioRawFrame, TTSTextFrame
from runner.processors.base import ProcessorSetup
from runner.services.common import warmup
from runner.services.common.spoken_text import Word, WordPlacer
from runner.services.local.helpers import VOICE_PACKAGE, Message, require
from runner.services.local.helpers.process import START_TIMEOUT_S, HelperProcess, Shared
from runner.services.tts import TTSService

logger = logging.getLogger(__name__)

HELPER = "runner.services.local.voice_helper"
VOICE = "en-us"
WORDS_PER_MINUTE = 165
JOB_CHARS = 400
"""Maximum length of a job; longer texts are split, so that no call waits long for another call's speech."""


def _need_espeak() -> None:
    require(VOICE_PACKAGE, "the local voice")


@dataclass(frozen=True, slots=True)
class VoiceProgram:
    """The program of a voice's helper process: a module that exchanges `voice_helper`'s messages.

    Attributes:
        needs: raises if a package or a model is missing.
    """

    module: str = HELPER
    what: str = "the voice"
    arguments: tuple[str, ...] = ()
    start_timeout_s: float = START_TIMEOUT_S
    needs: Callable[[], None] = _need_espeak


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of speech: s16le mono at `Voice.rate_hz`."""

    pcm: bytes


class Voice:
    """One voice process for all calls. If it ended, the next use starts another.

    Attributes:
        rate_hz: the sample rate of its sound.
    """

    def __init__(self, program: VoiceProgram | None = None) -> None:
        self._program = program or VoiceProgram()
        self._program.needs()
        self.rate_hz = 0
        self._jobs: dict[int, asyncio.Queue[Message | ServiceError]] = {}
        self._numbers = itertools.count(1)
        self._helper: HelperProcess | None = None
        self._starting = asyncio.Lock()

    @property
    def pid(self) -> int:
        """The helper's process id; 0 if there is none."""
        return self._helper.pid if self._helper else 0

    async def start(self) -> None:
        """Start the helper unless it runs. Raises `ServiceError` if it cannot be started."""
        async with self._starting:
            if self._helper is None or not self._helper.alive:
                program = self._program
                helper = HelperProcess(
                    program.module,
                    program.what,
                    self._on_message,
                    self._on_end,
                    program.arguments,
                    program.start_timeout_s,
                )
                self.rate_hz = int((await helper.start())["rate_hz"])
                self._helper = helper

    async def stop(self) -> None:
        """End the helper; speech in progress fails."""
        self._fail_all("the voice was stopped")
        if self._helper is not None:
            await self._helper.stop()

    async def synthesize(
        self, text: str, *, voice: str = VOICE, rate: int = WORDS_PER_MINUTE
    ) -> AsyncGenerator[Sound | Word, None]:
        """Speak `text` at `rate` words per minute: yields audio, and each word before the audio in which it
        begins.

        Offsets count from the beginning of the text. Closing the iterator stops the voice at once.
        """
        samples = 0
        for piece in pieces(text):
            before_ms = samples * 1000 / (self.rate_hz or 1)
            async with contextlib.aclosing(self._job(piece, voice, rate)) as items:
                async for item in items:
                    if isinstance(item, Sound):
                        samples += len(item.pcm) // 2
                        yield item
                    else:
                        yield Word(item.text, item.offset_ms + before_ms)

    async def _job(self, text: str, voice: str, rate: int) -> AsyncGenerator[Sound | Word, None]:
        await self.start()
        assert self._helper is not None
        number = next(self._numbers)
        answers = self._jobs[number] = asyncio.Queue()
        placer = WordPlacer(text)
        self._helper.send({"say": number, "text": text, "voice": voice, "rate": rate})
        try:
            while True:
                answer = await answers.get()
                if isinstance(answer, ServiceError):
                    raise answer
                if "done" in answer.header:
                    break
                for position, offset_ms in answer.header["words"]:
                    for word in placer.reached(position, offset_ms):
                        yield word
                yield Sound(answer.payload)
        finally:
            del self._jobs[number]  # a helper that has finished ignores the cancellation
            self._helper.send({"cancel": number})
        if error := answer.header.get("error"):
            raise ServiceError(error)
        for word in placer.finish():
            yield word

    def _on_message(self, message: Message) -> None:
        job = message.header.get("sound", message.header.get("done"))
        if isinstance(job, int) and job in self._jobs:
            self._jobs[job].put_nowait(message)

    def _on_end(self, sentence: str) -> None:
        logger.warning("%s; the next words start another", sentence)
        self._fail_all(sentence)

    def _fail_all(self, sentence: str) -> None:
        for answers in self._jobs.values():
            answers.put_nowait(ServiceError(sentence))


def pieces(text: str) -> list[str]:
    """A text in pieces of at most `JOB_CHARS` characters: cut after sentences, else between words."""
    found = []
    while len(text) > JOB_CHARS:
        window = text[: JOB_CHARS + 1]
        ends = [match.end() for match in re.finditer(r"[.!?]+\s", window)]
        spaces = [match.end() for match in re.finditer(r"\s+", window)]
        cut = min((ends or spaces or [JOB_CHARS])[-1], JOB_CHARS)
        found.append(text[:cut])
        text = text[cut:]
    return [piece for piece in [*found, text] if piece.strip()]


shared_voice: Shared[Voice] = Shared(Voice)


PAUSE_S = 0.15
"""Digital silence (s) kept after each utterance. espeak-ng adds 0.33 s; less is enough between sentences, and
the call then ends sooner after the last word."""


class LocalTTSService(TTSService):
    """Speaks with espeak-ng, in a process that all calls share: clear and fast, but plainly a machine.

    The audio is 22,050 Hz mono; each word has its time.

    Args:
        voice: one of espeak-ng's voices, such as "en-us", "en-gb", "en-gb-scotland", "en-us+f3".
        rate: words per minute, 80 to 450.
    """

    gives_word_times = True

    def __init__(self, *, voice: str = VOICE, rate: int = WORDS_PER_MINUTE, name: str | None = None) -> None:
        super().__init__(name=name)
        require(VOICE_PACKAGE, type(self).__name__)
        self._voice = voice
        self._rate = rate

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        await shared_voice.get()

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        voice = await shared_voice.get()
        said = voice.synthesize(text, voice=self._voice, rate=self._rate)
        pause = bytearray()
        async with contextlib.aclosing(said):
            async for item in said:
                if isinstance(item, Sound):
                    sound, pause = _without_pause(bytes(pause) + item.pcm)
                    if sound:
                        yield TTSAudioRawFrame(sound, voice.rate_hz)
                else:
                    yield TTSTextFrame(item.text, audio_offset_ms=item.offset_ms, joined=item.joined)
        rest = bytes(pause[: int(PAUSE_S * voice.rate_hz) * 2])
        if rest:
            yield TTSAudioRawFrame(rest, voice.rate_hz)


def _without_pause(pcm: bytes) -> tuple[bytes, bytearray]:
    """The audio up to its last sample that is not zero, and the digital silence after it."""
    end = len(pcm.rstrip(b"\0"))
    end += end % 2
    return pcm[:end], bytearray(pcm[end:])


warmup.register("the local voice", shared_voice.start, shared_voice.stop)
