"""Converts pcm to Opus packets of 20 ms and back, with the libopus in PyAV's wheel, through ctypes.

PyAV's codecs lack what a call needs: decoding at the pipeline's rate, concealment, forward error correction,
and settings that can change. A libopus call holds the GIL for 15 to 150 µs, less than switching threads
costs.

The encoder's settings were chosen by STOI and CPU time on real speech (`benchmarks/webrtc_quality.py`). On a
clean
network: CELT at four bits per sample, as good as aiortc's stereo at a quarter of its time and with the
    shortest
look-ahead; complexity 3, because from 5 on lost packets were more audible. When the peer reports loss: SILK,
because only SILK has in-band forward error correction.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

from runner.audio.resampler import Resampler

logger = logging.getLogger(__name__)

# include/opus_defines.h
APPLICATION_VOIP, APPLICATION_RESTRICTED_LOWDELAY = 2048, 2051
SET_BITRATE, SET_COMPLEXITY, SET_INBAND_FEC, SET_PACKET_LOSS_PERC = 4002, 4010, 4012, 4014
SET_DTX, SET_SIGNAL, SIGNAL_VOICE = 4016, 4024, 3001

MAX_PACKET_BYTES = 1275  # RFC 6716 §3.4: the largest frame
MAX_FRAME_SECS = 0.120
_NAMES = ("libopus*.so*", "libopus*.dylib", "libopus*.dll", "opus*.dll")
_NEEDED = (
    *("encoder_create", "encoder_destroy", "encoder_ctl", "encode"),
    *("decoder_create", "decoder_destroy", "decode", "packet_has_lbrr"),
)


class OpusError(Exception):
    """libopus failed; the message says at what."""


@functools.cache
def load() -> ctypes.PyDLL:
    """The library. Raises `OpusError` if PyAV's wheel has no libopus with the required functions."""
    for path in _candidates():
        try:
            library = ctypes.PyDLL(str(path))
            _declare(library)
        except (OSError, AttributeError) as error:
            logger.debug("%s cannot be used: %s", path.name, error)
            continue
        return library
    raise OpusError(
        "PyAV's wheel has no libopus that can be called: install av from PyPI's wheel, not from source"
    )


def _candidates() -> Iterator[Path]:
    """PyAV's own libraries: beside the package on Linux and Windows, inside it on macOS."""
    spec = find_spec("av")
    if spec is None or spec.origin is None:
        return
    package = Path(spec.origin).parent
    for folder in (package.parent / "av.libs", package / ".dylibs", package):
        for name in _NAMES:
            yield from sorted(folder.glob(name))


def _declare(library: ctypes.PyDLL) -> None:
    for name in _NEEDED:
        getattr(library, f"opus_{name}")
    state, size = ctypes.c_void_p, ctypes.c_int
    library.opus_encoder_create.restype = library.opus_decoder_create.restype = state
    library.opus_encoder_create.argtypes = [ctypes.c_int32, size, size, ctypes.POINTER(size)]
    library.opus_decoder_create.argtypes = [ctypes.c_int32, size, ctypes.POINTER(size)]
    library.opus_encode.argtypes = [state, ctypes.c_char_p, size, state, ctypes.c_int32]
    library.opus_decode.argtypes = [state, ctypes.c_char_p, ctypes.c_int32, state, size, size]
    # Variadic: only the fixed arguments are declared; the value is passed as a c_int (this matters on ARM
    # Macs).
    library.opus_encoder_ctl.argtypes = [state, size]
    for destroy in (library.opus_encoder_destroy, library.opus_decoder_destroy):
        destroy.argtypes, destroy.restype = [state], None
    library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
    library.opus_get_version_string.restype = ctypes.c_char_p


