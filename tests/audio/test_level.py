from __future__ import annotations

from math import inf

import numpy as np
import pytest

from runner.audio.level import dbfs, downmix, rms, to_volume, to_volumes, volume


def square(amplitude: int) -> bytes:
    return np.array([amplitude, -amplitude] * 80, "<i2").tobytes()


def test_a_full_scale_square_wave_is_zero_dbfs() -> None:
    assert rms(square(16384)) == 16384
    assert dbfs(square(32767)) == pytest.approx(0, abs=0.001)
    assert dbfs(square(16384)) == pytest.approx(-6.02, abs=0.01)


def test_silence_and_no_sound_have_no_volume() -> None:
    for pcm in (b"", bytes(320)):
        assert rms(pcm) == 0
        assert dbfs(pcm) == -inf
        assert volume(pcm) == 0


def test_the_usual_threshold_is_about_minus_fifty_dbfs() -> None:
    assert volume(square(104)) == pytest.approx(0.603, abs=0.001)
    assert volume(square(32767)) == 1


def test_volumes_of_many_are_those_of_each() -> None:
    amplitudes = [0, 0.01, 1, 30, 104, 2000, 32768]
    mean_squares = (np.array(amplitudes, np.float32) / 32768) ** 2
    assert to_volumes(mean_squares) == pytest.approx([to_volume(each) for each in amplitudes], abs=1e-6)


def test_stereo_becomes_the_mean_of_both_sides() -> None:
    stereo = np.array([[100, 200], [-32768, -32768], [32767, 32767], [5, -5]], "<i2").tobytes()
    assert np.frombuffer(downmix(stereo), "<i2").tolist() == [150, -32768, 32767, 0]


def test_mono_passes_through() -> None:
    assert downmix(b"\1\2", channels=1) == b"\1\2"
