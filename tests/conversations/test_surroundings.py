"""Sound around the bot's voice in a call: a background, the volume, a cleaner microphone."""

from __future__ import annotations

import asyncio
import wave
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runner.audio.mixer import (
    AudioFilter,
    AudioMixer,
    FilterEnableFrame,
    MixerEnableFrame,
    MixerUpdateSettingsFrame,
    VolumeFrame,
)
from runner.errors import UsageError
from runner.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    InputAudioRawFrame,
    TTSSpeakFrame,
    TTSTextFrame,
)
from runner.pipeline import Pipeline, PipelineTask
from runner.processors import LLMContext, LLMContextAggregatorPair
from runner.testing import FakeTransport, Recorder, ScriptedLLM, ScriptedTTS, run_virtual
from runner.transports.background import IDLE_LEAD_S, SoundfileMixer
from runner.transports.params import TransportParams

RATE = 24000
VOICE, OFFICE = 4096, 100
"""The scripted voice swings between these; the office is a constant."""


@pytest.fixture
def office(tmp_path: Path) -> Path:
    with wave.open(str(tmp_path / "office.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(array("h", [OFFICE] * 32000).tobytes())
    return tmp_path / "office.wav"


class Call:
    """A call of fakes."""

    def __init__(self, *replies: str, **params: Any) -> None:
        self.transport = FakeTransport(
            TransportParams(audio_in_enabled=True, audio_out_enabled=True, **params)
        )
        self.heard, self.context = Recorder(), LLMContext()
        memory = LLMContextAggregatorPair(self.context)
        steps = [
            self.transport.input(), memory.user(), ScriptedLLM(replies), ScriptedTTS(word_s=0.3),
            self.transport.output(), self.heard, memory.assistant(),
        ]  # fmt: skip
        self.task = PipelineTask(Pipeline(steps))

    def run(self, script: Callable[[Call], Awaitable[Any]]) -> Call:
        async def all_of_it() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.task.run())
                await asyncio.sleep(0.5)
                await script(self)
                await self.task.stop_when_done()

        run_virtual(all_of_it())
        return self

    def sent(self, since: float, until: float) -> list[int]:
        """The samples that left between two times."""
        chunks = [pcm for at, pcm in self.transport.listener.sent if since <= at < until]
        return array("h", b"".join(chunks)).tolist()

    def times_of(self, kind: type[Any]) -> list[float]:
        return [seen.frame.at for seen in self.heard.of(kind)]  # type: ignore[attr-defined]

    def words(self) -> list[tuple[str, float]]:
        return [(seen.frame.text, seen.frame.heard_at) for seen in self.heard.of(TTSTextFrame)]  # type: ignore[attr-defined]


async def a_question(call: Call) -> None:
    await call.transport.caller.say("hello", 1.0)
    await asyncio.sleep(4)


async def an_interruption(call: Call) -> None:
    await call.transport.caller.say("hello", 1.0)
    await asyncio.sleep(1.0)
    await call.transport.caller.say("stop", 1.0)
    await asyncio.sleep(3)


def test_without_a_background_nothing_is_sent_while_the_bot_is_silent() -> None:
    call = Call("Good morning to you.").run(a_question)
    assert call.sent(0, 1.72) == []
    assert len(call.sent(1.72, 9)) == pytest.approx(1.2 * RATE, abs=RATE * 0.02)


def test_a_background_is_heard_all_the_time_and_does_not_run_ahead(office: Path) -> None:
    call = Call(
        "Good morning to you.", audio_out_mixer=SoundfileMixer({"office": office}, "office", volume=1.0)
    ).run(a_question)
    before = call.sent(0, 0.5)  # then the caller speaks, and what waits at the caller's side is dropped
    assert len(before) == pytest.approx((0.5 + IDLE_LEAD_S) * RATE, abs=0.021 * RATE)
    assert before[-1] == OFFICE
    assert set(call.sent(2.0, 2.5)) == {VOICE + OFFICE, -VOICE + OFFICE}
    assert set(call.sent(4.0, 5.0)) == {OFFICE}


@pytest.mark.parametrize("script", [a_question, an_interruption])
def test_who_speaks_when_and_what_is_remembered_is_the_same_with_a_background(
    office: Path, script: Callable[[Call], Awaitable[Any]]
) -> None:
    replies = ("Good morning to you, my dear friend.", "Well.")
    plain = Call(*replies).run(script)
    mixed = Call(*replies, audio_out_mixer=SoundfileMixer({"office": office}, "office")).run(script)
    late = pytest.approx  # an answer waits behind what was sent of the background, and no longer
    for kind in (BotStartedSpeakingFrame, BotStoppedSpeakingFrame):
        assert mixed.times_of(kind) == late(plain.times_of(kind), abs=IDLE_LEAD_S + 0.021)
    assert [word for word, _ in mixed.words()] == [word for word, _ in plain.words()]
    assert [at for _, at in mixed.words()] == late([at for _, at in plain.words()], abs=IDLE_LEAD_S + 0.021)
    assert mixed.context.messages == plain.context.messages


def test_switched_off_it_is_silence_that_is_not_sent(office: Path) -> None:
    async def script(call: Call) -> None:
        await call.task.queue_frame(MixerEnableFrame(False))
        await asyncio.sleep(5)
        await call.task.queue_frame(MixerEnableFrame(True))
        await asyncio.sleep(1)

    call = Call(audio_out_mixer=SoundfileMixer({"office": office}, "office", volume=1.0)).run(script)
    assert call.sent(0.4, 0.5)[-1] == OFFICE
    assert call.sent(1.0, 5.4) == []
    assert call.sent(6.0, 6.5)[-1] == OFFICE


def test_a_missing_sound_changes_nothing_and_is_reported(
    office: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def script(call: Call) -> None:
        await call.task.queue_frame(MixerUpdateSettingsFrame({"sound": "forest"}))
        await asyncio.sleep(1)

    call = Call(audio_out_mixer=SoundfileMixer({"office": office}, "office", volume=1.0)).run(script)
    assert "there is no sound 'forest'" in caplog.text
    assert call.sent(1.0, 1.4)[-1] == OFFICE


def test_a_mixer_that_fails_takes_the_background_with_it_and_not_the_voice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(AudioMixer):
        def mix(self, pcm: bytes, *, speech: bool) -> bytes:
            raise RuntimeError("no more sound")

    call = Call("Good morning to you.", audio_out_mixer=Broken()).run(a_question)
    assert [word for word, _ in call.words()] == ["Good", "morning", "to", "you."]
    assert "continues without background sound" in caplog.text


def test_the_volume_changes_in_its_place_among_what_is_said() -> None:
    async def script(call: Call) -> None:
        await call.task.queue_frames(
            [TTSSpeakFrame("one two"), VolumeFrame(0.25), TTSSpeakFrame("three four five")]
        )
        await asyncio.sleep(4)

    call = Call().run(script)
    loud = [max(map(abs, array("h", pcm))) for _, pcm in call.transport.listener.sent]
    assert loud[:30] == [VOICE] * 30
    assert loud[-1] == VOICE // 4


@pytest.mark.parametrize("content", [None, b"", b"not a wave file at all"])
def test_a_file_that_cannot_be_played_is_refused_when_the_bot_is_made(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "office.wav").write_bytes(content)
    with pytest.raises(UsageError, match="Cannot play"):
        SoundfileMixer({"office": tmp_path / "office.wav"}, "office")
    with pytest.raises(UsageError, match="has no sound"):
        SoundfileMixer({}, "office")


def test_a_filter_that_fails_is_left_out_and_the_caller_is_still_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(AudioFilter):
        def filter(self, pcm: bytes, sample_rate: int) -> bytes:
            raise RuntimeError("no model")

    async def script(call: Call) -> None:
        call.transport.caller.send_silence()
        await asyncio.sleep(0.1)

    call = Call(audio_in_filter=Broken()).run(script)
    assert len(call.heard.of(InputAudioRawFrame)) == 1
    assert "continues without it" in caplog.text


class Halving(AudioFilter):
    """Halves each sample, and holds back the first piece."""

    held = 0

    def filter(self, pcm: bytes, sample_rate: int) -> bytes:
        assert sample_rate == 16000
        self.held += 1
        return array("h", [value // 2 for value in array("h", pcm)]).tobytes() if self.held > 1 else b""


def test_the_callers_sound_is_cleaned_before_anybody_hears_it() -> None:
    async def script(call: Call) -> None:
        piece = array("h", [100] * 320).tobytes()
        for _ in range(3):
            call.transport.caller.receive_audio(InputAudioRawFrame(piece, 16000))
        stereo = array("h", [100, 300] * 320).tobytes()
        call.transport.caller.receive_audio(InputAudioRawFrame(stereo, 16000, 2))
        await asyncio.sleep(0.1)
        await call.task.queue_frame(FilterEnableFrame(False))
        await asyncio.sleep(0.1)
        call.transport.caller.receive_audio(InputAudioRawFrame(piece, 16000))
        await asyncio.sleep(0.1)

    call = Call(audio_in_filter=Halving()).run(script)
    heard = [seen.frame.audio for seen in call.heard.of(InputAudioRawFrame)]  # type: ignore[attr-defined]
    assert [set(array("h", audio)) for audio in heard] == [{50}, {50}, {100}, {100}]
    assert {len(audio) for audio in heard} == {640}
