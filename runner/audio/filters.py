"""What cleans the caller's sound before anybody hears it."""

from __future__ import annotations

from dataclasses import dataclass

from runner.frames import ControlFrame


@dataclass(frozen=True, slots=True)
class FilterEnableFrame(ControlFrame):
    """The caller's sound goes through `audio_in_filter`, or past it, from now on."""

    enable: bool


class AudioFilter:
    """What `TransportParams.audio_in_filter` takes: before the VAD, the recogniser and the recorder."""

    def filter(self, pcm: bytes, sample_rate: int) -> bytes:
        """The caller's next sound (mono, Hz), cleaned. Must be quick: it is called in the transport's reader.
        It may hold some back: what it returns need not be as long as what it got, and may be empty."""
        raise NotImplementedError(f"{type(self).__name__} does not override filter")
