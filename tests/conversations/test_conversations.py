"""Scripted conversations in virtual time: what is said, heard and remembered, and when."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FrameDirection,
    LLMMessagesAppendFrame,
    LLMTextFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSTextFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import FrameProcessor, LLMContext, LLMContextAggregatorPair
from runner.testing import FakeTransport, Recorder, ScriptedLLM, ScriptedTTS, run_virtual

LLM_S, TTS_S, WORD_S = 0.15, 0.08, 0.3
CHUNK_S = 0.02


@dataclass
class Talk:
    """A bot of fakes, and what was seen of it."""

    transport: FakeTransport
    llm: ScriptedLLM
    context: LLMContext
    heard: Recorder
    task: PipelineTask

    @property
    def caller(self) -> Any:
        return self.transport.caller

    @property
    def sent(self) -> list[tuple[float, bytes]]:
        return self.transport.listener.sent

    def words(self) -> list[str]:
        return [seen.frame.text for seen in self.heard.seen if isinstance(seen.frame, TTSTextFrame)]

    def remembered(self) -> list[tuple[str, str]]:
        return [(message["role"], message["content"]) for message in self.context.messages]


def talk(
    script: Callable[[Talk], Awaitable[None]],
    *replies: str,
    between: list[FrameProcessor] | None = None,
    word_s: float = 0.0,
    tts_rate: int = 24000,
) -> Talk:
    """Run a conversation to its end."""

    async def run() -> Talk:
        transport, llm, context = FakeTransport(), ScriptedLLM(replies, word_s=word_s), LLMContext()
        memory, heard = LLMContextAggregatorPair(context), Recorder()
        voice = ScriptedTTS(first_s=TTS_S, word_s=WORD_S, sample_rate=tts_rate)
        chain = [
            transport.input(), memory.user(), llm, *(between or []), voice,
            transport.output(), heard, memory.assistant(),
        ]  # fmt: skip
        task = PipelineTask(Pipeline(chain))
        it = Talk(transport, llm, context, heard, task)

        async def play() -> None:
            await asyncio.sleep(0.01)
            await script(it)

        async with asyncio.TaskGroup() as group:
            group.create_task(task.run())
            group.create_task(play())
        return it

    return run_virtual(run())


async def seconds(count: float) -> None:
    await asyncio.sleep(count)


def test_the_bot_answers_after_the_models_and_the_voices_time_and_no_more() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("hello", 1.0)
        asked = asyncio.get_running_loop().time()
        await seconds(5)
        it.asked_at = asked  # type: ignore[attr-defined]
        await it.task.stop_when_done()

    it = talk(script, "Good morning to you.")
    first_sound = it.sent[0][0]
    assert first_sound - it.asked_at == pytest.approx(LLM_S + TTS_S, abs=0.001)  # type: ignore[attr-defined]
    assert it.words() == ["Good", "morning", "to", "you."]
    assert it.remembered() == [("user", "hello"), ("assistant", "Good morning to you.")]


def test_words_are_heard_when_their_sound_is() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("hello")
        await seconds(5)
        await it.task.stop_when_done()

    it = talk(script, "one two three four")
    times = [seen.frame.heard_at for seen in it.heard.seen if isinstance(seen.frame, TTSTextFrame)]
    first = it.sent[0][0]
    assert times == pytest.approx([first + index * WORD_S for index in range(4)], abs=0.006)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 44100, 48000])
def test_every_sample_of_the_voice_goes_out(rate: int) -> None:
    async def script(it: Talk) -> None:
        await it.task.queue_frames([TTSSpeakFrame("one two three"), EndFrame()])

    it = talk(script, tts_rate=rate)
    samples = sum(len(pcm) // 2 for _, pcm in it.sent)
    expected = 3 * int(WORD_S * rate) * 24000 / rate
    assert expected <= samples < expected + 24000 * CHUNK_S + 1
    assert sum(len(s.frame.audio) // 2 for s in it.heard.of(TTSAudioRawFrame)) == samples  # type: ignore[attr-defined]


def test_sound_runs_ahead_by_the_lead_and_no_further() -> None:
    async def script(it: Talk) -> None:
        await it.task.queue_frames([TTSSpeakFrame("one two three four five"), EndFrame()])

    it = talk(script)
    begin = it.sent[0][0]
    for index, (at, _) in enumerate(it.sent):
        ahead = begin + index * CHUNK_S - at
        assert ahead <= 0.12 + 1e-6
    assert sum(1 for at, _ in it.sent if at == begin) == 7


def test_barge_in_silences_at_once_and_only_what_was_heard_is_remembered() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("talk to me")
        # Two words are heard, and half of the third.
        await seconds(LLM_S + TTS_S + 2.5 * WORD_S)
        it.cut_at = asyncio.get_running_loop().time()  # type: ignore[attr-defined]
        await it.caller.say("stop", 0.5)
        await seconds(3)
        await it.task.stop_when_done()

    it = talk(script, "one two three four five six.", "fine.")
    cut_at = it.cut_at  # type: ignore[attr-defined]
    assert it.transport.listener.cleared == pytest.approx([0.01, cut_at])
    assert not [at for at, _ in it.sent if cut_at < at < cut_at + 0.5]
    assert it.remembered() == [
        ("user", "talk to me"),
        ("assistant", "one two three"),
        ("user", "stop"),
        ("assistant", "fine."),
    ]
    stops = [seen.frame for seen in it.heard.of(BotStoppedSpeakingFrame)]
    assert [frame.interrupted for frame in stops] == [True, False]  # type: ignore[attr-defined]


def test_barge_in_while_the_model_thinks_means_no_answer_to_the_first_question() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("first")
        await seconds(LLM_S / 2)
        await it.caller.say("second")
        await seconds(3)
        await it.task.stop_when_done()

    it = talk(script, "answer to the first.", "answer to the second.")
    assert it.words() == ["answer", "to", "the", "second."]
    assert it.remembered() == [("user", "first second"), ("assistant", "answer to the second.")]


def test_barge_in_before_the_voice_has_sound() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("first")
        await seconds(LLM_S + TTS_S / 2)
        await it.caller.say("second")
        await seconds(3)
        await it.task.stop_when_done()

    it = talk(script, "never said.", "said.")
    assert it.words() == ["said."]
    assert len(it.heard.of(BotStartedSpeakingFrame)) == 1


class SleepsOnText(FrameProcessor):
    """A bot's own code that waits a second on each piece of text."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, LLMTextFrame):
            await asyncio.sleep(1.0)
        await self.push_frame(frame, direction)


