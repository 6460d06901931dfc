"""pcm <-> Opus packets of 20 ms, as a call needs it.

How the bot's sound is encoded was chosen by STOI and by cost, on real speech
(`benchmarks/webrtc_quality.py`). On a clean network CELT at four bits a sample: as good as aiortc's stereo at
a quarter of its time, and it looks ahead least. Complexity 3, for from 5 on a lost packet was heard more.
When the far end reports loss: SILK, for only SILK has in-band forward error correction.
"""

from __future__ import annotations

import ctypes
from typing import Protocol

from runner.audio.resampler import Resampler
from runner.transports.webrtc.codecs import libopus

CHUNK_MS = 20
RTP_CLOCK_HZ = 48000  # RFC 7587 §4.1: whatever the sample rate
RTP_CHUNK = RTP_CLOCK_HZ * CHUNK_MS // 1000
SAMPLE_RATES = (8000, 16000, 24000, 48000)

CELT_COMPLEXITY, SILK_COMPLEXITY = 3, 1
CELT_BITS, CELT_MOST_BIT_RATE = 4, 96000
SILK_BITS, SILK_MOST_BIT_RATE = 3, 64000
"""Bits per sample, and most bits per second."""

FEC_FROM, FEC_UNTIL = 0.015, 0.003
"""Share of lost packets, smoothed, from which SILK with correction is used, and under which no longer."""

SMOOTHING = 0.3


class OpusEncoder(Protocol):
    """Encodes chunks of 20 ms of mono pcm, each to one packet."""

    def encode(self, pcm: bytes, *, silence: bool = False) -> bytes:
        """`silence`: pcm is, so a packet of one or two bytes may stand for it (DTX)."""

    def expect_loss(self, share: float) -> None:
        """The far end has reported this share (0 to 1) of packets as lost."""


class OpusDecoder(Protocol):
    """Decodes packets to mono pcm at one rate."""

    def decode(self, payload: bytes) -> bytes: ...
    def conceal(self, samples: int) -> bytes: ...
    def can_recover(self, following: bytes) -> bool: ...
    def recover(self, following: bytes, samples: int) -> bytes: ...


def check_rate(sample_rate: int) -> None:
    """Raises ValueError for a rate (Hz) that Opus does not have."""
    if sample_rate not in SAMPLE_RATES:
        known = ", ".join(map(str, SAMPLE_RATES))
        raise ValueError(f"Opus takes {known} Hz, not {sample_rate} Hz")


def nearest_rate(sample_rate: int) -> int:
    """The rate (Hz) of `SAMPLE_RATES` that carries sound of this rate without loss, if there is one."""
    return next((rate for rate in SAMPLE_RATES if rate >= sample_rate), SAMPLE_RATES[-1])


def open_encoder(sample_rate: int) -> OpusEncoder:
    """The best encoder there is here, for one of `SAMPLE_RATES`."""
    check_rate(sample_rate)
    library = libopus.load()
    if library is not None:
        return AdaptiveEncoder(library, sample_rate)
    from runner.transports.webrtc.codecs.pyav_opus import PyAvEncoder

    return PyAvEncoder(sample_rate, min(CELT_MOST_BIT_RATE, CELT_BITS * sample_rate))


def open_decoder(sample_rate: int) -> OpusDecoder:
    """The best decoder there is here, for any rate (Hz)."""
    library = libopus.load()
    if library is None:
        from runner.transports.webrtc.codecs.pyav_opus import PyAvDecoder

        return PyAvDecoder(sample_rate)
    if sample_rate in SAMPLE_RATES:
        return libopus.Decoder(library, sample_rate)
    return ResamplingDecoder(library, sample_rate)


class AdaptiveEncoder:
    """CELT, or SILK with forward error correction while packets get lost."""

    def __init__(self, library: ctypes.PyDLL, sample_rate: int) -> None:
        self._library = library
        self._rate = sample_rate
        self._loss = 0.0
        self._allows_dtx = False
        self._celt = libopus.Encoder(library, sample_rate, libopus.APPLICATION_RESTRICTED_LOWDELAY)
        self._celt.set(
            bit_rate=(libopus.SET_BITRATE, min(CELT_MOST_BIT_RATE, CELT_BITS * sample_rate)),
            complexity=(libopus.SET_COMPLEXITY, CELT_COMPLEXITY),
            signal=(libopus.SET_SIGNAL, libopus.SIGNAL_VOICE),
        )
        self._silk: libopus.Encoder | None = None

    @property
    def corrects(self) -> bool:
        """Whether forward error correction is sent now."""
        return self._silk is not None

    def encode(self, pcm: bytes, *, silence: bool = False) -> bytes:
        encoder = self._silk or self._celt
        if silence is not self._allows_dtx:
            # Only for silence of our own: what the bot says softly is not for the codec to leave out.
            self._allows_dtx = silence
            encoder.set(dtx=(libopus.SET_DTX, int(silence)))
        return encoder.encode(pcm)

    def expect_loss(self, share: float) -> None:
        self._loss += (share - self._loss) * SMOOTHING
        if self._silk is None and self._loss >= FEC_FROM:
            self._silk = self._new_silk()
        elif self._silk is not None and self._loss < FEC_UNTIL:
            self._silk = None
            self._celt.set(dtx=(libopus.SET_DTX, int(self._allows_dtx)))
        if self._silk is not None:
            percent = min(40, max(5, round(self._loss * 100)))
            self._silk.set(loss=(libopus.SET_PACKET_LOSS_PERC, percent))

    def _new_silk(self) -> libopus.Encoder:
        silk = libopus.Encoder(self._library, self._rate, libopus.APPLICATION_VOIP)
        silk.set(
            bit_rate=(libopus.SET_BITRATE, min(SILK_MOST_BIT_RATE, SILK_BITS * self._rate)),
            complexity=(libopus.SET_COMPLEXITY, SILK_COMPLEXITY),
            signal=(libopus.SET_SIGNAL, libopus.SIGNAL_VOICE),
            fec=(libopus.SET_INBAND_FEC, 1),
            dtx=(libopus.SET_DTX, int(self._allows_dtx)),
        )
        return silk


class ResamplingDecoder:
    """For the rates that Opus does not have: decodes at 48 kHz and resamples."""

    def __init__(self, library: ctypes.PyDLL, sample_rate: int) -> None:
        self._decoder = libopus.Decoder(library, RTP_CLOCK_HZ)
        self._resampler = Resampler(RTP_CLOCK_HZ, sample_rate)
        self._rate = sample_rate

    def decode(self, payload: bytes) -> bytes:
        return self._resampler.process(self._decoder.decode(payload))

    def conceal(self, samples: int) -> bytes:
        return self._resampler.process(self._decoder.conceal(self._at_48k(samples)))

    def can_recover(self, following: bytes) -> bool:
        return self._decoder.can_recover(following)

    def recover(self, following: bytes, samples: int) -> bytes:
        return self._resampler.process(self._decoder.recover(following, self._at_48k(samples)))

    def _at_48k(self, samples: int) -> int:
        return round(samples / self._rate * RTP_CLOCK_HZ / 120) * 120  # whole steps of 2.5 ms
