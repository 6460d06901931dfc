"""A scripted caller, recogniser, language model and voice, and a transport without a wire.

Their delays use the event loop's clock, so under `run_virtual` every latency of a conversation is exact.
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
    InputAudioRawFrame,
    InputDTMFFrame,
    InterimTranscriptionFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors.base import FrameProcessor
from runner.processors.context import LLMContext
from runner.services.llm import LLMService
from runner.services.tts import TTSService
from runner.transports.base import BaseTransport
from runner.transports.input import BaseInputTransport
from runner.transports.output import BaseOutputTransport
from runner.transports.params import TransportParams
from runner.turns.segments import join_units, units


@dataclass(frozen=True)
class ScriptedVAD:
    """Detects speech `start_s` after it began, and its end after `stop_s` of silence."""

    start_s: float = 0.2
    stop_s: float = 0.4


class FakeInput(BaseInputTransport):
    """A caller controlled by the test. Without a `ScriptedVAD`, speech is detected at once; without a
    `ScriptedSTT`, it is transcribed when it ends.

    Attributes:
        said: what was said, with the time (s) at which it began.
    """

    def __init__(
        self,
        params: TransportParams,
        vad: ScriptedVAD | None = None,
        on_event: Callable[[str, object], None] | None = None,
    ) -> None:
        super().__init__(params)
        self.said: list[tuple[float, str]] = []
        self._on_event = on_event
        self.recogniser: ScriptedSTT | None = None
        self._vad = vad or ScriptedVAD(0.0, 0.0)
        self._noticed = False
        self._pieces = 0
        self._stopping: asyncio.Task[None] | None = None

    def start_speaking(self) -> None:
        """The VAD detects speech; the interruption strategy decides what the bot does."""
        self.user_started(self.processor_setup.clock())

    def stop_speaking(self, text: str | None = None) -> None:
        """The VAD detects the end of speech. With `text`, a transcript follows."""
        self.user_stopped(self.processor_setup.clock())
        if text is not None:
            self.push_soon(TranscriptionFrame(text))

    async def say(self, text: str, seconds: float = 1.0) -> None:
        """Say `text` in `seconds`. Returns after the last word."""
        began = self.processor_setup.clock()
        self.said.append((began, text))
        self._pieces += 1
        if self._stopping is not None:
            self._stopping.cancel()  # the pause was shorter than `stop_s`
        if self.recogniser is not None:
            self.recogniser.hears(text, seconds)
        noticed_s = min(self._vad.start_s, seconds)
        await asyncio.sleep(noticed_s)
        if not self._noticed and seconds >= self._vad.start_s:
            self._noticed = True
            self.user_started(began)
        await asyncio.sleep(seconds - noticed_s)
        if self._noticed:
            self._stopping = self.create_task(self._stop(text), "stop")
            if not self._vad.stop_s:
                await self._stopping

    async def make_noise(self, seconds: float = 0.3) -> None:
        """Make a noise that the VAD takes for speech and that the recogniser does not understand."""
        await self.say("", seconds)

    async def started(self, frame: StartFrame) -> None:
        if self._on_event is not None:
            self._on_event("on_client_connected", self)

    def hang_up(self) -> None:
        """Hang up: the bot's `on_client_disconnected` runs."""
        if self._on_event is not None:
            self._on_event("on_client_disconnected", self)

    def press(self, digits: str) -> None:
        """Press these keys."""
        for digit in digits:
            self.push_soon(InputDTMFFrame(digit))

    def send_silence(self, milliseconds: int = 20, sample_rate: int = 16000) -> None:
        """Send one chunk of silence."""
        samples = sample_rate * milliseconds // 1000
        self.receive_audio(InputAudioRawFrame(bytes(2 * samples), sample_rate))

    async def _stop(self, text: str) -> None:
        ended = self.processor_setup.clock()
        if self._vad.stop_s:
            await asyncio.sleep(self._vad.stop_s)
        self._noticed, self._stopping = False, None
        if not self.user_stopped(ended) and self.recogniser is not None:
            self.recogniser.ends()
        if self.recogniser is None:
            self.push_soon(TranscriptionFrame(text))