class SleepsOnEverything(FrameProcessor):
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await asyncio.sleep(1.0)
        await self.push_frame(frame, direction)


@pytest.mark.parametrize("sleeper", [SleepsOnText, SleepsOnEverything])
def test_a_bot_that_sleeps_in_a_processor_is_still_silenced_at_once(sleeper: type[FrameProcessor]) -> None:
    async def script(it: Talk) -> None:
        # Only the frames of the reply meet the sleeper, which stands behind the model.
        await seconds(3)
        await it.caller.say("go on", 0.5)
        while not it.heard.of(BotStartedSpeakingFrame):
            await seconds(0.1)
        await seconds(0.5)
        it.cut_at = asyncio.get_running_loop().time()  # type: ignore[attr-defined]
        it.caller.start_speaking()
        await seconds(10)
        await it.task.cancel()

    it = talk(
        script, "One, two three four five six seven. Eight nine ten eleven. Twelve.", between=[sleeper()]
    )
    cut_at = it.cut_at  # type: ignore[attr-defined]
    assert it.transport.listener.cleared[-1] == pytest.approx(cut_at)
    assert [at for at, _ in it.sent if at < cut_at]
    assert not [at for at, _ in it.sent if at > cut_at]


class LateChunk(FrameProcessor):
    """Holds the last piece of sound back, and lets it go after the interruption."""

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await self.push_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self.create_task(self.later(frame), "later")

    async def later(self, frame: Frame) -> None:
        await asyncio.sleep(1.0)
        await self.push_frame(frame)


def test_sound_of_an_interrupted_reply_that_comes_late_is_refused() -> None:
    async def run() -> FakeTransport:
        transport, voice = FakeTransport(), ScriptedTTS()
        task = PipelineTask(Pipeline([transport.input(), voice, LateChunk(), transport.output()]))

        async def script() -> None:
            await task.queue_frame(TTSSpeakFrame("one two three"))
            await asyncio.sleep(0.5)
            transport.caller.start_speaking()
            await asyncio.sleep(3)
            await task.cancel()

        async with asyncio.TaskGroup() as group:
            group.create_task(task.run())
            group.create_task(script())
        return transport

    transport = run_virtual(run())
    assert not [at for at, _ in transport.listener.sent if at > 0.5]
    assert transport.listener.refused_ms == pytest.approx(900)


