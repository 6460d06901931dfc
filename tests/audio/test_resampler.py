"""The resampler's promises: every sample comes out, in time, clean, and however the stream was cut."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.audio.resampler import RATES, Resampler

PAIRS = list(permutations(RATES, 2))
PHONE_PAIRS = [pair for pair in PAIRS if 8000 in pair]


def converted(pcm: bytes, rate_in: int, rate_out: int) -> npt.NDArray[np.float64]:
    resampler = Resampler(rate_in, rate_out)
    return np.frombuffer(resampler.process(pcm) + resampler.flush(), "<i2").astype(float)


def tone(frequency: float, rate: int, amplitude: float = 12000.0) -> bytes:
    times = np.arange(rate // 2) / rate
    return np.rint(amplitude * np.sin(2 * np.pi * frequency * times)).astype("<i2").tobytes()


def gain_db(pcm: npt.NDArray[np.float64], frequency: float, rate: int, amplitude: float = 12000.0) -> float:
    middle = pcm[len(pcm) // 10 : -len(pcm) // 10]
    window = np.blackman(len(middle))
    wave = np.exp(-2j * np.pi * frequency / rate * np.arange(len(middle)))
    return float(20 * np.log10(2 * abs(np.sum(middle * window * wave)) / window.sum() / amplitude + 1e-9))


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("samples_in", [0, 1, 2, 159, 160, 1001])
def test_every_sample_comes_out(rate_in: int, rate_out: int, samples_in: int) -> None:
    assert len(converted(bytes(2 * samples_in), rate_in, rate_out)) == round(samples_in * rate_out / rate_in)


@settings(max_examples=60, deadline=None)
@given(
    pair=st.sampled_from(PAIRS),
    seed=st.integers(0, 1000),
    length=st.integers(0, 6000),
    cuts=st.lists(st.integers(0, 6000), max_size=30),
)
def test_the_cuts_do_not_matter(pair: tuple[int, int], seed: int, length: int, cuts: list[int]) -> None:
    pcm = np.random.default_rng(seed).bytes(length)
    edges = [0, *sorted(min(cut, length) for cut in cuts), length]
    resampler = Resampler(*pair)
    for _ in range(2):  # after a flush the same object begins a new stream
        pieces = [resampler.process(pcm[a:b]) for a, b in pairwise(edges)]
        whole = converted(pcm, *pair).astype("<i2").tobytes()
        assert b"".join(pieces) + resampler.flush() == whole
        assert len(whole) == 2 * round(length // 2 * pair[1] / pair[0])


def test_one_sample_at_a_time_is_the_same_as_all_at_once() -> None:
    pcm = np.random.default_rng(1).integers(-32768, 32768, 500).astype("<i2").tobytes()
    resampler = Resampler(24000, 8000)
    pieces = [resampler.process(pcm[at : at + 2]) for at in range(0, len(pcm), 2)]
    assert b"".join(pieces) + resampler.flush() == converted(pcm, 24000, 8000).astype("<i2").tobytes()


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
@pytest.mark.parametrize("at_s", [0.0, 0.1, 0.2499])
def test_a_click_comes_out_at_its_time(rate_in: int, rate_out: int, at_s: float) -> None:
    samples = np.zeros(rate_in // 4, "<i2")
    samples[int(at_s * rate_in)] = 30000
    out = converted(samples.tobytes(), rate_in, rate_out)
    expected = int(at_s * rate_in) / rate_in * rate_out
    assert abs(int(np.argmax(np.abs(out))) - expected) <= 1


@pytest.mark.parametrize(("rate_in", "rate_out"), PHONE_PAIRS)
def test_the_telephone_band_is_flat_to_3300_hz(rate_in: int, rate_out: int) -> None:
    gains = [
        gain_db(converted(tone(f, rate_in), rate_in, rate_out), f, rate_out)
        for f in (100, 500, 1000, 2000, 3000, 3300)
    ]
    assert max(gains) - min(gains) <= 0.1
    assert max(map(abs, gains)) <= 0.1


@pytest.mark.parametrize("rate_in", [rate for rate in RATES if rate > 8000])
def test_nothing_above_4600_hz_folds_into_the_telephone_band(rate_in: int) -> None:
    for frequency in range(4600, min(7900, rate_in // 2), 300):
        out = converted(tone(frequency, rate_in), rate_in, 8000)
        assert gain_db(out, 8000 - frequency, 8000) <= -50


@pytest.mark.parametrize("rate_out", [rate for rate in RATES if rate > 8000])
def test_no_image_of_the_telephone_band_appears_above_4600_hz(rate_out: int) -> None:
    for frequency in range(500, 3401, 290):
        out = converted(tone(frequency, 8000), 8000, rate_out)
        assert gain_db(out, 8000 - frequency, rate_out) <= -50


@pytest.mark.parametrize(("rate_in", "rate_out"), [p for p in PAIRS if 8000 not in p])
def test_wideband_speech_is_flat_to_84_percent_of_its_band(rate_in: int, rate_out: int) -> None:
    edge = min(rate_in, rate_out) * 0.42
    assert abs(gain_db(converted(tone(edge, rate_in), rate_in, rate_out), edge, rate_out)) <= 0.1


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_at_most_one_and_a_half_milliseconds_are_held_back(rate_in: int, rate_out: int) -> None:
    resampler = Resampler(rate_in, rate_out)
    given_s = 0.1
    out_s = len(resampler.process(bytes(2 * int(given_s * rate_in)))) / 2 / rate_out
    assert 0 <= given_s - out_s <= 0.0015
    assert resampler.delay_s <= 0.0015


@pytest.mark.parametrize(("rate_in", "rate_out"), PAIRS)
def test_full_scale_is_clipped_and_does_not_wrap(rate_in: int, rate_out: int) -> None:
    square = np.repeat(np.array([32767, -32768] * 20, "<i2"), rate_in // 200)
    out = converted(square.tobytes(), rate_in, rate_out)
    held = rate_out / 200
    for half in range(2, 38):
        middle = out[int((half + 0.4) * held) : int((half + 0.6) * held)]
        assert (np.sign(middle) == (1 if half % 2 == 0 else -1)).all()


@pytest.mark.faults(5)
def test_a_constant_stays_that_constant() -> None:
    for rate_in, rate_out in PAIRS:
        out = converted(np.full(rate_in // 20, -12345, "<i2").tobytes(), rate_in, rate_out)
        edge = len(out) // 10
        assert (out[edge:-edge] == -12345).all()


def test_the_same_rate_passes_the_bytes_through() -> None:
    resampler = Resampler(16000, 16000)
    pcm = b"\1\2\3"
    assert resampler.process(pcm) is pcm
    assert resampler.flush() == b""
    assert resampler.delay_s == 0


@pytest.mark.parametrize(("rate", "said"), [(0, "4000 to 384000"), (500000, "4000"), (16001, "usual rate")])
def test_a_rate_that_cannot_be_converted_is_refused_with_what_can(rate: int, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Resampler(24000, rate)


@pytest.mark.long
@pytest.mark.parametrize("rate", [4000, 11025, 12000, 64000, 88200, 96000, 176400, 192000])
def test_unusual_rates_keep_the_length_of_the_sound(rate: int) -> None:
    for to in (8000, 11025, 16000, 24000, 48000):
        resampler = Resampler(rate, to)
        pcm = b"".join(resampler.process(bytes(2 * rate // 50)) for _ in range(50)) + resampler.flush()
        assert abs(len(pcm) // 2 - round(2 * rate // 50 * 50 // 2 * to / rate)) <= 1
