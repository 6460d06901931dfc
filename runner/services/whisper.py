"""Recognition on this machine by faster-whisper: whole sentences, no account, no network.

The model runs in a helper process that all calls share, so that decoding blocks no call. Install it with
`botrun models fetch whisper base.en`; nothing is downloaded during a call.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import cache

from runner.errors import ServiceError
from runner.frames import Frame, MetricsFrame, TranscriptionFrame
from runner.processors.base import ProcessorSetup
from runner.services.common import warmup
from runner.services.local.helpers import Message, require_extra
from runner.services.local.helpers.process import HelperProcess, Shared
from runner.services.models import WHISPER, need_model
from runner.services.stt import SegmentedSTTService

logger = logging.getLogger(__name__)

HELPER = "runner.services.local.helpers.whisper_helper"
MODEL = "base.en"
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 20.0
LONGEST_S = 60.0
"""Maximum length (s) of an utterance; of a longer one, only the end is recognised."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """Options of decoding, passed to the helper at its start.

    Attributes:
        path: the model's folder.
        language: such as "en"; None detects it, which takes longer.
        beam_size: 1 is fastest.
        compute_type: "int8" is fast on any CPU; "float16" is for GPUs.
        device: "cpu", "cuda" or "auto".
        threads: CPU threads; 0 is faster-whisper's default.
    """

    path: str
    language: str | None = "en"
    beam_size: int = 1
    compute_type: str = "int8"
    device: str = "auto"
    threads: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """The recognised text; `confidence` is 0 to 1, None without words."""

    text: str
    confidence: float | None


class WhisperEars:
    """One model in one helper process. If the process ended, the next use starts another."""

    def __init__(self, decoding: Decoding) -> None:
        self._decoding = decoding
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Heard]] = {}
        self._helper: HelperProcess | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Load the model unless it is loaded. Raises `ServiceError` if it cannot be loaded."""
        async with self._starting:
            if self._helper is None or not self._helper.alive:
                options = json.dumps(asdict(self._decoding))
                helper = HelperProcess(
                    HELPER, "whisper", self._on_message, self._on_end, (options,), START_TIMEOUT_S
                )
                await helper.start()
                self._helper = helper

    async def stop(self) -> None:
        """End the helper; recognition in progress fails."""
        self._on_end("whisper was stopped")
        if self._helper is not None:
            await self._helper.stop()

    async def hear(self, pcm: bytes, sample_rate: int) -> Heard:
        """Recognise one utterance, after the earlier ones."""
        await self.start()
        assert self._helper is not None
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        try:
            self._helper.send(
                {"hear": number, "rate_hz": sample_rate}, pcm[-int(LONGEST_S * sample_rate) * 2 :]
            )
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                heard: Heard = await answer
                return heard
        except TimeoutError:
            raise ServiceError(f"whisper took longer than {ANSWER_TIMEOUT_S:g} s") from None
        finally:
            del self._answers[number]
            if not answer.done() or answer.cancelled():
                self._helper.send({"cancel": number})

    def _on_message(self, message: Message) -> None:
        answer = self._answers.get(message.header.get("heard", 0))
        if answer is None or answer.done():
            return
        if error := message.header.get("error"):
            answer.set_exception(ServiceError(f"whisper failed: {error}"))
        else:
            answer.set_result(Heard(message.header["text"], message.header["confidence"]))

    def _on_end(self, sentence: str) -> None:
        if self._answers:
            logger.warning("%s; the next utterance starts another", sentence)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ServiceError(sentence))


@cache
def shared_ears(decoding: Decoding) -> Shared[WhisperEars]:
    """The process with these options, shared by all calls."""
    return Shared(lambda: WhisperEars(decoding))


class WhisperSTTService(SegmentedSTTService):
    """Recognises each utterance when the VAD detects its end.

    Call `WhisperSTTService.preload("base.en")` at the top of a bot's file to load the model before the first
    call; else the first call waits for it.

    Args:
        model: a name from `botrun models`, or the path of a model in CTranslate2's format.
        language: such as "en"; None detects it, which takes longer.
        options: more fields of `Decoding`.
    """

    def __init__(
        self, *, model: str = MODEL, language: str | None = "en", name: str | None = None, **options: object
    ) -> None:
        super().__init__(name=name)
        self._shared = self.preload(model, language, **options)

    @classmethod
    def preload(
        cls, model: str = MODEL, language: str | None = "en", **options: object
    ) -> Shared[WhisperEars]:
        """Load the model before the first call. Raises if it, or its package, is missing."""
        require_extra("faster_whisper", "faster-whisper", WHISPER, cls.__name__)
        path = need_model(WHISPER, model, cls.__name__)
        shared = shared_ears(Decoding(str(path), language, **options))  # type: ignore[arg-type]
        warmup.register(f"whisper {path}", shared.start, shared.stop)
        return shared

    async def setup(self, setup: ProcessorSetup) -> None:
        await super().setup(setup)
        await self._shared.get()

    async def run_stt(self, audio: bytes) -> AsyncIterator[Frame]:
        asked_at = self.processor_setup.clock()
        ears = await self._shared.get()
        heard = await ears.hear(audio, self.sample_rate)
        yield MetricsFrame("ttfb", self.name, (self.processor_setup.clock() - asked_at) * 1000)
        yield TranscriptionFrame(heard.text, confidence=heard.confidence)
