"""faster-whisper, the real one, with a model of 170 kB that the test makes: it hears "book a table" in any
sound."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import tiny_whisper
from service_bench import Bench, bench

from runner.errors import MissingModelError, MissingPackageError, ServiceError
from runner.frames import (
    InputAudioRawFrame,
    MetricsFrame,
    TranscriptionFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from runner.services import whisper
from runner.services.common import warmup
from runner.services.local import helpers
from runner.services.local.helpers.whisper_helper import Decoder, words_of
from runner.services.whisper import Decoding, Heard, WhisperEars, WhisperSTTService


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_whisper.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
async def own_register(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(warmup, "_entries", {})
    monkeypatch.setattr(warmup, "_starting", {})
    yield
    await warmup.stop_all()


async def speak(running: Bench, hz: int) -> None:
    await running.task.queue_frame(UserStartedSpeakingFrame())
    await running.task.queue_frame(InputAudioRawFrame(bytes(hz), hz))
    await running.task.queue_frame(UserStoppedSpeakingFrame())


@pytest.mark.models
@pytest.mark.parametrize("hz", [8000, 16000])
async def test_an_utterance_becomes_words_at_a_phones_rate_and_a_browsers(model: Path, hz: int) -> None:
    service = WhisperSTTService(model=str(model))
    await warmup.start_all()
    async with bench(service, in_hz=hz) as running:
        await speak(running, hz)
        (frame,) = await running.seen(TranscriptionFrame)
        assert frame.text == "book a table"
        assert frame.confidence == pytest.approx(1.0, abs=0.01)
        assert [seen.frame.metric for seen in running.after.of(MetricsFrame)] == ["ttfb"]  # type: ignore[attr-defined]
        assert running.errors == []


@pytest.mark.models
async def test_calls_share_one_process_and_a_dead_one_is_replaced(model: Path) -> None:
    ears = WhisperEars(Decoding(str(model)))
    assert await asyncio.gather(ears.hear(bytes(8000), 8000), ears.hear(bytes(8000), 8000)) == [
        Heard("book a table", 1.0), Heard("book a table", 1.0),
    ]  # fmt: skip
    assert ears._helper is not None
    first = ears._helper.pid
    os.kill(first, signal.SIGSTOP)  # it is busy for ever
    hearing = asyncio.create_task(ears.hear(bytes(8000), 8000))
    await asyncio.sleep(0.01)
    os.kill(first, signal.SIGKILL)
    with pytest.raises(ServiceError, match="the helper process of whisper was ended by SIGKILL"):
        await hearing
    assert (await ears.hear(bytes(8000), 8000)).text == "book a table"
    assert ears._helper.pid != first
    await ears.stop()


@pytest.mark.models
async def test_a_model_that_is_none_is_reported_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(
        ServiceError, match=r"the helper process of whisper ended with status 1 \(RuntimeError"
    ):
        await WhisperEars(Decoding(str(tmp_path))).start()
    with pytest.raises(ServiceError, match="the helper process of whisper ended with status 1"):
        await WhisperEars(Decoding(str(tmp_path / "nowhere"))).start()


@pytest.mark.models
async def test_one_that_takes_too_long_is_given_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ears = WhisperEars(Decoding(str(model)))
    await ears.start()
    assert ears._helper is not None
    os.kill(ears._helper.pid, signal.SIGSTOP)
    monkeypatch.setattr(whisper, "ANSWER_TIMEOUT_S", 0.05)
    with pytest.raises(ServiceError, match=r"whisper took longer than 0\.05 s"):
        await ears.hear(bytes(8000), 8000)
    os.kill(ears._helper.pid, signal.SIGCONT)
    await ears.stop()


def test_a_missing_model_raises_before_the_call_with_its_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BOTRUN_MODELS_DIR", str(tmp_path))
    monkeypatch.setattr(helpers, "find_spec", lambda name: object())
    with pytest.raises(
        MissingModelError, match=r"WhisperSTTService needs .*: botrun models fetch whisper small"
    ):
        WhisperSTTService(model="small")
    with pytest.raises(MissingModelError, match="/no/where"):
        WhisperSTTService(model="/no/where")


def test_a_missing_package_is_reported_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helpers, "find_spec", lambda name: None)
    with pytest.raises(
        MissingPackageError, match=r"needs the package faster-whisper.*: uv sync --extra whisper"
    ):
        WhisperSTTService()
    monkeypatch.setattr(helpers, "install_command", lambda: "pip install 'botrun[local]'")
    with pytest.raises(MissingPackageError, match=r"pip install 'botrun\[whisper\]'"):
        WhisperSTTService()


def test_what_whisper_makes_of_noise_is_no_text() -> None:
    def segment(text: str, no_speech: float, log: float, repetition: float) -> SimpleNamespace:
        return SimpleNamespace(
            text=text, no_speech_prob=no_speech, avg_logprob=log, compression_ratio=repetition
        )

    noise = [segment(" Thank you.", 0.9, -1.5, 1.0), segment(" the the the", 0.0, -0.1, 5.0)]
    assert words_of(noise) == {"text": "", "confidence": None}
    result = words_of([*noise, segment(" Good ", 0.9, 0.0, 1.0), segment(" day.", 0.0, -0.5, 1.0)])
    assert result["text"] == "Good day."
    assert result["confidence"] == pytest.approx(0.607, abs=0.001)


@pytest.mark.parametrize("hz", [8000, 16000])
def test_the_model_is_given_sound_at_its_own_rate(hz: int) -> None:
    heard: list[int] = []

    def transcribe(sound: object, **how: object) -> tuple[list[object], None]:
        heard.append(len(sound))  # type: ignore[arg-type]
        return [], None

    decoder = Decoder.__new__(Decoder)
    decoder._language, decoder._beam_size = "en", 1
    decoder._model = SimpleNamespace(transcribe=transcribe)
    assert decoder.decode(bytes(2 * hz), hz) == {"text": "", "confidence": None}
    assert heard == [16000]


def test_importing_the_services_loads_none_of_what_they_need() -> None:
    names = "openai_stt, openai_tts, deepgram, cartesia, elevenlabs, whisper, piper"
    heavy = ("numpy", "websockets", "httpx2", "faster_whisper", "piper", "onnxruntime", "rich")
    code = f"import sys; from runner.services import {names}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