class LibopusEncoder:
    """One mono encoder state. `frame_samples` at `sample_rate` (Hz) make one packet."""

    def __init__(self, library: ctypes.PyDLL, sample_rate: int, application: int) -> None:
        self._library = library
        fault = ctypes.c_int()
        self._state = library.opus_encoder_create(sample_rate, 1, application, ctypes.byref(fault))
        if fault.value or not self._state:
            raise OpusError(f"libopus makes no encoder for {sample_rate} Hz ({fault.value})")
        self._out = ctypes.create_string_buffer(MAX_PACKET_BYTES)
        self._out_at = ctypes.addressof(self._out)

    def set(self, **options: tuple[int, int]) -> None:
        """Each option is (request, value); its name is for the reader."""
        for name, (request, value) in options.items():
            if self._library.opus_encoder_ctl(self._state, request, ctypes.c_int(value)):
                raise OpusError(f"libopus does not take {name}={value}")

    def encode(self, pcm: bytes) -> bytes:
        size: int = self._library.opus_encode(self._state, pcm, len(pcm) // 2, self._out_at, MAX_PACKET_BYTES)
        if size < 0:
            raise OpusError(f"libopus cannot encode {len(pcm)} bytes ({size})")
        return ctypes.string_at(self._out_at, size)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_encoder_destroy(self._state)


class LibopusDecoder:
    """One mono decoder state at `sample_rate` (Hz); stereo is mixed down by"""

    def __init__(self, library: ctypes.PyDLL, sample_rate: int) -> None:
        self._library = library
        fault = ctypes.c_int()
        self._state = library.opus_decoder_create(sample_rate, 1, ctypes.byref(fault))
        if fault.value or not self._state:
            raise OpusError(f"libopus makes no decoder for {sample_rate} Hz ({fault.value})")
        self._most = round(sample_rate * MAX_FRAME_SECS)
        self._out = ctypes.create_string_buffer(self._most * 2)
        self._out_at = ctypes.addressof(self._out)

    def decode(self, payload: bytes) -> bytes:
        """pcm of one packet. Raises `OpusError`."""
        return self._run(payload, self._most, 0)

    def recover(self, following: bytes, samples: int) -> bytes:
        """pcm of the packet before `following`, from its forward error correction."""
        return self._run(following, samples, 1)

    def conceal(self, samples: int) -> bytes:
        """pcm to conceal a lost packet."""
        return self._run(None, samples, 0)

    def can_recover(self, following: bytes) -> bool:
        """Whether a packet also carries the previous one."""
        return bool(self._library.opus_packet_has_lbrr(following, len(following)) == 1)

    def _run(self, payload: bytes | None, samples: int, fec: int) -> bytes:
        size = len(payload) if payload is not None else 0
        decoded: int = self._library.opus_decode(self._state, payload, size, self._out_at, samples, fec)
        if decoded < 0:
            raise OpusError(f"libopus cannot decode a packet of {size} bytes ({decoded})")
        return ctypes.string_at(self._out_at, decoded * 2)

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self._library.opus_decoder_destroy(self._state)


CHUNK_MS = 20
RTP_CLOCK_HZ = 48000  # RFC 7587 §4.1: whatever the sample rate
RTP_CHUNK = RTP_CLOCK_HZ * CHUNK_MS // 1000
SAMPLE_RATES = (8000, 16000, 24000, 48000)

CELT_COMPLEXITY, SILK_COMPLEXITY = 3, 1
CELT_BITS, CELT_MOST_BIT_RATE = 4, 96000
SILK_BITS, SILK_MOST_BIT_RATE = 3, 64000
"""Bits per sample, and most bits per second."""

FEC_FROM, FEC_UNTIL = 0.015, 0.003
"""Smoothed share of lost packets at which SILK with error correction is turned on and off."""

SMOOTHING = 0.3


class OpusEncoder(Protocol):
    """Encodes chunks of 20 ms of mono pcm, each to one packet."""

    def encode(self, pcm: bytes, *, silence: bool = False) -> bytes:
        """Encode a chunk. `silence`: pcm is silent, so a packet of one or two bytes can represent it
        (DTX)."""

    def expect_loss(self, share: float) -> None:
        """The peer has reported this share (0 to 1) of packets as lost."""


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
    """The lowest rate (Hz) of `SAMPLE_RATES` that is at least this rate, or the highest."""
    return next((rate for rate in SAMPLE_RATES if rate >= sample_rate), SAMPLE_RATES[-1])


def open_encoder(sample_rate: int) -> OpusEncoder:
    """An encoder for one of `SAMPLE_RATES` (Hz)."""
    check_rate(sample_rate)
    return AdaptiveEncoder(load(), sample_rate)


def open_decoder(sample_rate: int) -> OpusDecoder:
    """A decoder for any rate (Hz)."""
    if sample_rate in SAMPLE_RATES:
        return LibopusDecoder(load(), sample_rate)
    return ResamplingDecoder(load(), sample_rate)


class AdaptiveEncoder:
    """CELT, or SILK with forward error correction while packets get lost."""

    def __init__(self, library: ctypes.PyDLL, sample_rate: int) -> None:
        self._library = library
        self._rate = sample_rate
        self._loss = 0.0
        self._allows_dtx = False
        self._celt = LibopusEncoder(library, sample_rate, APPLICATION_RESTRICTED_LOWDELAY)
        self._celt.set(
            bit_rate=(SET_BITRATE, min(CELT_MOST_BIT_RATE, CELT_BITS * sample_rate)),
            complexity=(SET_COMPLEXITY, CELT_COMPLEXITY),
            signal=(SET_SIGNAL, SIGNAL_VOICE),
        )
        self._silk: LibopusEncoder | None = None

    @property
    def corrects(self) -> bool:
        """Whether forward error correction is sent now."""
        return self._silk is not None

    def encode(self, pcm: bytes, *, silence: bool = False) -> bytes:
        encoder = self._silk or self._celt
        if silence is not self._allows_dtx:
            # Only for digital silence: the codec must not drop quiet speech.
            self._allows_dtx = silence
            encoder.set(dtx=(SET_DTX, int(silence)))
        return encoder.encode(pcm)

    def expect_loss(self, share: float) -> None:
        self._loss += (share - self._loss) * SMOOTHING
        if self._silk is None and self._loss >= FEC_FROM:
            self._silk = self._new_silk()
        elif self._silk is not None and self._loss < FEC_UNTIL:
            self._silk = None
            self._celt.set(dtx=(SET_DTX, int(self._allows_dtx)))
        if self._silk is not None:
            percent = min(40, max(5, round(self._loss * 100)))
            self._silk.set(loss=(SET_PACKET_LOSS_PERC, percent))

    def _new_silk(self) -> LibopusEncoder:
        silk = LibopusEncoder(self._library, self._rate, APPLICATION_VOIP)
        silk.set(
            bit_rate=(SET_BITRATE, min(SILK_MOST_BIT_RATE, SILK_BITS * self._rate)),
            complexity=(SET_COMPLEXITY, SILK_COMPLEXITY),
            signal=(SET_SIGNAL, SIGNAL_VOICE),
            fec=(SET_INBAND_FEC, 1),
            dtx=(SET_DTX, int(self._allows_dtx)),
        )
        return silk


class ResamplingDecoder:
    """For the rates that Opus does not have: decodes at 48 kHz and resamples."""

    def __init__(self, library: ctypes.PyDLL, sample_rate: int) -> None:
        self._decoder = LibopusDecoder(library, RTP_CLOCK_HZ)
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
