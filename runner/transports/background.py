"""Background sound: `SoundfileMixer` plays WAV files, `Surroundings` adds them to an output."""

from __future__ import annotations

import asyncio
import logging
import wave
from collections.abc import Mapping
from pathlib import Path

from runner.audio.level import downmix
from runner.audio.mixer import (
    AudioMixer,
    BackgroundMixer,
    MixerEnableFrame,
    MixerUpdateSettingsFrame,
    Volume,
    VolumeFrame,
)
from runner.audio.playout import Pacer
from runner.errors import UsageError

logger = logging.getLogger(__name__)

IDLE_LEAD_S = 0.04
"""How far ahead (s) background sound is sent while the bot is silent; short, because it delays the next
answer."""

Control = VolumeFrame | MixerEnableFrame | MixerUpdateSettingsFrame


class SoundfileMixer(BackgroundMixer):
    """Background sound from WAV files (16 bit, mono or stereo, any usual sample rate), looped seamlessly.

    ```python
    office = SoundfileMixer({"office": "sounds/office.wav"}, default_sound="office", volume=0.3, ducking=0.5)
    TransportParams(audio_out_enabled=True, audio_out_mixer=office)
    ```

    `MixerEnableFrame` switches it; `MixerUpdateSettingsFrame` changes `sound`, `volume`, `loop`, `ducking`.
    """

    def __init__(
        self,
        sound_files: Mapping[str, str | Path],
        default_sound: str,
        *,
        volume: float = 0.4,
        mixing: bool = True,
        loop: bool = True,
        ducking: float = 1.0,
    ) -> None:
        if default_sound not in sound_files:
            raise UsageError(
                f"SoundfileMixer has no sound {default_sound!r}; its sounds are {', '.join(sound_files)}"
            )
        sounds = {name: read_wav(Path(path)) for name, path in sound_files.items()}
        super().__init__(sounds, default_sound, volume=volume, mixing=mixing, loop=loop, ducking=ducking)


def read_wav(path: Path) -> tuple[bytes, int]:
    """A file's mono pcm and its sample rate (Hz).

    Raises:
        UsageError: the file does not exist, or is not a 16-bit WAV.
    """
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise UsageError(f"{path} has {8 * file.getsampwidth()} bits per sample; convert it to 16")
            pcm = file.readframes(file.getnframes())
            return downmix(pcm, file.getnchannels()), file.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise UsageError(f"Cannot play {path}: {getattr(error, 'strerror', None) or error}") from error


class Surroundings:
    """Applies the bot's volume and the background sound to an output's chunks.

    Without a mixer nothing is sent while the bot is silent; without a `VolumeFrame` the volume is unchanged.

    Attributes:
        untouched: whether chunks are sent unchanged, and nothing else.
    """

    def __init__(self, mixer: AudioMixer | None, sample_rate: int) -> None:
        self._mixer = mixer
        self._rate = sample_rate
        self._volume: Volume | None = None
        self.untouched = mixer is None
        self._pacer = Pacer(IDLE_LEAD_S)

    @classmethod
    async def prepare(cls, mixer: AudioMixer | None, sample_rate: int) -> Surroundings:
        """Start the mixer, which reads its files, in a thread."""
        if mixer is not None:
            await asyncio.to_thread(mixer.start, sample_rate)
        return cls(mixer, sample_rate)

    @property
    def playing(self) -> bool:
        """Whether there is background sound while the bot is silent."""
        return self._mixer is not None and self._mixer.playing

    def wait_s(self, now: float) -> float:
        """Time (s) until the next chunk of background is due while the bot is silent."""
        return max(0.0, self._pacer.wait_s(now))

    def cleared(self) -> None:
        """The peer has dropped its unplayed sound."""
        self._pacer.reset()

    def control(self, frame: Control) -> None:
        """Apply a control frame. Raises `ValueError` for an unknown sound or setting."""
        if not isinstance(frame, VolumeFrame):
            if self._mixer is not None:
                self._mixer.control(frame)
            return
        if self._volume is None:
            self._volume = Volume(self._rate)
            self.untouched = False
        self._volume.set(frame.volume)

    def around(self, pcm: bytes, *, speech: bool, now: float) -> bytes:
        """The chunk with volume and background; it is sent now."""
        self._pacer.sent(len(pcm) / 2 / self._rate, now)
        if self._volume is not None:
            pcm = self._volume.apply(pcm)
        return self._mix(pcm, speech) if self._mixer is not None else pcm

    def _mix(self, pcm: bytes, speech: bool) -> bytes:
        assert self._mixer is not None
        try:
            return self._mixer.mix(pcm, speech=speech)
        except Exception:  # the bot's own mixer
            logger.exception("The audio_out_mixer failed; the call continues without background sound")
            self._mixer = None
            return pcm
