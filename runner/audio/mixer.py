"""Background sound and volumes. Pure: pcm in, pcm out.

Volumes are factors: 1 is as recorded, 0 is silence. Changes fade over `FADE_MS`, so that they do not click.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from runner.audio.resampler import Resampler
from runner.frames import ControlFrame

FADE_MS = 300
SEAM_MS = 50
"""Duration (ms) of the cross-fade from a looped sound's end to its beginning."""


@dataclass(frozen=True, slots=True)
class VolumeFrame(ControlFrame):
    """Sets the bot's volume from here on, in order with its speech."""

    volume: float


@dataclass(frozen=True, slots=True)
class MixerEnableFrame(ControlFrame):
    """Turns the background sound on or off from here on."""

    enable: bool


@dataclass(frozen=True, slots=True)
class MixerUpdateSettingsFrame(ControlFrame):
    """Changes the background sound from here on: `sound` (its name), `volume`, `loop`, `ducking`."""

    settings: Mapping[str, Any] = field(default_factory=dict)


class Fader:
    """A volume that changes smoothly, sample by sample."""

    def __init__(self, volume: float, sample_rate: int) -> None:
        self.target = volume
        self._now = volume
        self._per_sample = 1000 / (FADE_MS * sample_rate)

    @property
    def silent(self) -> bool:
        """Whether the volume is 0 and stays there."""
        return self._now == self.target == 0.0

    def gains(self, samples: int) -> float | npt.NDArray[np.float64]:
        """The factors of the next samples; one for all if they are the same."""
        if self._now == self.target:
            return self.target
        way = self.target - self._now
        steps = np.arange(1, samples + 1) * self._per_sample
        gains: npt.NDArray[np.float64] = self._now + np.sign(way) * np.minimum(steps, abs(way))
        self._now = self.target if steps[-1] >= abs(way) else float(gains[-1])
        return gains


class AudioMixer:
    """Base class for `TransportParams.audio_out_mixer`. Override `mix` and `playing`."""

    def start(self, sample_rate: int) -> None:
        """Prepare for this sample rate (Hz). Called once, first, in a thread, so it may read files."""

    @property
    def playing(self) -> bool:
        """Whether there is sound to play while the bot is silent."""
        return False

    def control(self, frame: MixerEnableFrame | MixerUpdateSettingsFrame) -> None:
        """Handle a frame for the mixer, in order with the audio."""

    def mix(self, pcm: bytes, *, speech: bool) -> bytes:
        """Mix into `pcm`, the bot's speech or silence; return pcm of the same length."""
        raise NotImplementedError(f"{type(self).__name__} does not override mix")


