"""Reads the audio of speech servers: raw samples, or a container that was not requested. Pure.

WAV (RIFF) is read with its own rate and sample format. Raw 32-bit float samples are detected and converted.
Compressed containers are refused: played as samples they would be loud noise.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runner.errors import ServiceError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE

MAX_HEADER_BYTES = 1 << 20
"""Maximum total size of the chunks before a WAV file's samples, such as pictures."""

LOOK_BYTES = 512
"""Bytes of audio needed to detect floats."""

_CONTAINERS = (
    (0, b"ID3", "MP3"),
    (0, b"OggS", "Ogg"),
    (0, b"fLaC", "FLAC"),
    (4, b"ftyp", "MP4"),
    (0, b"\x1a\x45\xdf\xa3", "WebM"),
    (0, b"FORM", "AIFF"),
    (0, b".snd", "AU"),
)
_CONTENT_TYPES = {
    "audio/mpeg": "MP3", "audio/mp3": "MP3", "audio/ogg": "Ogg", "audio/opus": "Ogg", "audio/flac": "FLAC",
    "audio/aac": "AAC", "audio/mp4": "MP4", "audio/webm": "WebM",
}  # fmt: skip
_MPEG1_LAYER3_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG2_LAYER3_KBPS = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def compressed_kind(data: bytes, content_type: str = "") -> str:
    """The container by its first bytes or by the content type; "" if there is none."""
    for offset, magic, name in _CONTAINERS:
        if data[offset:].startswith(magic):
            return name
    if _is_mpeg(data):
        return "MP3"
    return _CONTENT_TYPES.get(content_type.partition(";")[0].strip().lower(), "")


def is_container(data: bytes) -> bool:
    """Whether this is the beginning of a container."""
    return data.startswith(b"RIFF") or bool(compressed_kind(data))


