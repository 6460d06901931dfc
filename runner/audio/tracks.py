"""Audio on a call's timeline: written at a position, read in order; and the header of a WAV file.

Pure; positions are samples.
"""

from __future__ import annotations

import struct
from array import array

GAP_S = 0.2
"""Caller audio that arrives later than expected by more than this (s) follows a silence."""


class Track:
    """One speaker's timeline. Where nothing was put there is silence.

    Attributes:
        taken: the position up to which audio was taken; nothing can be put before it.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.taken = 0
        self._pcm = bytearray()

    @property
    def end(self) -> int:
        """The position at which the audio ends."""
        return self.taken + len(self._pcm) // 2

    def put(self, position: int, pcm: bytes) -> None:
        """Put audio at a position, replacing what is there; the part before `taken` is dropped."""
        late = max(0, self.taken - position)
        pcm, start = pcm[2 * late :], (position + late - self.taken) * 2
        if len(self._pcm) < start:
            self._pcm.extend(bytes(start - len(self._pcm)))
        self._pcm[start : start + len(pcm)] = pcm

    def cut(self, position: int) -> None:
        """Remove the audio from this position on."""
        del self._pcm[max(0, position - self.taken) * 2 :]

    def take(self, until: int) -> bytes:
        """Take everything up to a position, silence included."""
        count = max(0, until - self.taken) * 2
        pcm = bytes(self._pcm[:count])
        del self._pcm[:count]
        self.taken += count // 2
        return pcm + bytes(count - len(pcm))


class ArrivingTrack(Track):
    """A track for audio whose only timestamp is its arrival.

    Continuous audio is appended, however unevenly it arrives. After a gap, the earliest start that any of the
    following pieces implies is used, so that a stall of the pipeline does not become silence.
    """

    def __init__(self, sample_rate: int) -> None:
        super().__init__(sample_rate)
        self._run = bytearray()
        self._run_start = 0
        self._settled = False

    @property
    def end(self) -> int:
        return self._run_start + len(self._run) // 2

    def arrive(self, pcm: bytes, at: int) -> None:
        """Add audio whose last sample arrives at this position."""
        samples = len(pcm) // 2
        if at - samples - self.end > GAP_S * self.sample_rate or self.end == 0:
            self._settle()
            self._run_start, self._settled = max(at - samples, self.end), False
        elif not self._settled:
            began = at - samples - len(self._run) // 2
            self._run_start = min(self._run_start, max(began, super().end))
        self._run += pcm

    def take(self, until: int) -> bytes:
        if until > self._run_start:
            self._settle()
        return super().take(until)

    def _settle(self) -> None:
        """Fix the position of the audio since the last gap."""
        if self._run:
            self.put(self._run_start, bytes(self._run))
        self._run_start, self._settled = self.end, True
        self._run.clear()


def interleave(left: bytes, right: bytes) -> bytes:
    """Interleave two channels of equal length as stereo pcm."""
    stereo = array("h", bytes(len(left) * 2))
    stereo[0::2], stereo[1::2] = array("h", left), array("h", right)
    return stereo.tobytes()


def wav_header(pcm_bytes: int, sample_rate: int, channels: int = 1) -> bytes:
    """The 44-byte WAV header for s16le pcm: RIFF, `fmt ` with format 1 (PCM), `data`."""
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        36 + pcm_bytes,
        b"WAVE",
        b"fmt ",
        16,
        1,
        channels,
        sample_rate,
        sample_rate * channels * 2,
        channels * 2,
        16,
        b"data",
        pcm_bytes,
    )
