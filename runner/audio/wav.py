"""A WAV header, for clients that want one before each piece of sound."""

from __future__ import annotations

import struct


def wav_header(pcm_bytes: int, sample_rate: int, channels: int = 1) -> bytes:
    """44 bytes before pcm (s16le): RIFF, `fmt ` with format 1 (PCM), `data`."""
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
