"""Bots of fakes whose every sample can be counted, and the ways to ring them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runner import RunnerArguments, WebSocketRunnerArguments, create_transport
from runner.audio.level import rms
from runner.audio.resampler import Resampler
from runner.botcode.loader import LoadedBot
from runner.callers.call import new_wire
from runner.callers.memory_socket import dial
from runner.callers.phone import Phone
from runner.callers.sound.line import Line
from runner.callers.wires import Wire
from runner.cli.listen import address_of, open_listener
from runner.frames import (
    EndTaskFrame,
    Frame,
    FrameDirection,
    InputDTMFFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.processors.base import UPSTREAM
from runner.serializers.wire import decoder_for, encoder_for
from runner.server.app import create_app
from runner.server.host import Host
from runner.server.wire.uvicorn_server import Server
from runner.services.tts import TTSService
from runner.sessions.registry import SessionLimits, Sessions
from runner.settings import Settings
from runner.testing import Recorder, ScriptedLLM
from runner.transports.websocket import FastAPIWebsocketParams
from runner.turns.vad import VADEvent, VADParams
from runner.vad.base import VADAnalyzer

PHONES = ("twilio", "telnyx", "plivo", "exotel")
WORD_S = 0.25
URL = "ws://127.0.0.1:7860/ws"


class LoudnessVAD(VADAnalyzer):
    """Takes what is loud for speech."""

    def __init__(self) -> None:
        super().__init__(params=VADParams(start_secs=0.1, stop_secs=0.2), window_secs=0.02)
        self._rest = b""

    def analyze(self, pcm: bytes, now: float) -> list[VADEvent]:
        self._rest += pcm
        size = (self.sample_rate or 8000) // 50 * 2
        events = []
        count = len(self._rest) // size
        for index in range(count):
            loud = rms(self._rest[index * size : (index + 1) * size]) > 500
            ends = now - 0.02 * (count - 1 - index)
            event = self._machine.update(float(loud), float(loud), ends)
            events += [event] if event else []
        self._rest = self._rest[count * size :]
        return events


class CountedVoice(TTSService):
    """Says each word in `WORD_S` of noise that no other word has; notes what it has said, and when. With
    `frame_ms` its sound comes in pieces, `speed` times as fast as it is heard."""

    gives_word_times = True

    def __init__(self, sample_rate: int, frame_ms: int = 0, speed: float = 2.0) -> None:
        super().__init__()
        self._speed = speed
        self.rate = sample_rate
        self.said: list[bytes] = []
        self.first_frame_at: list[float] = []
        self._frame_bytes = sample_rate * frame_ms // 1000 * 2
        self._words = 0

    first_s = 0.05

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        await asyncio.sleep(self.first_s)
        self.first_frame_at.append(self.processor_setup.clock())
        self.said.append(b"")
        for index, word in enumerate(text.split()):
            self._words += 1
            yield TTSTextFrame(word, audio_offset_ms=index * WORD_S * 1000)
            sound = noise(self._words, WORD_S, self.rate)
            step = self._frame_bytes or len(sound)
            for at in range(0, len(sound), step):
                piece = sound[at : at + step]
                self.said[-1] += piece
                yield TTSAudioRawFrame(piece, self.rate)
                if self._frame_bytes:
                    await asyncio.sleep(len(piece) / 2 / self.rate / self._speed)


class Understood(FrameProcessor):
    """A recogniser that always understands something, and keys that are words."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, InputDTMFFrame):
            await self.push_frame(TranscriptionFrame(f"key {frame.digit}"))
            return
        await self.push_frame(frame, direction)
        if isinstance(frame, UserStoppedSpeakingFrame):
            await self.push_frame(TranscriptionFrame("words"))


class Goodbye(FrameProcessor):
    """Ends the call behind the reply that says goodbye."""

    def __init__(self) -> None:
        super().__init__()
        self._bye = False

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        self._bye = self._bye or "goodbye" in getattr(frame, "text", "").lower()
        if self._bye and frame.name == "LLMFullResponseEndFrame":
            self._bye = False
            await self.push_frame(EndTaskFrame(), UPSTREAM)


