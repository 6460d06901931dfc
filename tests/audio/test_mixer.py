"""A background under a voice: looped, faded, ducked, switched; sample by sample."""

from __future__ import annotations

from array import array
from itertools import pairwise

import numpy as np
import pytest

from runner.audio.mixer import (
    FADE_MS,
    SEAM_MS,
    BackgroundMixer,
    MixerEnableFrame,
    MixerUpdateSettingsFrame,
    Volume,
)

RATE = 16000
CHUNK = RATE // 50
SILENCE = bytes(2 * CHUNK)
FADED = FADE_MS // 20 + 1


def tone(value: int, seconds: float = 1.0) -> bytes:
    return array("h", [value] * round(RATE * seconds)).tobytes()


def made(**options: float | bool) -> BackgroundMixer:
    sounds = {"office": (tone(1000), RATE), "street": (tone(-2000), RATE)}
    mixer = BackgroundMixer(sounds, "office", **{"volume": 1.0, **options})  # type: ignore[arg-type]
    mixer.start(RATE)
    return mixer


def listen(mixer: BackgroundMixer, chunks: int, pcm: bytes = SILENCE, *, speech: bool = False) -> list[int]:
    heard = b"".join(mixer.mix(pcm, speech=speech) for _ in range(chunks))
    return np.frombuffer(heard, "<i2").tolist()


def test_it_fades_in_and_then_is_as_loud_as_asked() -> None:
    heard = listen(made(), FADED + 1)
    assert heard[0] < 5
    assert heard[: FADED * CHUNK] == sorted(heard[: FADED * CHUNK])
    assert set(heard[-CHUNK:]) == {1000}


def test_the_voice_is_over_it_and_full_scale_is_not_passed() -> None:
    mixer = made()
    listen(mixer, FADED)
    assert set(listen(mixer, 1, tone(500, 0.02), speech=True)) == {1500}
    assert set(listen(mixer, 1, tone(32000, 0.02), speech=True)) == {32767}


def test_it_is_lower_while_the_bot_speaks() -> None:
    mixer = made(ducking=0.25)
    listen(mixer, FADED)
    assert set(listen(mixer, FADED, speech=True)[-CHUNK:]) == {250}
    assert set(listen(mixer, FADED)[-CHUNK:]) == {1000}


def test_it_is_switched_off_and_on_without_a_click() -> None:
    mixer = made()
    listen(mixer, FADED)
    mixer.control(MixerEnableFrame(False))
    heard = listen(mixer, FADED)
    assert max(abs(a - b) for a, b in pairwise(heard)) < 10
    assert (heard[-1], mixer.playing) == (0, False)
    assert mixer.mix(SILENCE, speech=False) is SILENCE
    mixer.control(MixerEnableFrame(True))
    assert mixer.playing


def test_its_settings_can_be_changed_while_it_plays() -> None:
    mixer = made()
    listen(mixer, FADED)
    mixer.control(MixerUpdateSettingsFrame({"sound": "street", "volume": 0.5}))
    assert set(listen(mixer, FADED)[-CHUNK:]) == {-1000}
    with pytest.raises(ValueError, match="there are office, street"):
        mixer.control(MixerUpdateSettingsFrame({"sound": "forest"}))
    with pytest.raises(TypeError):
        mixer.control(MixerUpdateSettingsFrame({"colour": 1}))


def test_a_looped_sound_has_no_seam() -> None:
    ramp = array("h", range(16000)).tobytes()  # its end is far from its beginning
    mixer = BackgroundMixer({"ramp": (ramp, RATE)}, "ramp", volume=1.0)
    mixer.start(RATE)
    listen(mixer, FADED)
    heard = listen(mixer, 200)
    longest_step = max(abs(a - b) for a, b in pairwise(heard))
    assert longest_step <= 16000 / (SEAM_MS * RATE / 1000) + 2


def test_a_sound_that_is_not_looped_ends() -> None:
    mixer = made(loop=False)
    heard = listen(mixer, 60)
    assert not mixer.playing
    assert set(heard[-CHUNK:]) == {0}


def test_it_comes_at_the_listeners_rate_whatever_its_own() -> None:
    mixer = BackgroundMixer({"office": (tone(1000), 48000)}, "office", volume=1.0)
    mixer.start(8000)
    heard = np.frombuffer(b"".join(mixer.mix(bytes(320), speech=False) for _ in range(40)), "<i2")
    assert set(heard[-160:].tolist()) <= {999, 1000, 1001}


def test_the_volume_changes_smoothly_and_one_is_no_change() -> None:
    volume = Volume(RATE)
    pcm = tone(1000, 0.02)
    assert volume.apply(pcm) is pcm
    volume.set(0.5)
    heard = np.frombuffer(b"".join(volume.apply(pcm) for _ in range(FADED)), "<i2").astype(int)
    assert np.abs(np.diff(heard)).max() <= 1
    assert heard[-1] == 500
    volume.set(-3)
    assert np.frombuffer(b"".join(volume.apply(pcm) for _ in range(2 * FADED)), "<i2")[-1] == 0
