"""The local services in a pipeline: speech in, text out; text in, speech out; and the script between."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
from eventually import eventually

from runner.audio.resampler import Resampler
from runner.errors import UsageError
from runner.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.processors.base import DOWNSTREAM, ProcessorSetup
from runner.processors.floor import Floor
from runner.processors.floor_state import Replies
from runner.services.local import LocalSTTService, LocalTTSService, ScriptedDialogue
from runner.services.local.dialogue import MISSES, PATIENCE
from runner.services.local.ears import shared_ears
from runner.services.local.tts import shared_voice
from runner.testing import FakeTransport, Recorder, ScriptedTTS, run_virtual

SPEECH = Path(__file__).parents[2] / "assets" / "speech"
LEAD_S = 0.3


@pytest.fixture
async def helpers() -> AsyncIterator[None]:
    yield
    await asyncio.gather(shared_ears.stop(), shared_voice.stop())


class Bench:
    """One processor, and what it pushes."""

    def __init__(self, processor: FrameProcessor) -> None:
        self.processor = processor
        self.out = Recorder()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Bench:
        loop = asyncio.get_running_loop()

        def create_task(work: object, name: str, *_: object) -> asyncio.Task[None]:
            self._tasks.append(loop.create_task(work, name=name))  # type: ignore[arg-type]
            return self._tasks[-1]

        replies = Replies()
        setup = ProcessorSetup(
            clock=loop.time,
            replies=replies,
            floor=Floor(loop.time, replies, create_task, lambda: None),
            create_task=create_task,
            interrupt=lambda: None,
            watchers={},
        )
        self.processor.link(self.out)
        for processor in (self.processor, self.out):
            await processor.setup(setup)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.processor.cleanup()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def give(self, *frames: Frame) -> None:
        for frame in frames:
            await self.processor.receive(frame, DOWNSTREAM)

    async def until(self, kind: type[Frame]) -> None:
        await eventually(lambda: self.out.of(kind), what=kind.__name__)


def a_command(rate: int) -> bytes:
    path = next(SPEECH.glob("*__what_time_is_it__clean.wav"))
    with wave.open(str(path)) as file:
        pcm = file.readframes(file.getnframes())
    resampler = Resampler(16000, rate)
    return resampler.process(pcm) + resampler.flush()


def chunks(pcm: bytes, rate: int) -> list[Frame]:
    step = rate // 50 * 2
    return [InputAudioRawFrame(pcm[at : at + step], rate) for at in range(0, len(pcm), step)]


@pytest.mark.local
@pytest.mark.parametrize("rate", [16000, 8000, 48000])
async def test_a_command_becomes_a_transcription_at_any_sample_rate(helpers: None, rate: int) -> None:
    sound = chunks(a_command(rate), rate)
    noticed = int((LEAD_S + 0.2) * 50)
    async with Bench(LocalSTTService()) as bench:
        began = asyncio.get_running_loop().time() - 0.2
        await bench.give(*sound[:noticed], UserStartedSpeakingFrame(at=began), *sound[noticed:])
        await bench.give(UserStoppedSpeakingFrame())
        await bench.until(TranscriptionFrame)
        (seen,) = bench.out.of(TranscriptionFrame)
        assert isinstance(seen.frame, TranscriptionFrame)
        assert seen.frame.text == "what time is it"
        assert len(bench.out.of(InputAudioRawFrame)) == len(sound)


@pytest.mark.local
async def test_speech_that_is_no_command_becomes_an_empty_transcription(helpers: None) -> None:
    async with Bench(LocalSTTService()) as bench:
        await bench.give(UserStartedSpeakingFrame(), *chunks(bytes(32000), 16000), UserStoppedSpeakingFrame())
        await bench.until(TranscriptionFrame)
        assert [seen.frame.text for seen in bench.out.of(TranscriptionFrame)] == [""]  # type: ignore[attr-defined]


async def heard_with(stt: LocalSTTService) -> str:
    """What a service makes of "what time is it"."""
    sound = chunks(a_command(16000), 16000)
    async with Bench(stt) as bench:
        began = asyncio.get_running_loop().time() - 0.2
        await bench.give(*sound[:25], UserStartedSpeakingFrame(at=began), *sound[25:])
        await bench.give(UserStoppedSpeakingFrame())
        await bench.until(TranscriptionFrame)
        (seen,) = bench.out.of(TranscriptionFrame)
        assert isinstance(seen.frame, TranscriptionFrame)
        return seen.frame.text


@pytest.mark.local
async def test_phrases_of_ones_own_are_recognised_and_given_as_written(helpers: None) -> None:
    phrases = ["Where is the station?", "What time is it?", "Open the umbrella"]
    assert await heard_with(LocalSTTService(phrases=phrases)) == "What time is it?"
    assert await heard_with(LocalSTTService(phrases=["Open the umbrella", "elephants"])) == ""
    assert await heard_with(LocalSTTService()) == "what time is it"


@pytest.mark.local
async def test_a_jsgf_file_of_ones_own_is_recognised(helpers: None, tmp_path: Path) -> None:
    file = tmp_path / "station.jsgf"
    file.write_text(
        "#JSGF V1.0;\ngrammar station;\n"
        "public <ask> = What time (is it | /2/ does the <vehicle> leave) {ask};\n"
        "<vehicle> = train | tram | zeppelin; // one of them\n"
    )
    assert await heard_with(LocalSTTService(grammar=file)) == "what time is it"


@pytest.mark.local
def test_a_wrong_vocabulary_is_one_sentence_when_the_service_is_made() -> None:
    with pytest.raises(UsageError, match=r"there is no grammar 'menu': use commands, appointments, a \.jsgf"):
        LocalSTTService(grammar="menu")
    with pytest.raises(UsageError, match="takes grammar or phrases, not both"):
        LocalSTTService(grammar="commands", phrases=["yes"])


@pytest.mark.local
async def test_a_call_that_ends_while_its_caller_speaks_leaves_a_free_decoder(helpers: None) -> None:
    async with Bench(LocalSTTService()) as bench:
        await bench.give(UserStartedSpeakingFrame(), *chunks(bytes(3200), 16000))
    ears = await shared_ears.get()
    assert (await ears.open().finish()).rejected
    assert len(ears.pids) == 1


@pytest.mark.local
async def test_text_becomes_sound_and_words_with_their_times(helpers: None) -> None:
    async with Bench(LocalTTSService()) as bench:
        await bench.give(TTSSpeakFrame("It is three o'clock."))
        await bench.until(TTSStoppedFrame)
        sounds = [seen.frame for seen in bench.out.of(TTSAudioRawFrame)]
        words = [seen.frame for seen in bench.out.of(TTSTextFrame)]
        assert all(isinstance(f, TTSAudioRawFrame) and f.sample_rate == 22050 for f in sounds)
        assert [f.text for f in words if isinstance(f, TTSTextFrame)] == ["It", "is", "three", "o'clock."]
        offsets = [f.audio_offset_ms for f in words if isinstance(f, TTSTextFrame)]
        assert None not in offsets
        assert offsets == sorted(offsets, key=lambda offset: offset or 0.0)


# ------------------------------------------------------------------ the script, in virtual time


def conversation(*said: str) -> tuple[list[tuple[str, str]], list[str]]:
    """What is remembered after the user has said these, one after the other ("" is not understood), and
    the frames behind the output."""

    async def run() -> tuple[list[tuple[str, str]], list[str]]:
        transport, context = FakeTransport(), LLMContext()
        memory, heard = LLMContextAggregatorPair(context), Recorder()
        dialogue = ScriptedDialogue(now=lambda: datetime(2025, 11, 22, 15, 45))
        chain = [
            transport.input(), memory.user(), dialogue, ScriptedTTS(), transport.output(), heard,
            memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(chain))

        async def play() -> None:
            await asyncio.sleep(0.01)
            for text in said:
                await transport.caller.say(text)
                await asyncio.sleep(20)
            await task.stop_when_done()

        playing = asyncio.create_task(play())
        await task.run()
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
        return [(m["role"], m["content"]) for m in context.messages], heard.names()

    return run_virtual(run())


def test_a_question_is_answered_and_remembered() -> None:
    remembered, _ = conversation("what time is it")
    assert remembered == [("user", "what time is it"), ("assistant", "It is 3:45 in the afternoon.")]


def test_speech_that_was_not_understood_is_answered_with_patience() -> None:
    remembered, _ = conversation("", "", "hello", *[""] * (PATIENCE + 2))
    answers = [text for role, text in remembered if role == "assistant"]
    assert answers[:2] == list(MISSES[:2])
    assert answers[2].startswith("Hello!")
    assert answers[3:] == list(MISSES)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_murmur_is_answered_only_if_the_bot_was_stopped_for_it(interrupted: bool) -> None:
    """Else nobody would speak any more: the recogniser took so long that the bot was interrupted."""

    async def run() -> list[str]:
        dialogue, heard = ScriptedDialogue(), Recorder()
        task = PipelineTask(Pipeline([dialogue, heard]))
        if interrupted:
            await task.queue_frame(InterruptionFrame())
        await task.queue_frame(TranscriptionFrame("", murmur=True))
        await task.stop_when_done()
        await task.run()
        return [str(getattr(seen.frame, "text", "")) for seen in heard.of(LLMTextFrame)]

    said = run_virtual(run())
    assert "".join(said) == (MISSES[0] if interrupted else "")


def test_after_goodbye_the_call_ends_when_it_has_been_heard() -> None:
    remembered, names = conversation("goodbye", "hello")
    assert remembered[0] == ("user", "goodbye")
    assert remembered[1] == ("assistant", "Goodbye! It was nice to talk to you.")
    assert len(remembered) == 2
    assert names[names.index("BotStoppedSpeakingFrame") :].count(EndFrame.__name__) == 1


def test_two_jokes_are_two_jokes() -> None:
    remembered, _ = conversation("tell me a joke", "another joke")
    assert remembered[1][1] != remembered[3][1]


def test_typed_text_is_answered_too() -> None:
    async def run() -> list[str]:
        transport, context = FakeTransport(), LLMContext()
        memory = LLMContextAggregatorPair(context)
        chain = [
            transport.input(), memory.user(), ScriptedDialogue(), ScriptedTTS(), transport.output(),
            memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(chain))
        running = asyncio.create_task(task.run())
        await task.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": "Count to 3!"}]))
        await asyncio.sleep(10)
        await task.stop_when_done()
        await running
        return [m["content"] for m in context.messages]

    assert run_virtual(run()) == ["Count to 3!", "One, two, three."]


def test_the_silence_behind_an_utterance_is_parted_from_its_sound() -> None:
    from runner.services.local.tts import _without_pause

    assert _without_pause(b"\1\2\0\3" + bytes(6)) == (b"\1\2\0\3", bytearray(6))
    assert _without_pause(b"\1\0\2\0" + bytes(4)) == (b"\1\0\2\0", bytearray(4))
    assert _without_pause(bytes(8)) == (b"", bytearray(8))