class BackgroundMixer(AudioMixer):
    """Plays one of several sounds under the bot's voice, and while it is silent.

    Args:
        sounds: mono pcm and its rate (Hz), by name.
        default_sound: the sound that plays first.
        volume: volume of the background.
        mixing: whether the background plays from the start.
        loop: whether it repeats.
        ducking: factor on the background's volume while the bot speaks; 1 = unchanged.
    """

    def __init__(
        self,
        sounds: Mapping[str, tuple[bytes, int]],
        default_sound: str,
        *,
        volume: float = 0.4,
        mixing: bool = True,
        loop: bool = True,
        ducking: float = 1.0,
    ) -> None:
        self._sounds = dict(sounds)
        self._sound = default_sound
        self._volume = volume
        self._mixing = mixing
        self._loop = loop
        self._ducking = ducking
        self._speech = False
        self._position = 0
        self._ended = False
        self._ready: dict[str, npt.NDArray[np.float64]] = {}
        self._fader = Fader(0.0, 1)

    def start(self, sample_rate: int) -> None:
        self._ready = {name: _at_rate(pcm, rate, sample_rate) for name, (pcm, rate) in self._sounds.items()}
        self._fader = Fader(0.0, sample_rate)
        self._aim()

    @property
    def playing(self) -> bool:
        return not self._ended and not self._fader.silent

    def control(self, frame: MixerEnableFrame | MixerUpdateSettingsFrame) -> None:
        if isinstance(frame, MixerEnableFrame):
            self._mixing = frame.enable
        else:
            self._update(**frame.settings)
        self._aim()

    def _update(
        self,
        sound: str | None = None,
        volume: float | None = None,
        loop: bool | None = None,
        ducking: float | None = None,
    ) -> None:
        if sound is not None and sound not in self._ready:
            raise ValueError(f"there is no sound {sound!r}; there are {', '.join(self._ready)}")
        if sound is not None:
            self._sound, self._position, self._ended = sound, 0, False
        self._volume = self._volume if volume is None else volume
        self._loop = self._loop if loop is None else loop
        self._ducking = self._ducking if ducking is None else ducking

    def _aim(self) -> None:
        self._fader.target = self._volume * (self._ducking if self._speech else 1.0) if self._mixing else 0.0

    def mix(self, pcm: bytes, *, speech: bool) -> bytes:
        if speech != self._speech:
            self._speech = speech
            self._aim()
        if not self.playing:
            return pcm
        voice = np.frombuffer(pcm, "<i2")
        background = self._next(len(voice)) * self._fader.gains(len(voice))
        return _to_pcm(voice + background)

    def _next(self, samples: int) -> npt.NDArray[np.float64]:
        sound = self._ready[self._sound]
        if self._loop and len(sound):
            places = (self._position + np.arange(samples)) % len(sound)
            self._position = (self._position + samples) % len(sound)
            return sound[places]
        piece = sound[self._position : self._position + samples]
        self._position += samples
        self._ended = self._position >= len(sound)
        return np.pad(piece, (0, samples - len(piece)))


class Volume:
    """The bot's volume."""

    def __init__(self, sample_rate: int) -> None:
        self._fader = Fader(1.0, sample_rate)

    def set(self, volume: float) -> None:
        """Change it from the next sample on, faded so that it does not click."""
        self._fader.target = max(0.0, volume)

    def apply(self, pcm: bytes) -> bytes:
        """Scale pcm by the volume; samples beyond full scale are clipped."""
        samples = np.frombuffer(pcm, "<i2")
        gains = self._fader.gains(len(samples))
        return pcm if isinstance(gains, float) and gains == 1.0 else _to_pcm(samples * gains)


def _to_pcm(samples: npt.NDArray[np.float64]) -> bytes:
    return np.clip(np.rint(samples), -32768, 32767).astype("<i2").tobytes()


def _at_rate(pcm: bytes, rate: int, wanted: int) -> npt.NDArray[np.float64]:
    """The sound at the listener's rate, with its end cross-faded into its beginning for looping."""
    resampler = Resampler(rate, wanted)
    sound = np.frombuffer(resampler.process(pcm) + resampler.flush(), "<i2").astype(np.float64)
    seam = SEAM_MS * wanted // 1000
    if len(sound) < 4 * seam:
        return sound
    fade = np.arange(seam) / seam
    # The end is mixed into the beginning, so it is cut off at the end.
    beginning = sound[:seam] * fade + sound[-seam:] * (1 - fade)
    return np.concatenate([beginning, sound[seam:-seam]])


@dataclass(frozen=True, slots=True)
class FilterEnableFrame(ControlFrame):
    """Turns `audio_in_filter` on or off from here on."""

    enable: bool


class AudioFilter:
    """Base class for `TransportParams.audio_in_filter`, which runs before VAD, recogniser and recorder."""

    def filter(self, pcm: bytes, sample_rate: int) -> bytes:
        """Clean the caller's next audio (mono, Hz). Must be quick: the transport's reader calls it. It may
        hold audio back: the result need not be as long as the input, and may be empty."""
        raise NotImplementedError(f"{type(self).__name__} does not override filter")
