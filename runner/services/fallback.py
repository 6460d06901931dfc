"""Fallbacks: when a service fails, the next takes over within the same reply.

```python
llm = FallbackLLM(OpenAILLMService(), OllamaLLMService())
voice = FallbackTTS(CartesiaTTSService(), PiperTTSService())
ears = FallbackSTT(DeepgramSTTService(), LocalSTTService())
```
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator

from runner.errors import ServiceError
from runner.frames import (
    ErrorFrame,
    Frame,
    FrameDirection,
    FunctionCall,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMFullResponseStartFrame,
    StartFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import DOWNSTREAM, FrameProcessor
from runner.processors.context import LLMContext
from runner.services.common.failures import Order, check_services, put_inside
from runner.services.common.spoken_text import Spoken, piece_end
from runner.services.common.work import iterating, patiently
from runner.services.llm import LLMService
from runner.services.stt import STTService
from runner.services.tts import TTSService, spread_words

LLM_PATIENCE_S = 5.0
TTS_PATIENCE_S = 3.0
"""Time (s) for a service to begin, if there is another one."""

COOL_DOWN_S = 30.0
"""Time (s) for which a service that failed is tried last."""

GO_ON = (
    "Your answer broke off here. Go on with the next sentence. Do not repeat what was said, "
    "do not greet, and do not speak of this."
)


logger = logging.getLogger(__name__)


class FallbackLLM(LLMService):
    """Uses the first of these language models, and the next if it fails.

    If a model breaks off, the next one continues after its last complete sentence. Text is passed on in the
    pieces in which it is spoken, so that none is lost or repeated. Register tools here, not with the models.

    Args:
        services: in order of preference.
        patience_s: time (s) for a model to begin, if there is another.
        cool_down_s: time (s) for which one that failed is tried last.
    """

    def __init__(
        self,
        *services: LLMService,
        patience_s: float = LLM_PATIENCE_S,
        cool_down_s: float = COOL_DOWN_S,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_services(self, services, LLMService)
        self._inside = put_inside(self, services)
        self._order = Order(self, services, cool_down_s)
        self._patience_s = patience_s
        self.sorry = next((service.sorry for service in services if service.sorry), "")
        for service in services:
            service.toolbox = self.toolbox

    def children(self) -> Iterator[FrameProcessor]:
        yield from self._inside

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        said = _Said()
        for service, is_last in self._order.now():
            try:
                asked = _going_on(context, said.text)
                patience_s = None if is_last else self._patience_s
                async with contextlib.aclosing(
                    patiently(iterating(service.run_llm(asked), service, "run_llm"), patience_s)
                ) as pieces:
                    async for piece in pieces:
                        if isinstance(piece, str):
                            piece = said.take(piece)
                        if isinstance(piece, FunctionCall):
                            said.calls.append(piece)
                        elif piece:
                            yield piece
                break
            except Exception as error:  # the boundary to the service's own code
                self._order.failed(service, error)
                if is_last:
                    if said.rest:
                        yield said.rest
                    raise
                said.begin_again()
        if said.rest:
            yield said.rest
        self._order.worked(service)
        for call in said.calls:
            yield call


class _Said:
    """The part of a reply that was passed on, in whole pieces, and the rest."""

    def __init__(self) -> None:
        self.text = ""
        self.rest = ""
        self.calls: list[FunctionCall] = []

    def take(self, text: str) -> str:
        """Add text; returns what is complete now."""
        self.rest += text
        complete = ""
        while (end := piece_end(self.rest, first=not (self.text or complete))) is not None:
            complete, self.rest = complete + self.rest[:end], self.rest[end:]
        # The space after a sentence marks its end for the voice.
        space = self.rest[: len(self.rest) - len(self.rest.lstrip())] if complete else ""
        self.rest = self.rest[len(space) :]
        self.text += complete + space
        return complete + space

    def begin_again(self) -> None:
        """Another model continues after the text that was passed on."""
        self.rest = ""
        self.calls.clear()


def _going_on(context: LLMContext, said: str) -> LLMContext:
    """The context for a model that continues where another broke off."""
    if not said.strip():
        return context
    view = copy.copy(context)
    begun = [{"role": "assistant", "content": said.strip()}, {"role": "system", "content": GO_ON}]
    view.messages = [*context.messages, *begun]
    return view


class FallbackTTS(TTSService):
    """Uses the first of these voices, and the next if it fails.

    If a voice breaks off within a sentence, the next one continues at the word at which the audio ended. This
    is exact for voices that report word times, and estimated for others.

    Args:
        services: in order of preference.
        patience_s: time (s) for a voice to begin a sentence, if there is another.
        cool_down_s: time (s) for which one that failed is tried last.
    """

    gives_word_times = True

    def __init__(
        self,
        *services: TTSService,
        patience_s: float = TTS_PATIENCE_S,
        cool_down_s: float = COOL_DOWN_S,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_services(self, services, TTSService)
        self._voices = services
        self._inside = put_inside(self, services)
        self._order = Order(self, services, cool_down_s)
        self._patience_s = patience_s

    def children(self) -> Iterator[FrameProcessor]:
        yield from self._inside

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, StartFrame | LLMFullResponseStartFrame) and direction is DOWNSTREAM:
            for voice in self._voices:
                await voice.receive(frame, direction)
        await super().process_frame(frame, direction)

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        spoken = Spoken(text)
        for voice, is_last in self._order.now():
            try:
                patience_s = None if is_last else self._patience_s
                words = [] if voice.gives_word_times else spread_words(spoken.left)
                spoken.begin(words)
                async with contextlib.aclosing(patiently(voice.run_tts(spoken.left), patience_s)) as frames:
                    async for frame in frames:
                        for ready in spoken.take(frame):
                            yield ready
                for ready in spoken.finish():
                    yield ready
                self._order.worked(voice)
                return
            except Exception as error:  # the boundary to the service's own code
                self._order.failed(voice, error)
                if is_last:
                    raise
                spoken.break_off()
                if not spoken.left:
                    return


STT_PATIENCE_S = 5.0
"""Time (s) after the user has stopped after which a recogniser without a transcript has failed."""

LEAD_S = 1.0
"""Audio (s) before an utterance that a recogniser gets with it."""

_OURS = (StartFrame, InputAudioRawFrame, UserStartedSpeakingFrame, UserStoppedSpeakingFrame)
"""Frames that the fallback pushes on itself, so the recogniser's copies are dropped."""


