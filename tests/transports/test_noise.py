"""Noise goes, a voice stays."""

from __future__ import annotations

import random
import sys
from array import array

import pytest

from runner.audio.level import rms
from runner.errors import MissingPackageError, UsageError
from runner.transports.noise import NoiseFilter


def hiss(rate: int, seconds: float) -> bytes:
    dice = random.Random(7)
    return array("h", (round(dice.gauss(0, 1000)) for _ in range(round(rate * seconds)))).tobytes()


@pytest.mark.noise
@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_steady_noise_is_taken_out_at_any_rate_and_nothing_is_late_by_more_than_a_piece(rate: int) -> None:
    cleaner, out, chunk = NoiseFilter(), b"", rate // 50 * 2
    noise = hiss(rate, 3)
    for start in range(0, len(noise), chunk):
        out += cleaner.filter(noise[start : start + chunk], rate)
    assert len(noise) - len(out) <= rate * 0.015 * 2
    assert rms(out[2 * rate :]) < rms(noise) / 3


@pytest.mark.noise
def test_a_strength_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="1 to 4"):
        NoiseFilter(5)


def test_without_the_package_its_installation_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "webrtc_noise_gain", None)
    with pytest.raises(MissingPackageError, match=r"botrun\[noise\]"):
        NoiseFilter()