def test_goodbye_is_heard_to_its_end_before_the_call_ends() -> None:
    async def script(it: Talk) -> None:
        await it.task.queue_frames([TTSSpeakFrame("goodbye and thanks for calling"), EndFrame()])

    it = talk(script)
    spoken_until = it.sent[0][0] + 5 * WORD_S
    (end,) = it.heard.of(EndFrame)
    assert end.at == pytest.approx(spoken_until, abs=0.01)
    assert it.heard.names()[-4:] == ["TTSStoppedFrame", "BotStoppedSpeakingFrame", "EndFrame", "CancelFrame"]


def test_an_end_while_the_model_still_answers_waits_for_the_answer() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("hello")
        await seconds(0.01)
        await it.task.stop_when_done()

    it = talk(script, "I will finish this.", word_s=0.2)
    assert it.words() == ["I", "will", "finish", "this."]


def test_a_typed_turn_joins_the_conversation() -> None:
    async def script(it: Talk) -> None:
        await it.task.queue_frame(LLMMessagesAppendFrame([{"role": "user", "content": "typed"}]))
        await seconds(3)
        await it.task.stop_when_done()

    it = talk(script, "read it.")
    assert it.remembered() == [("user", "typed"), ("assistant", "read it.")]


def test_a_slow_model_is_spoken_as_its_sentences_come() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("hello")
        await seconds(9)
        await it.task.stop_when_done()

    it = talk(script, "This is first. And this comes much later.", word_s=0.4)
    started = [seen.frame.text for seen in it.heard.of(TTSStartedFrame)]  # type: ignore[attr-defined]
    assert started == ["This is first.", "And this comes much later."]
    assert it.sent[0][0] < 1.01 + LLM_S + 4 * 0.4 + TTS_S
    assert it.remembered()[-1] == ("assistant", "This is first. And this comes much later.")


def test_the_users_pause_merges_two_pieces_of_one_turn() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("bring me tea")
        await seconds(0.05)
        await it.caller.say("with milk")
        await seconds(3)
        await it.task.stop_when_done()

    it = talk(script, "too early.", "here you are.")
    assert it.words() == ["here", "you", "are."]


def test_raw_sound_is_sent_although_it_does_not_fill_a_chunk() -> None:
    async def script(it: Talk) -> None:
        await it.task.queue_frame(OutputAudioRawFrame(b"\x01\x00" * 100, 24000))
        await seconds(1)
        await it.task.cancel()

    it = talk(script)
    assert [len(pcm) for _, pcm in it.sent] == [960]
    assert it.sent[0][1].startswith(b"\x01\x00" * 100 + b"\x00\x00")


def test_speech_of_the_same_reply_with_a_short_gap_is_one_utterance_to_the_listener() -> None:
    async def script(it: Talk) -> None:
        await it.task.queue_frames([TTSSpeakFrame("one"), TTSSpeakFrame("two"), EndFrame()])

    it = talk(script)
    assert len(it.heard.of(BotStartedSpeakingFrame)) == 1
    assert len(it.heard.of(BotStoppedSpeakingFrame)) == 1


def latencies(it: Talk, name: str) -> list[float]:
    frames = [seen.frame for seen in it.heard.of(MetricsFrame)]
    return [frame.value_ms for frame in frames if frame.metric == name]  # type: ignore[attr-defined]


def test_turn_and_stop_latency_are_reported() -> None:
    async def script(it: Talk) -> None:
        await it.caller.say("talk to me")
        await seconds(LLM_S + TTS_S + 2.5 * WORD_S)
        await it.caller.say("stop", 0.5)
        await seconds(3)
        await it.task.stop_when_done()

    it = talk(script, "one two three four five six.", "fine.")
    expected = (LLM_S + TTS_S) * 1000
    assert latencies(it, "turn_latency") == pytest.approx([expected, expected], abs=1)
    assert latencies(it, "stop_latency") == pytest.approx([0], abs=1)


def test_a_model_that_breaks_is_reported_and_the_next_turn_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def script(it: Talk) -> None:
        answer, it.llm.run_llm = it.llm.run_llm, broken  # type: ignore[method-assign]
        await it.caller.say("first")
        await seconds(1)
        it.llm.run_llm = answer  # type: ignore[method-assign]
        await it.caller.say("second")
        await seconds(3)
        await it.task.stop_when_done()

    async def broken(context: LLMContext) -> AsyncGenerator[str | Frame, None]:
        raise KeyError("no such thing")
        yield ""

    it = talk(script, "here I am.")
    assert it.words() == ["here", "I", "am."]
    assert "ScriptedLLM failed: KeyError: 'no such thing'" in caplog.text