class SoundReader:
    """Converts the audio of one utterance, split at any byte, to pcm (s16le mono).

    Args:
        service: the server's name, for errors.
        sample_rate: Hz of samples without a header.
        content_type: of the answer, if there is one.

    Attributes:
        sample_rate: Hz of the pcm; a WAV header changes it.
        converted: what raw samples were converted from; empty if they were pcm.
    """

    def __init__(self, service: str, sample_rate: int, content_type: str = "") -> None:
        self.sample_rate = sample_rate
        self.converted = ""
        self._service = service
        self._content_type = content_type
        self._waiting = b""
        self._known = False
        self._format = PCM
        self._bits = 16
        self._channels = 1
        self._left: int | None = None

    def feed(self, data: bytes) -> bytes:
        """Add bytes; returns the pcm so far. Raises `ServiceError` for unsupported audio."""
        self._waiting += data
        if not self._known and not self._find_out(final=False):
            return b""
        return self._pcm()

    def close(self) -> bytes:
        """The audio has ended; returns the rest."""
        if not self._known:
            self._find_out(final=True)
        return self._pcm() if self._known else b""

    def _find_out(self, *, final: bool) -> bool:
        """Detect the format from the first bytes; False if more are needed."""
        if len(self._waiting) < 4 and not final:
            return False
        if self._waiting.startswith(b"RIFF"):
            self._known = self._read_header(final=final)
            return self._known
        if kind := compressed_kind(self._waiting, self._content_type):
            raise ServiceError(f"{self._service} sent {kind} instead of pcm: let it send pcm or WAV")
        if len(self._waiting) < LOOK_BYTES and not final:
            return False
        if _are_floats(self._waiting):
            self._format, self._bits, self.converted = FLOAT, 32, "32-bit float samples"
        self._known = True
        return True

    def _read_header(self, *, final: bool) -> bool:
        """The chunks before the samples (Microsoft's RIFF: id, size, content, padded to even)."""
        data, at = self._waiting, 12
        while len(data) >= at + 8:
            name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
            if name == b"data":
                # A streaming server does not know the size and sends 0 or the maximum.
                self._left = size if 0 < size < 0x7FFFFFFF else None
                self._waiting = data[at + 8 :]
                return True
            if len(data) < at + 8 + size:
                break
            if name == b"fmt " and size >= 16:
                self._read_format(data[at + 8 : at + 8 + size])
            at += 8 + size + size % 2
        if final or len(data) > MAX_HEADER_BYTES:
            raise ServiceError(f"{self._service} sent a WAV file without samples")
        return False

    def _read_format(self, chunk: bytes) -> None:
        kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind == EXTENSIBLE and len(chunk) >= 26:
            kind = struct.unpack_from("<H", chunk, 24)[0]
        can = (kind == PCM and bits in (8, 16, 24, 32)) or (kind == FLOAT and bits in (32, 64))
        if not can or not channels or not rate:
            what = f"a WAV file of format {kind} with {bits} bits"
            raise ServiceError(f"{self._service} sent {what}: let it send 16-bit pcm")
        self._format, self._channels, self.sample_rate, self._bits = kind, channels, rate, bits

    def _pcm(self) -> bytes:
        size = self._bits // 8 * self._channels
        data = self._waiting if self._left is None else self._waiting[: self._left]
        whole = len(data) - len(data) % size
        self._waiting = data[whole:]
        if self._left is not None:
            self._left -= whole
        data = data[:whole]
        if not data:
            return b""
        if self._format == PCM and self._bits == 16 and self._channels == 1:
            return data
        import numpy as np

        samples = self._samples(data).reshape(-1, self._channels).mean(axis=1)
        pcm: bytes = np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()
        return pcm

    def _samples(self, data: bytes) -> NDArray[np.float64]:
        """The samples from -1 to 1."""
        import numpy as np

        samples: NDArray[np.float64]
        match self._format, self._bits:
            case _, 64:
                samples = np.frombuffer(data, "<f8")
            case kind, 32 if kind == FLOAT:
                samples = np.frombuffer(data, "<f4").astype("f8")
            case _, 8:
                samples = (np.frombuffer(data, "u1").astype("f8") - 128) / 128
            case _, 24:
                wide = np.zeros((len(data) // 3, 4), "u1")
                wide[:, 1:] = np.frombuffer(data, "u1").reshape(-1, 3)
                samples = wide.view("<i4")[:, 0] / 2**31
            case _, 32:
                samples = np.frombuffer(data, "<i4") / 2**31
            case _:
                samples = np.frombuffer(data, "<i2") / 2**15
        return np.nan_to_num(samples)


def _are_floats(data: bytes) -> bool:
    """Whether these are 32-bit floats from -1 to 1. Pcm read as floats gives huge or tiny numbers: a quiet
    negative sample in the upper half gives one beyond 1e30."""
    import numpy as np

    words = np.frombuffer(data[: len(data) // 4 * 4], "<f4")
    words = words[words != 0]
    if len(words) < 16:
        return False
    sizes = np.abs(words)
    return bool(np.all(np.isfinite(sizes)) and np.all(sizes <= 1.5) and np.mean(sizes > 1e-7) > 0.9)


def _is_mpeg(data: bytes) -> bool:
    """Whether MPEG audio frames begin here: two headers, at the distance given by the first."""
    length = _mpeg_frame_bytes(data)
    return bool(length) and len(data) >= length + 4 and bool(_mpeg_frame_bytes(data[length:]))


def _mpeg_frame_bytes(data: bytes) -> int:
    """The length of the layer III frame that begins here; 0 if none does (ISO/IEC 11172-3, 2.4.1.3)."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return 0
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bitrate, rate, padding = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    kbps = (_MPEG1_LAYER3_KBPS if version == 3 else _MPEG2_LAYER3_KBPS)[bitrate]
    return (144 if version == 3 else 72) * kbps * 1000 // _MPEG_RATES[version][rate] + padding
