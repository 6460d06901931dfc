"""What keeps a bot from being heard is one message in the terminal and one on the page, within a second."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from runner.arguments import RunnerArguments
from runner.botcode.loader import LoadedBot
from runner.frames import (
    Frame,
    InputTransportMessageFrame,
    LLMRunFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
)
from runner.pipeline import Pipeline, PipelineRunner, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.services.llm import LLMService
from runner.services.stt import SegmentedSTTService
from runner.services.tts import TTSService
from runner.sessions.registry import Sessions
from runner.sessions.session import Session
from runner.testing import run_virtual
from runner.testing.fakes import FakeTransport, ScriptedLLM, ScriptedTTS, ScriptedVAD
from runner.transports.params import TransportParams

SOON_S, WATCHED_S = 1.0, 10.0
READY = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.1.0", "about": {}}}


class Ears(SegmentedSTTService):
    async def run_stt(self, audio: bytes) -> AsyncIterator[Frame]:
        return
        yield


class Model(LLMService):
    """Yields these."""

    def __init__(self, *pieces: Any) -> None:
        super().__init__(name="model")
        self._pieces = pieces

    async def run_llm(self, context: LLMContext) -> AsyncIterator[Any]:  # type: ignore[override]
        for piece in self._pieces:
            yield piece


class Voice(TTSService):
    """Sends these bytes as its sound."""

    def __init__(self, sound: bytes) -> None:
        super().__init__(name="voice")
        self._sound = sound

    async def run_tts(self, text: str) -> AsyncIterator[Frame]:
        for at in range(0, len(self._sound), 400):
            yield TTSAudioRawFrame(self._sound[at : at + 400], 24000)


class Unplugged(FrameProcessor):
    """A transport's end that cannot start."""

    async def process_frame(self, frame: Frame, direction: Any) -> None:
        if isinstance(frame, StartFrame):
            raise OSError("no such device: microphone 3")
        await self.push_frame(frame, direction)


def order_pizza(size) -> str:  # type: ignore[no-untyped-def]
    """Order a pizza."""
    return "ordered"


@dataclass
class Case:
    """A bot with a fault.

    Attributes:
        sentence: part of the message.
        parts: its pipeline, from its transport and the context's aggregators.
        vad: whether its transport detects speech.
        then: the frame that reveals the fault; None: its start does.
        tools: of the context.
    """

    sentence: str
    parts: Callable[[FakeTransport, Any], Sequence[FrameProcessor]]
    vad: bool = True
    then: Frame | None = None
    tools: Sequence[Any] = ()


@dataclass
class Outcome:
    """`page`: when an error was shown (s after the fault) and its text; `ended_s`: when the bot ended."""

    session: Session
    ended_s: float = 0.0
    page: list[tuple[float, str]] = field(default_factory=list)


CASES = {
    "no VAD": Case("vad_analyzer=SileroVADAnalyzer()", lambda t, pair: [
        t.input(), Ears(), pair.user(), ScriptedLLM(["Hi."]), ScriptedTTS(), t.output()], vad=False),
    "no input": Case("put transport.input()", lambda t, pair: [
        Ears(), pair.user(), ScriptedLLM(["Hi."]), ScriptedTTS(), t.output()]),
    "a model that answers nothing": Case("answered with nothing", lambda t, pair: [
        t.input(), pair.user(), Model(), ScriptedTTS(), t.output(), pair.assistant()], then=LLMRunFrame()),
    "a model of another shape": Case("yielded {'text': 'Hi.'}", lambda t, pair: [
        t.input(), pair.user(), Model({"text": "Hi."}), ScriptedTTS(), t.output()], then=LLMRunFrame()),
    "a voice that sends a container": Case("Ogg instead of pcm", lambda t, pair: [
        t.input(), Voice(b"OggS" + bytes(4000)), t.output()], then=TTSSpeakFrame("Hello.")),
    "a voice that sends nothing": Case("made no sound", lambda t, pair: [
        t.input(), Voice(b""), t.output()], then=TTSSpeakFrame("Hello.")),
    "a tool that no model can call": Case("order_pizza", lambda t, pair: [
        t.input(), pair.user(), ScriptedLLM(["Hi."]), ScriptedTTS(), t.output()], tools=(order_pizza,)),
    "a start that fails": Case("no such device: microphone 3", lambda t, pair: [
        t.input(), Unplugged(), t.output()]),
}  # fmt: skip


def outcome_of(case: Case) -> Outcome:
    """Run the bot in a session, in virtual time, with a page that is ready at once."""

    async def run() -> Outcome:
        clock = asyncio.get_running_loop().time
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
        transport = FakeTransport(params, vad=ScriptedVAD() if case.vad else None)
        begun = clock()

        async def bot(args: Any) -> None:
            pair = LLMContextAggregatorPair(LLMContext(tools=list(case.tools)))
            parts = case.parts(transport, pair)
            task = PipelineTask(Pipeline(list(parts)))

            async def talk() -> None:
                nonlocal begun
                await asyncio.sleep(0.1)
                if transport.caller in parts:
                    await transport.caller.push_frame(InputTransportMessageFrame(READY))
                await asyncio.sleep(0.1)
                if case.then is not None:
                    begun = clock()
                    await task.queue_frame(case.then)

            talking = asyncio.create_task(talk())
            try:
                await PipelineRunner().run(task)
            finally:
                talking.cancel()

        async def timed(args: Any) -> None:
            try:
                await bot(args)
            finally:
                outcome.ended_s = clock() - begun

        loaded = LoadedBot(Path(__file__), "bot", timed, sys.modules[__name__])
        sessions = Sessions(loaded)
        session = sessions.start("test", RunnerArguments(session_id="s1"))
        outcome = Outcome(session)
        send = transport.listener.send_message

        async def note(message: Any) -> None:
            if message["type"] == "error":
                outcome.page.append((clock() - begun, message["data"]["error"]))
            await send(message)

        transport.listener.send_message = note  # type: ignore[method-assign]
        await asyncio.sleep(WATCHED_S)
        await sessions.shut_down(2)
        return outcome

    return run_virtual(run())


@pytest.mark.parametrize("name", CASES)
def test_a_fault_is_one_message_in_terminal_and_page(name: str, caplog: pytest.LogCaptureFixture) -> None:
    case = CASES[name]
    with caplog.at_level(logging.WARNING, "runner"):
        outcome = outcome_of(case)
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("runner")]
    assert len(logged) == 1, logged
    assert case.sentence in logged[0]
    if outcome.session.error is not None:  # the endpoint shows it, and ends the call
        outcome.page.append((outcome.ended_s, str(outcome.session.error)))
    ((after_s, shown),) = outcome.page
    assert case.sentence in shown
    assert after_s <= SOON_S
