"""Fakes with a clock: a transport without a wire, a scripted language model, a voice of silence.

They take their time on the loop's clock, so under `run_virtual` a conversation's every figure is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from runner.errors import ServiceError
from runner.frames import (
    Frame,
    FrameDirection,
    FunctionCall,
    TTSAudioRawFrame,
    TTSTextFrame,
)
from runner.processors.base import FrameProcessor
from runner.processors.context import LLMContext
from runner.services.llm import LLMService
from runner.services.tts import TTSService
from runner.testing.caller import FakeInput, ScriptedVAD
from runner.transports.base import BaseTransport
from runner.transports.output import BaseOutputTransport
from runner.transports.params import TransportParams
from runner.turns.segments import units

LEAD_S = 0.12


class FakeOutput(BaseOutputTransport):
    """Notes what is sent and when.

    Attributes:
        sent: (time, pcm) of each chunk.
        cleared: times at which the far end was told to be silent.
        messages: what was sent to the far end's application.
    """

    carries_messages = True

    def __init__(self, params: TransportParams, lead_s: float) -> None:
        super().__init__(params, lead_s=lead_s)
        self.sent: list[tuple[float, bytes]] = []
        self.cleared: list[float] = []
        self.messages: list[Any] = []

    async def write_audio(self, pcm: bytes) -> None:
        self.sent.append((self.lent.clock(), pcm))

    def clear_audio(self) -> None:
        self.cleared.append(self.lent.clock())

    async def send_message(self, message: Any) -> None:
        self.messages.append(message)


class FakeTransport(BaseTransport):
    """A transport without a wire."""

    def __init__(
        self,
        params: TransportParams | None = None,
        lead_s: float = LEAD_S,
        *,
        vad: ScriptedVAD | None = None,
    ) -> None:
        super().__init__()
        params = params or TransportParams(audio_in_enabled=True, audio_out_enabled=True)
        self.caller = FakeInput(params, vad, on_event=self.events.emit)
        self.listener = FakeOutput(params, lead_s)

    def input(self) -> FakeInput:
        return self.caller

    def output(self) -> FakeOutput:
        return self.listener


class Fails(Exception):
    """Among a fake's words: the service fails here."""


Line = str | FunctionCall | Fails
"""What a scripted model does: says words, calls a tool, fails."""


def tool_call(name: str, **arguments: Any) -> FunctionCall:
    """A call of a tool, for a `ScriptedLLM`."""
    return FunctionCall(name, f"call-{name}", arguments)


class ScriptedLLM(LLMService):
    """Answers with the next of `replies`, its words coming `word_s` apart after `first_s`.

    A reply is a text, or a list of texts, `tool_call`s and `Fails`.

    Attributes:
        asked: the messages of each question.
    """

    def __init__(
        self, replies: Sequence[str | Sequence[Line]], *, first_s: float = 0.15, word_s: float = 0.0
    ) -> None:
        super().__init__()
        self.asked: list[list[dict[str, Any]]] = []
        self._replies = iter(replies)
        self._first_s = first_s
        self._word_s = word_s

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        self.asked.append([dict(message) for message in context.messages])
        reply = next(self._replies, "I have nothing more to say.")
        await asyncio.sleep(self._first_s)
        for line in [reply] if isinstance(reply, str) else reply:
            if isinstance(line, Fails):
                raise ServiceError(str(line) or "the script says so")
            if isinstance(line, FunctionCall):
                yield line
                continue
            for word in line.split(" "):
                yield f"{word} "
                if self._word_s:
                    await asyncio.sleep(self._word_s)


class ScriptedTTS(TTSService):
    """Says each word in `word_s` of sound, its first sound coming after `first_s`.

    Attributes:
        fails_at: the service fails when it comes to this word.
    """

    gives_word_times = True

    def __init__(self, *, first_s: float = 0.08, word_s: float = 0.3, sample_rate: int = 24000) -> None:
        super().__init__()
        self._first_s = first_s
        self._word_s = word_s
        self._rate = sample_rate
        self.fails_at: str | None = None

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        await asyncio.sleep(self._first_s)
        sound = (b"\x00\x10\x00\xf0" * (self._rate // 2))[: int(self._word_s * self._rate) * 2]
        for index, (word, _, joined) in enumerate(units(text)):
            if word == self.fails_at:
                raise ServiceError("the script says so")
            yield TTSTextFrame(word, audio_offset_ms=index * self._word_s * 1000, joined=joined)
            yield TTSAudioRawFrame(sound, self._rate)


@dataclass
class Seen:
    """One frame that a `Recorder` saw."""

    at: float
    frame: Frame
    direction: FrameDirection


@dataclass(eq=False)
class Recorder(FrameProcessor):
    """Notes what passes, with its time, and lets it pass."""

    wanted: Callable[[Frame], bool] = lambda frame: True
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if self.wanted(frame):
            self.seen.append(Seen(self.lent.clock(), frame, direction))
        await self.push_frame(frame, direction)

    def names(self) -> list[str]:
        """The names of the frames, in order."""
        return [seen.frame.name for seen in self.seen]

    def of(self, *kinds: type[Frame]) -> list[Seen]:
        """What was seen of these kinds."""
        return [seen for seen in self.seen if isinstance(seen.frame, kinds)]
