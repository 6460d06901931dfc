from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from runner.audio import g711
from runner.audio.dtmf import DTMFDetector, tones

ALL = "0123456789*#ABCD"


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000, 48000])
@pytest.mark.parametrize("piece", [320, 333, 100_000])
def test_every_key_is_recognised_once_at_every_rate(rate: int, piece: int) -> None:
    pcm = b"".join(tones(key, rate) for key in ALL)
    detector = DTMFDetector(rate)
    assert "".join(detector.feed(pcm[at : at + piece]) for at in range(0, len(pcm), piece)) == ALL


def test_a_stream_may_be_cut_into_single_bytes() -> None:
    detector = DTMFDetector(8000)
    assert "".join(detector.feed(bytes([byte])) for byte in tones("1", 8000) + tones("9", 8000)) == "19"


def test_the_same_key_twice_is_two_keys_and_a_long_one_is_one() -> None:
    assert DTMFDetector(8000).feed(tones("5", 8000) * 3) == "555"
    assert DTMFDetector(8000).feed(tones("5", 8000, duration_ms=2000)) == "5"


def test_ulaw_and_a_quieter_noisy_line_do_not_hide_a_key() -> None:
    pcm = b"".join(tones(key, 8000) for key in ALL)
    source = np.random.default_rng(1)
    line = np.frombuffer(pcm, "<i2") * 0.2 + source.normal(0, 300, len(pcm) // 2)
    noisy = g711.ulaw_decode(g711.ulaw_encode(line.astype("<i2").tobytes()))
    assert DTMFDetector(8000).feed(noisy) == ALL


def test_tones_last_as_long_as_they_say_and_do_not_clip() -> None:
    pcm = tones("D", 16000, duration_ms=120, gap_ms=50)
    samples = np.frombuffer(pcm, "<i2")
    assert len(samples) == 16000 * 170 // 1000
    assert not samples[-16000 * 50 // 1000 :].any()
    assert 10000 < np.abs(samples).max() < 20000
    assert abs(samples[0]) < 50


def test_silence_noise_and_single_tones_are_no_keys() -> None:
    source = np.random.default_rng(2)
    time = np.arange(8000) / 8000
    for samples in (
        np.zeros(8000),
        source.normal(0, 3000, 80000),
        *(8000 * np.sin(2 * np.pi * hz * time) for hz in (440, 697, 1336, 1633)),
        8000 * np.sin(2 * np.pi * 350 * time) + 8000 * np.sin(2 * np.pi * 440 * time),
    ):
        assert DTMFDetector(8000).feed(samples.astype("<i2").tobytes()) == ""


def test_speech_is_no_key() -> None:
    paths = sorted(Path(__file__).parents[1].glob("assets/speech/*.wav"))[:40]
    if not paths:
        pytest.skip("needs the recorded speech of the checkout (tests/assets)")
    for path in paths:
        with wave.open(str(path)) as file:
            rate, pcm = file.getframerate(), file.readframes(file.getnframes())
            if file.getnchannels() == 1 and file.getsampwidth() == 2:
                assert DTMFDetector(rate).feed(pcm) == "", path.name


def test_what_is_no_key_is_refused_in_words() -> None:
    for digit in ("", "12", "E", " "):
        with pytest.raises(ValueError, match="not a key"):
            tones(digit, 8000)
