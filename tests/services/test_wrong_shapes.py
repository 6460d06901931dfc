"""A user's service that answers nothing, or in a shape that botrun does not know, is named in one message."""

from __future__ import annotations

import logging
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from service_bench import bench

from runner.frames import (
    Frame,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    TTSAudioRawFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.processors import LLMContext
from runner.services.llm import LLMService
from runner.services.openai_stt import as_wav
from runner.services.stt import SegmentedSTTService
from runner.services.tts import TTSService


class Model(LLMService):
    async def run_llm(self, context: LLMContext) -> AsyncIterator[Any]:  # type: ignore[override]
        yield "Hello "
        yield {"text": "there"}


class ModelThatReturns(LLMService):
    async def run_llm(self, context: LLMContext) -> Any:  # type: ignore[override]
        return "Hello there."


class Voice(TTSService):
    def __init__(self, *pieces: Any) -> None:
        super().__init__(name="voice")
        self.pieces = pieces

    async def run_tts(self, text: str) -> AsyncIterator[Any]:  # type: ignore[override]
        for piece in self.pieces:
            yield piece


class VoiceThatReturns(TTSService):
    async def run_tts(self, text: str) -> Any:  # type: ignore[override]
        return b""


class Ears(SegmentedSTTService):
    async def run_stt(self, audio: bytes) -> AsyncIterator[Frame]:
        yield "Hello"  # type: ignore[misc]


class EarsThatReturn(SegmentedSTTService):
    async def run_stt(self, audio: bytes) -> Any:
        return "Hello"


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (Model(), "Model.run_llm yielded {'text': 'there'}: yield text, a FunctionCall or a frame"),
        (
            ModelThatReturns(),
            "ModelThatReturns.run_llm must be an async generator (async def with yield)",
        ),
    ],
)
async def test_a_model_of_another_shape(model: LLMService, sentence: str) -> None:
    async with bench(model) as running:
        await running.task.queue_frame(LLMContextFrame(LLMContext()))
        await running.seen(LLMFullResponseEndFrame)
        assert len(running.errors) == 1
        assert sentence in running.errors[0]


@pytest.mark.parametrize(
    ("voice", "sentence"),
    [
        (Voice(b"\0\0"), "Voice.run_tts yielded b'\\x00\\x00': yield TTSAudioRawFrame(pcm, sample_rate)"),
        (VoiceThatReturns(), "VoiceThatReturns.run_tts must be an async generator"),
        (Voice(TTSAudioRawFrame(b"OggS" + bytes(600), 24000)), "voice sent Ogg instead of pcm"),
    ],
)
async def test_a_voice_of_another_shape(voice: TTSService, sentence: str) -> None:
    async with bench(voice) as running:
        await running.say("Hello.")
        await running.said()
        assert len(running.errors) == 1
        assert sentence in running.errors[0]
        assert running.pcm == b""


async def test_a_voice_that_sends_wav_is_played() -> None:
    pcm = struct.pack("<800h", *range(800))
    body = as_wav(pcm, 16000)
    frames = [TTSAudioRawFrame(body[i : i + 200], 24000) for i in range(0, len(body), 200)]
    async with bench(Voice(*frames)) as running:
        await running.say("Hello.")
        await running.said()
        assert running.pcm == pcm
        assert {seen.frame.sample_rate for seen in running.after.of(TTSAudioRawFrame)} == {16000}  # type: ignore[attr-defined]
        assert running.errors == []


async def test_a_voice_without_sound_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with bench(Voice()) as running:
            await running.say("Hello.", "Hello again.")
            await running.said(2)
    named = [record.getMessage() for record in caplog.records if "made no sound" in record.getMessage()]
    assert named == ["voice made no sound for 'Hello.': run_tts yielded no audio frame"]


@pytest.mark.parametrize(
    ("ears", "sentence"),
    [
        (Ears(), "Ears.run_stt yielded 'Hello': yield TranscriptionFrame(text) or another frame"),
        (EarsThatReturn(), "EarsThatReturn.run_stt must be an async generator"),
    ],
)
async def test_ears_of_another_shape(ears: SegmentedSTTService, sentence: str) -> None:
    async with bench(ears) as running:
        await running.task.queue_frame(UserStartedSpeakingFrame())
        await running.task.queue_frame(InputAudioRawFrame(bytes(640), 16000))
        await running.task.queue_frame(UserStoppedSpeakingFrame())
        await running.until(lambda: running.errors)
        assert sentence in running.errors[0]
