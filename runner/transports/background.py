"""Sound around the bot's voice: `SoundfileMixer` from WAV files, and how a transport plays it."""

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
"""While the bot is silent a chunk of the background leaves so little (s) before it is due: an answer waits
behind it."""

Control = VolumeFrame | MixerEnableFrame | MixerUpdateSettingsFrame


class SoundfileMixer(BackgroundMixer):
    """A background out of WAV files (16 bit, mono or stereo, at any usual rate), looped without a seam.

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
            raise UsageError(f"there is no sound {default_sound!r}; there are {', '.join(sound_files)}")
        sounds = {name: read_wav(Path(path)) for name, path in sound_files.items()}
        super().__init__(sounds, default_sound, volume=volume, mixing=mixing, loop=loop, ducking=ducking)


def read_wav(path: Path) -> tuple[bytes, int]:
    """Mono pcm and its rate (Hz).

    Raises:
        UsageError: there is no such file, or it is no WAV of 16 bit.
    """
    try:
        with wave.open(str(path)) as file:
            if file.getsampwidth() != 2:
                raise UsageError(f"{path.name} has {8 * file.getsampwidth()} bits a sample; it must have 16")
            pcm = file.readframes(file.getnframes())
            return downmix(pcm, file.getnchannels()), file.getframerate()
    except (OSError, EOFError, wave.Error) as error:
        raise UsageError(
            f"{path.name} cannot be played: {getattr(error, 'strerror', None) or error}"
        ) from error


class Surroundings:
    """What an output does to its chunks before they leave: the bot's volume, and a background under it.

    Without a mixer nothing is sent while the bot is silent, and until a `VolumeFrame` comes nothing is done.

    Attributes:
        untouched: whether chunks leave as they are, and nothing beside them.
    """

    def __init__(self, mixer: AudioMixer | None, sample_rate: int) -> None:
        self._mixer = mixer
        self._rate = sample_rate
        self._volume: Volume | None = None
        self.untouched = mixer is None
        self._pacer = Pacer(IDLE_LEAD_S)

    @classmethod
    async def prepare(cls, mixer: AudioMixer | None, sample_rate: int) -> Surroundings:
        """For an output that begins; its mixer reads its files now."""
        if mixer is not None:
            await asyncio.to_thread(mixer.start, sample_rate)
        return cls(mixer, sample_rate)

    @property
    def playing(self) -> bool:
        """Whether there is something to hear while the bot says nothing."""
        return self._mixer is not None and self._mixer.playing

    def wait_s(self, now: float) -> float:
        """How long (s) until the next chunk of background has to leave, if the bot says nothing."""
        return max(0.0, self._pacer.wait_s(now))

    def cleared(self) -> None:
        """The peer drops what waits there."""
        self._pacer.reset()

    def control(self, frame: Control) -> None:
        """A frame has come to its place among the sound; `ValueError` if it asks for what is not there."""
        if not isinstance(frame, VolumeFrame):
            if self._mixer is not None:
                self._mixer.control(frame)
            return
        if self._volume is None:
            self._volume = Volume(self._rate)
            self.untouched = False
        self._volume.set(frame.volume)

    def around(self, pcm: bytes, *, speech: bool, now: float) -> bytes:
        """The chunk as the listener is to hear it; it leaves now."""
        self._pacer.sent(len(pcm) / 2 / self._rate, now)
        if self._volume is not None:
            pcm = self._volume.apply(pcm)
        return self._mix(pcm, speech) if self._mixer is not None else pcm

    def _mix(self, pcm: bytes, speech: bool) -> bytes:
        assert self._mixer is not None
        try:
            return self._mixer.mix(pcm, speech=speech)
        except Exception:  # the boundary to the bot's own mixer
            logger.exception("the background has failed and plays no more")
            self._mixer = None
            return pcm
