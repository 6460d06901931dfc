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
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Generic, TypeVar

from runner.errors import UsageError
from runner.frames import (
    Frame,
    FrameDirection,
    FunctionCall,
    LLMFullResponseStartFrame,
    StartFrame,
)
from runner.processors.base import DOWNSTREAM, UPSTREAM, FrameProcessor
from runner.processors.context import LLMContext
from runner.services.common.work import iterating
from runner.services.llm import LLMService
from runner.services.text.sentences import piece_end
from runner.services.text.spoken_words import Spoken
from runner.services.tts import TTSService, spread_words

T = TypeVar("T")

LLM_PATIENCE_S = 5.0
TTS_PATIENCE_S = 3.0
"""How long (s) a service may take to begin, if there is another."""

COOL_DOWN_S = 30.0
"""How long (s) a service that failed is asked last."""

GO_ON = (
    "Your answer broke off here. Go on with the next sentence. Do not repeat what was said, "
    "do not greet, and do not speak of this."
)


logger = logging.getLogger(__name__)

Service = TypeVar("Service", bound=FrameProcessor)


class Order(Generic[Service]):
    """The order of a fallback's services.

    Args:
        owner: whose log it is.
        services: in order of preference.
        cool_down_s: how long (s) one that failed is asked last.
    """

    def __init__(self, owner: FrameProcessor, services: Sequence[Service], cool_down_s: float) -> None:
        self._owner = owner
        self._services = list(services)
        self._cool_down_s = cool_down_s
        self._failed_until: dict[int, float] = {}
        self._current = self._services[0]

    def now(self) -> Iterator[tuple[Service, bool]]:
        """The services in the order in which to ask them, and whether each is the last."""
        row = sorted(self._services, key=self.is_resting)
        for service in row:
            yield service, service is row[-1]

    def is_resting(self, service: Service) -> bool:
        """Whether it failed a short while ago."""
        return self._failed_until.get(id(service), 0.0) > self._owner.processor_setup.clock()

    def failed(self, service: Service, error: BaseException) -> None:
        """This one failed just now."""
        reason = str(error) or type(error).__name__
        logger.warning("%s: %s failed: %s", self._owner.name, service.name, reason)
        self._failed_until[id(service)] = self._owner.processor_setup.clock() + self._cool_down_s

    def worked(self, service: Service) -> None:
        """This one has answered."""
        if service is not self._current:
            self._current = service
            logger.warning("%s: %s answers now", self._owner.name, service.name)


def check_services(owner: FrameProcessor, services: Sequence[object], kind: type[FrameProcessor]) -> None:
    """Raises `UsageError` unless there is a service, and all are of this kind."""
    if not services:
        raise UsageError(f"{type(owner).__name__} needs at least one service")
    for service in services:
        if not isinstance(service, kind):
            what = getattr(service, "__name__", type(service).__name__)
            raise UsageError(f"{type(owner).__name__} takes {kind.__name__}s, and {what} is none")


class Outlet(FrameProcessor):
    """Before and behind a service that is inside another: what it pushes leaves the outer one there."""

    def __init__(self, owner: FrameProcessor, direction: FrameDirection) -> None:
        super().__init__(name=f"{owner.name}.outlet")
        self._owner = owner
        self._direction = direction

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        came_in = isinstance(frame, StartFrame | LLMFullResponseStartFrame)
        if direction is self._direction and not came_in:
            await self._owner.push_frame(frame, direction)


def put_inside(owner: FrameProcessor, services: tuple[FrameProcessor, ...]) -> list[FrameProcessor]:
    """Put services inside `owner`; returns all processors inside it."""
    inside: list[FrameProcessor] = []
    for service in services:
        before, behind = Outlet(owner, UPSTREAM), Outlet(owner, DOWNSTREAM)
        before.link(service)
        service.link(behind)
        inside += [before, service, behind]
    return inside


class FallbackLLM(LLMService):
    """Asks the first of these language models, and the next if it fails.

    A model that breaks off in the middle is followed by the next from the last whole sentence on: text goes
    out in the pieces in which it is spoken, so that none is lost or said twice. Tools are registered here.

    Args:
        services: in order of preference.
        patience_s: how long (s) a model may take to begin, if there is another.
        cool_down_s: how long (s) one that failed is left alone.
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
    """What of a reply was given on: whole pieces; the rest waits, as it would wait in the voice."""

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
        # The space behind a sentence's end tells the voice that it is one.
        space = self.rest[: len(self.rest) - len(self.rest.lstrip())] if complete else ""
        self.rest = self.rest[len(space) :]
        self.text += complete + space
        return complete + space

    def begin_again(self) -> None:
        """Another model goes on from what was given on."""
        self.rest = ""
        self.calls.clear()


def _going_on(context: LLMContext, said: str) -> LLMContext:
    """The context as a model is asked that goes on where another broke off."""
    if not said.strip():
        return context
    view = copy.copy(context)
    begun = [{"role": "assistant", "content": said.strip()}, {"role": "system", "content": GO_ON}]
    view.messages = [*context.messages, *begun]
    return view


async def patiently(pieces: AsyncGenerator[T, None], first_s: float | None) -> AsyncGenerator[T, None]:
    """The same pieces; raises `TimeoutError` if the first takes longer."""
    async with contextlib.aclosing(pieces):
        try:
            async with asyncio.timeout(first_s):
                piece = await anext(pieces)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise TimeoutError(f"it had not begun after {first_s:g} s") from None
        yield piece
        async for piece in pieces:
            yield piece


class FallbackTTS(TTSService):
    """Speaks with the first of these voices, and with the next if it fails.

    A voice that breaks off in a sentence is followed by the next from the word on at which the sound ended:
    known exactly from voices that tell word times, by a usual speed from others.

    Args:
        services: in order of preference.
        patience_s: how long (s) a voice may take to begin a sentence, if there is another.
        cool_down_s: how long (s) one that failed is left alone.
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
