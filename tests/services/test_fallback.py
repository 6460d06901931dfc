"""Services that fail in the middle of a conversation, in virtual time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from runner.errors import ServiceError, UsageError
from runner.frames import (
    Frame,
    FunctionCall,
    InputAudioRawFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSTextFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.services.fallback import FallbackLLM, FallbackSTT, FallbackTTS
from runner.services.llm import LLMService
from runner.services.stt import SegmentedSTTService
from runner.services.tts import TTSService
from runner.testing import FakeTransport, Recorder, ScriptedTTS, run_virtual

Step = str | FunctionCall | Exception | float


class Model(LLMService):
    """Each time it is asked, does the next of `scripts`: text, a call, a failure, or a wait (s)."""

    def __init__(self, *scripts: Sequence[Step], name: str = "model") -> None:
        super().__init__(name=name)
        self.scripts = list(scripts)
        self.asked: list[list[dict[str, Any]]] = []

    async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
        self.asked.append(list(context.messages))
        for step in self.scripts[min(len(self.asked), len(self.scripts)) - 1]:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, float):
                await asyncio.sleep(step)
            else:
                yield step


BROKEN = ServiceError("it broke")


class Talk:
    def __init__(self, llm: LLMService, voice: TTSService | None = None, tools: Sequence[Any] = ()) -> None:
        self.transport, self.heard, self.context = FakeTransport(), Recorder(), LLMContext(tools=tools)
        memory = LLMContextAggregatorPair(self.context)
        row = [
            self.transport.input(), memory.user(), llm, voice or ScriptedTTS(word_s=0.2),
            self.transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(row))

    def words(self) -> str:
        return " ".join(s.frame.text for s in self.heard.seen if isinstance(s.frame, TTSTextFrame))

    def remembered(self) -> list[str]:
        return [m["content"] for m in self.context.messages if m["role"] == "assistant"]

    def says(self, *texts: str, apart_s: float = 5.0) -> Talk:
        async def script() -> None:
            for text in texts:
                await self.transport.caller.say(text, 0.5)
                await asyncio.sleep(apart_s)

        return self.run(script)

    def run(self, script: Callable[[], Awaitable[None]]) -> Talk:
        async def play() -> None:
            await asyncio.sleep(0.01)
            await script()
            await self.task.stop_when_done()

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.task.run())
                group.create_task(play())

        run_virtual(both())
        return self


# ------------------------------------------------------------------ language models


def test_the_next_model_answers_when_the_first_cannot(caplog: pytest.LogCaptureFixture) -> None:
    first, second = Model([BROKEN], name="first"), Model(["Here I am."], name="second")
    with caplog.at_level(logging.WARNING):
        it = Talk(FallbackLLM(first, second)).says("hello")
    assert it.words() == "Here I am."
    assert second.asked[0] == [{"role": "user", "content": "hello"}]
    output = [r.getMessage() for r in caplog.records]
    assert output == ["FallbackLLM: first failed: it broke", "FallbackLLM: using second now"]


def test_a_model_that_does_not_begin_is_not_waited_for() -> None:
    it = Talk(FallbackLLM(Model([60.0, "Late."]), Model(["In time."]), patience_s=2)).says("hello")
    assert it.words() == "In time."


def test_a_model_that_breaks_off_is_followed_from_its_last_whole_sentence() -> None:
    first = Model(["We are open ", "today. And to", "morr", BROKEN])
    second = Model(["Tomorrow we are closed."])
    it = Talk(FallbackLLM(first, second)).says("when?")
    assert it.words() == "We are open today. Tomorrow we are closed."
    assert it.remembered() == ["We are open today. Tomorrow we are closed."]
    user, said, go_on = second.asked[0]
    assert (user["content"], said) == ("when?", {"role": "assistant", "content": "We are open today."})
    assert go_on["role"] == "system"


def test_the_last_model_s_half_sentence_is_said() -> None:
    it = Talk(FallbackLLM(Model(["One. Two and ", BROKEN]), Model(["three but ", BROKEN]))).says("count")
    assert it.words() == "One. three but"


def test_the_first_model_is_asked_again_after_its_cool_down() -> None:
    first, second = Model([BROKEN], ["I am back."]), Model(["I stand in."])
    it = Talk(FallbackLLM(first, second, cool_down_s=8)).says("a", "b", "c")
    assert it.words() == "I stand in. I stand in. I am back."
    assert len(first.asked) == 2


def test_tools_belong_to_all_models_and_a_half_call_is_not_made() -> None:
    made: list[str] = []

    def book() -> str:
        made.append("booked")
        return "done"

    call = FunctionCall("book", "1", {})
    first = Model([call, BROKEN])
    second = Model([call], ["It is booked."])
    llm = FallbackLLM(first, second)
    llm.register_function(book)
    it = Talk(llm).says("book")
    assert it.words() == "It is booked."
    assert made == ["booked"]
    assert len(second.toolbox.definitions([])) == 1


def test_a_reply_that_is_closed_closes_the_model_s() -> None:
    class Closing(Model):
        closed = False

        async def run_llm(self, context: LLMContext) -> AsyncGenerator[str | Frame | FunctionCall, None]:
            try:
                yield "One. "
                await asyncio.sleep(60)
            finally:
                self.closed = True

    async def script() -> None:
        await it.transport.caller.say("hello", 0.5)
        await asyncio.sleep(1)
        it.transport.caller.start_speaking()
        await asyncio.sleep(0.1)
        assert model.closed

    model = Closing()
    it = Talk(FallbackLLM(model, Model(["no"])))
    it.run(script)


def test_a_fallback_of_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="FallbackLLM needs at least one service"):
        FallbackLLM()
    with pytest.raises(UsageError, match="FallbackSTT needs at least one service"):
        FallbackSTT()


# ------------------------------------------------------------------ voices


class Voice(TTSService):
    """Says each word in 0.2 s, 20 ms at a time; fails after `breaks_after_s` of sound, once."""

    def __init__(
        self, breaks_after_s: float | None = None, *, word_times: bool = True, name: str = "voice"
    ) -> None:
        super().__init__(name=name)
        self.gives_word_times = word_times
        self.said: list[str] = []
        self._breaks_after_s = breaks_after_s

    async def run_tts(self, text: str) -> AsyncGenerator[Frame, None]:
        self.said.append(text)
        sound_s = 0.0
        for index, word in enumerate(text.split()):
            if self.gives_word_times:
                yield TTSTextFrame(word, audio_offset_ms=index * 200)
            for _ in range(10):
                if self._breaks_after_s is not None and sound_s >= self._breaks_after_s - 1e-9:
                    raise ServiceError("the voice broke")
                sound_s += 0.02
                yield TTSAudioRawFrame(bytes(640), 16000)


def test_the_next_voice_says_the_sentence_when_the_first_cannot() -> None:
    first, second = Voice(0.0), Voice()
    it = Talk(Model(["Good morning to you."]), FallbackTTS(first, second)).says("hello")
    assert it.words() == "Good morning to you."
    assert (first.said, second.said) == (["Good morning to you."], ["Good morning to you."])


@pytest.mark.parametrize(
    ("breaks_after_s", "left"),
    [(0.1, "one two three four."), (0.5, "three four."), (0.4, "three four."), (0.78, "four.")],
)
def test_the_next_voice_goes_on_at_the_word_that_was_cut(breaks_after_s: float, left: str) -> None:
    second = Voice()
    it = Talk(Model(["one two three four."]), FallbackTTS(Voice(breaks_after_s), second)).says("count")
    assert second.said == [left]
    assert it.words() == "one two three four."
    assert it.remembered() == ["one two three four."]


def test_voices_without_word_times_are_followed_by_a_usual_speed() -> None:
    second = Voice(word_times=False)
    it = Talk(Model(["one two three four."]), FallbackTTS(Voice(0.5, word_times=False), second)).says("count")
    assert it.words() == "one two three four."
    assert second.said == ["two three four."]


# ------------------------------------------------------------------ recognisers


class Ears(SegmentedSTTService):
    """Hears how many ms of sound there were; does the next of `script` with each utterance."""

    def __init__(self, *script: Exception | float, name: str = "ears") -> None:
        super().__init__(name=name)
        self.script = list(script)
        self.heard_ms: list[int] = []

    async def run_stt(self, audio: bytes) -> AsyncIterator[Frame]:
        self.heard_ms.append(len(audio) // 32)
        step = self.script.pop(0) if self.script else 0.1
        if isinstance(step, Exception):
            raise step
        await asyncio.sleep(step)
        yield TranscriptionFrame(f"{self.name} {len(self.heard_ms)}")


def utterances(stt: FrameProcessor, count: int, apart_s: float = 10.0) -> list[str]:
    """What is understood of utterances of 1 s."""
    out = Recorder()
    source = Recorder()
    task = PipelineTask(Pipeline([source, stt, out]))

    async def sound(seconds: float) -> None:
        for _ in range(int(seconds * 50)):
            await source.push_frame(InputAudioRawFrame(bytes(640), 16000))
            await asyncio.sleep(0.02)

    async def script() -> None:
        await asyncio.sleep(0.01)
        for _ in range(count):
            await sound(1.0)
            await source.push_frame(UserStartedSpeakingFrame())
            await sound(1.0)
            await source.push_frame(UserStoppedSpeakingFrame())
            await sound(apart_s)
        await task.cancel()

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(task.run())
            group.create_task(script())

    run_virtual(both())
    assert len(out.of(InputAudioRawFrame)) == count * int((2 + apart_s) * 50)
    return [s.frame.text for s in out.of(TranscriptionFrame) if isinstance(s.frame, TranscriptionFrame)]


def test_the_next_recogniser_hears_what_the_first_failed_on() -> None:
    first, second = Ears(ServiceError("deaf"), name="first"), Ears(name="second")
    assert utterances(FallbackSTT(first, second, cool_down_s=15), 3) == ["second 1", "second 2", "first 2"]
    assert first.heard_ms[0] == second.heard_ms[0]


def test_a_recogniser_that_says_nothing_is_given_up_and_its_late_words_are_not_heard() -> None:
    first, second = Ears(7.0, name="first"), Ears(name="second")
    assert utterances(FallbackSTT(first, second, patience_s=2), 1) == ["second 1"]


def test_when_all_recognisers_fail_an_error_says_so(caplog: pytest.LogCaptureFixture) -> None:
    stt = FallbackSTT(Ears(ServiceError("deaf")), Ears(ServiceError("dumb")))
    assert utterances(stt, 1) == []
    assert "no other recogniser is left" in caplog.text