class _JudgedOutlet(FrameProcessor):
    """Before or after one recogniser: passes what it pushes to the fallback."""

    def __init__(self, owner: FallbackSTT, service: STTService) -> None:
        super().__init__(name=f"{owner.name}.outlet")
        self._owner = owner
        self._service = service

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self._owner.take(self._service, frame, direction)


class FallbackSTT(FrameProcessor):
    """Uses the first of these recognisers, and the next if it fails.

    The next one gets the audio for which the first one failed. A recogniser that failed is used again after
    its cool-down, from the next utterance on.

    Args:
        services: in order of preference.
        patience_s: time (s) after the user has stopped for a transcript, even an empty one.
        cool_down_s: time (s) for which one that failed is tried last.
    """

    def __init__(
        self,
        *services: STTService,
        patience_s: float = STT_PATIENCE_S,
        cool_down_s: float = COOL_DOWN_S,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name)
        check_services(self, services, STTService)
        self._services = services
        self._order: Order[STTService] = Order(self, services, cool_down_s)
        self._patience_s = patience_s
        self._active = services[0]
        self._inside: list[FrameProcessor] = []
        for service in services:
            before, behind = _JudgedOutlet(self, service), _JudgedOutlet(self, service)
            before.link(service)
            service.link(behind)
            self._inside += [before, service, behind]
        self._kept: deque[Frame] = deque()
        self._kept_s = 0.0
        self._speaking = False
        self._awaiting = False
        self._deadline: asyncio.TimerHandle | None = None

    def children(self) -> Iterator[FrameProcessor]:
        yield from self._inside

    async def cleanup(self) -> None:
        self._forget_deadline()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if direction is not DOWNSTREAM or not isinstance(frame, _OURS):
            return
        if isinstance(frame, StartFrame):
            for service in self._services:
                await service.receive(frame, direction)
            return
        if isinstance(frame, UserStartedSpeakingFrame):
            await self._utterance_begins()
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._utterance_ends()
        self._keep(frame)
        await self._active.receive(frame, direction)

    async def take(self, service: STTService, frame: Frame, direction: FrameDirection) -> None:
        """Handle a frame that a recogniser pushed."""
        if isinstance(frame, ErrorFrame):
            await self._failed(service, frame.exception or ServiceError(frame.error))
        elif isinstance(frame, _OURS) or service is not self._active:
            return  # pushed already, or late words of a recogniser that failed
        else:
            if isinstance(frame, TranscriptionFrame):
                self._answered()
            elif isinstance(frame, InterimTranscriptionFrame):
                self._forget_deadline()
            await self.push_frame(frame, direction)

    # ------------------------------------------------------------ an utterance

    async def _utterance_begins(self) -> None:
        self._speaking = True
        self._forget_deadline()
        best = next(service for service, _ in self._order.now())
        if best is not self._active and not self._awaiting:
            self._active = best
            self._order.worked(best)
            await self._hear_again()

    def _utterance_ends(self) -> None:
        self._speaking = False
        self._awaiting = True
        self._forget_deadline()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._patience_s, self._is_overdue)

    def _answered(self) -> None:
        self._forget_deadline()
        if not self._speaking:
            self._awaiting = False
            self._trim()

    def _is_overdue(self) -> None:
        late = ServiceError(f"no transcript {self._patience_s:g} s after the user has stopped")
        self.create_task(self._failed(self._active, late), "overdue")

    def _forget_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # ------------------------------------------------------------ audio that may be needed again

    def _keep(self, frame: Frame) -> None:
        self._kept.append(frame)
        self._kept_s += _seconds(frame)
        if not (self._speaking or self._awaiting):
            self._trim()

    def _trim(self) -> None:
        while self._kept and self._kept_s - _seconds(self._kept[0]) >= LEAD_S:
            self._kept_s -= _seconds(self._kept.popleft())

    async def _failed(self, service: STTService, error: BaseException) -> None:
        self._order.failed(service, error)
        if service is not self._active:
            return
        following = next(other for other, _ in self._order.now())
        if self._order.is_resting(following):
            self._forget_deadline()
            await self.push_error(f"{self.name} failed: no other recogniser is left", exception=error)
            return
        self._active = following
        self._order.worked(following)
        if self._awaiting and not self._speaking:
            self._utterance_ends()
        await self._hear_again()

    async def _hear_again(self) -> None:
        for frame in tuple(self._kept):
            await self._active.receive(frame, DOWNSTREAM)


def _seconds(frame: Frame) -> float:
    if not isinstance(frame, InputAudioRawFrame):
        return 0.0
    return len(frame.audio) / (2 * frame.sample_rate * frame.num_channels)