@dataclass
class CountedBot:
    """A bot of fakes, and what could be seen of its last call."""

    replies: tuple[str, ...] = ("one two three.", "four five.", "Goodbye now.")
    greeting: str = "hello there caller."
    rate: int = 8000
    frame_ms: int = 0
    speed: float = 2.0
    params: dict[str, Any] = field(default_factory=dict)
    between: Callable[[], list[FrameProcessor]] = list
    args: list[RunnerArguments] = field(default_factory=list)
    voice: CountedVoice = field(init=False)
    llm: ScriptedLLM = field(init=False)
    heard: Recorder = field(init=False)
    context: LLMContext = field(init=False)
    task: PipelineTask = field(init=False)

    def _params(self) -> FastAPIWebsocketParams:
        return FastAPIWebsocketParams(
            audio_in_enabled=True, audio_out_enabled=True, vad_analyzer=LoudnessVAD(), **self.params
        )

    async def __call__(self, args: RunnerArguments) -> None:
        self.args.append(args)
        transport = await create_transport(args, dict.fromkeys((*PHONES, "websocket"), self._params))
        self.context, self.llm = LLMContext(), ScriptedLLM(self.replies)
        self.voice, self.heard = CountedVoice(self.rate, self.frame_ms, self.speed), Recorder()
        memory = LLMContextAggregatorPair(self.context)
        chain = [
            transport.input(), Understood(), memory.user(), self.llm, Goodbye(), *self.between(), self.voice,
            transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(chain))

        @transport.event_handler("on_client_connected")
        async def greet(transport: Any, client: Any) -> None:
            if self.greeting:
                await self.task.queue_frame(TTSSpeakFrame(self.greeting))

        @transport.event_handler("on_client_disconnected")
        async def leave(transport: Any, client: Any) -> None:
            await self.task.cancel()

        await PipelineRunner().run(self.task)

    def telephone_sound(self, wire: Wire) -> list[bytes]:
        """All utterances as they must arrive: at the wire's rate, through its codec."""
        encode, decode = (make(wire.media_format.encoding) for make in (encoder_for, decoder_for))
        return [decode(encode(resampled(pcm, self.rate, wire.sample_rate))) for pcm in self.voice.said]


def noise(seed: int, seconds: float, rate: int) -> bytes:
    """Loud enough everywhere, so that it is heard as one span; unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    sound = rng.integers(3000, 9000, int(seconds * rate)) * rng.choice([-1, 1], int(seconds * rate))
    return np.asarray(sound, "<i2").tobytes()


def tone(seconds: float, rate: int = 8000, hertz: float = 440.0) -> bytes:
    """What the caller says."""
    time = np.arange(int(seconds * rate)) / rate
    return np.asarray(9000 * np.sin(2 * np.pi * hertz * time), "<i2").tobytes()


def resampled(pcm: bytes, rate_in: int, rate_out: int) -> bytes:
    resampler = Resampler(rate_in, rate_out)
    return resampler.process(pcm) + resampler.flush()


# ------------------------------------------------------------------ ringing


def make_host(bot: Callable[[Any], Awaitable[None]], transports: tuple[str, ...] = PHONES) -> Host:
    loaded = LoadedBot(Path(__file__), "bot", bot, sys.modules[__name__])  # type: ignore[arg-type]
    return Host(Settings(), loaded, Sessions(loaded, SessionLimits(sessions=5)), transports)


@dataclass
class Served:
    """A bot that can be rung."""

    host: Host
    url: str
    connect: Callable[[str], Awaitable[Any]] | None = None

    def phone(self, provider: str, *, line: Line | None = None, wire: Wire | None = None) -> Phone:
        wire = wire or new_wire(provider)
        return Phone(self.url, wire, line=line, keep_messages=True, connect=self.connect)


@contextlib.asynccontextmanager
async def in_memory(bot: Callable[[Any], Awaitable[None]]) -> AsyncIterator[Served]:
    """Served without a network: for virtual time."""
    host = make_host(bot, (*PHONES, "websocket"))
    yield Served(host, URL, dial(create_app(host)))
    await host.sessions.shut_down(10)


@contextlib.asynccontextmanager
async def over_sockets(bot: Callable[[Any], Awaitable[None]]) -> AsyncIterator[Served]:
    """Served by uvicorn on a free port of this machine."""
    host = make_host(bot, (*PHONES, "websocket"))
    with open_listener("127.0.0.1", 0) as listener:
        port = address_of(listener)[1]
        async with Server(create_app(host)).serving(listener, 0.3):
            yield Served(host, f"ws://127.0.0.1:{port}/ws")
            await host.sessions.shut_down(10)


def telephony_args(bot: CountedBot) -> WebSocketRunnerArguments:
    """The arguments of the bot's last call."""
    args = bot.args[-1]
    assert isinstance(args, WebSocketRunnerArguments)
    return args