class ScriptedSTT(FrameProcessor):
    """Transcribes what its caller says: interim words while they speak, the final text `final_s` after the
    VAD's stop.

    Args:
        caller: `transport.caller`.
        final_s: time (s) from the VAD's stop to the transcript.
        interim: whether there are interim transcripts, one after each word.
        mishears: the wrong transcript for each text.
    """

    def __init__(
        self,
        caller: FakeInput,
        *,
        final_s: float = 0.1,
        interim: bool = True,
        mishears: dict[str, str] | None = None,
    ) -> None:
        super().__init__()
        caller.recogniser = self
        self._final_s = final_s
        self._interim = interim
        self._mishears = mishears or {}
        self._said: list[tuple[str, bool]] = []

    def hears(self, text: str, seconds: float) -> None:
        """The caller starts to say this."""
        words = units(self._mishears.get(text, text))
        before = len(self._said)
        self._said += [(unit.text, unit.joined) for unit in words]
        if self._interim and words:
            self.create_task(self._push_interims(before, len(words), seconds / len(words)), "interim")

    def ends(self) -> None:
        """The caller pauses: push the final transcript after `final_s`."""
        said, self._said = join_units(self._said), []
        self.create_task(self._push_final(said), "final")

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if isinstance(frame, UserStoppedSpeakingFrame) and direction is FrameDirection.DOWNSTREAM:
            self.ends()

    async def _push_interims(self, before: int, count: int, word_s: float) -> None:
        said = self._said
        for index in range(count):
            await asyncio.sleep(word_s)
            if said is not self._said:
                return
            await self.push_frame(InterimTranscriptionFrame(join_units(said[: before + index + 1])))

    async def _push_final(self, said: str) -> None:
        await asyncio.sleep(self._final_s)
        await self.push_frame(TranscriptionFrame(said))


LEAD_S = 0.12


class FakeOutput(BaseOutputTransport):
    """Records what is sent and when.

    Attributes:
        sent: (time, pcm) of each chunk.
        cleared: times at which unplayed sound was dropped.
        messages: messages sent to the client's application.
    """

    carries_messages = True

    def __init__(self, params: TransportParams, lead_s: float) -> None:
        super().__init__(params, lead_s=lead_s)
        self.sent: list[tuple[float, bytes]] = []
        self.cleared: list[float] = []
        self.messages: list[Any] = []

    async def write_audio(self, pcm: bytes) -> None:
        self.sent.append((self.processor_setup.clock(), pcm))

    def clear_audio(self) -> None:
        self.cleared.append(self.processor_setup.clock())

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
    """In a list of lines: the service fails here."""


Line = str | FunctionCall | Fails
"""One step of a scripted model: say words, call a tool, or fail."""


def tool_call(name: str, **arguments: Any) -> FunctionCall:
    """A tool call for a `ScriptedLLM`."""
    return FunctionCall(name, f"call-{name}", arguments)


class ScriptedLLM(LLMService):
    """Answers with the next of `replies`: the first word after `first_s`, the others `word_s` apart.

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
    """Speaks each word in `word_s` of sound; the first sound comes after `first_s`.

    Attributes:
        fails_at: the word at which the service fails.
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
    """A frame seen by a `Recorder`."""

    at: float
    frame: Frame
    direction: FrameDirection


@dataclass(eq=False)
class Recorder(FrameProcessor):
    """Records each frame with its time, and pushes it on."""

    wanted: Callable[[Frame], bool] = lambda frame: True
    seen: list[Seen] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if self.wanted(frame):
            self.seen.append(Seen(self.processor_setup.clock(), frame, direction))
        await self.push_frame(frame, direction)

    def names(self) -> list[str]:
        """The names of the frames, in order."""
        return [seen.frame.name for seen in self.seen]

    def of(self, *kinds: type[Frame]) -> list[Seen]:
        """The recorded frames of these types."""
        return [seen for seen in self.seen if isinstance(seen.frame, kinds)]
