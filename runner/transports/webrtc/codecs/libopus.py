"""libopus itself, by ctypes: the copy that PyAV's wheel brings, found by its own name.

PyAV's codecs hide what a call needs: decoding at the pipeline's rate, concealment, forward error correction,
and settings that change while it runs. Where the library is not found, `pyav_opus.py` stands in.
The calls hold the GIL: one takes 15 to 150 µs, less than what a hand-over between threads costs.
"""

from __future__ import annotations

import ctypes
import functools
import logging
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

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
    """libopus refused something; says what."""


@functools.cache
def load() -> ctypes.PyDLL | None:
    """The library; None if PyAV does not bring one that has what we call."""
    for path in _candidates():
        try:
            library = ctypes.PyDLL(str(path))
            _declare(library)
        except (OSError, AttributeError) as error:
            logger.debug("%s cannot be used: %s", path.name, error)
            continue
        return library
    logger.warning("no libopus in PyAV's wheel: calls go without forward error correction")
    return None


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
    # Variadic: what is declared is fixed, the value behind it is passed as a c_int (it matters on ARM Macs).
    library.opus_encoder_ctl.argtypes = [state, size]
    for destroy in (library.opus_encoder_destroy, library.opus_decoder_destroy):
        destroy.argtypes, destroy.restype = [state], None
    library.opus_packet_has_lbrr.argtypes = [ctypes.c_char_p, ctypes.c_int32]
    library.opus_get_version_string.restype = ctypes.c_char_p


class Encoder:
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
        """Each option is (request, value); the names are for whoever reads it."""
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


class Decoder:
    """One mono decoder state at `sample_rate` (Hz); stereo is mixed down by libopus."""

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
        """pcm for a packet of which nothing is there."""
        return self._run(None, samples, 0)

    def can_recover(self, following: bytes) -> bool:
        """Whether a packet carries the one before it as well."""
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
