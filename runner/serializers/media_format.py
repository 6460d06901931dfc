"""How sound is written on a wire, and the many names that providers have for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from runner.audio import g711
from runner.errors import ProtocolError
from runner.serializers.messages import integer

Coder = Callable[[bytes], bytes]
SAMPLE_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
"""Hz. Telnyx offers 8000 to 48000, Exotel 8000 to 24000, Plivo 8000 and 16000."""


class Encoding(StrEnum):
    """One mono sample on the wire: one byte in µ-law and A-law, two in L16."""

    ULAW = "ulaw"
    ALAW = "alaw"
    L16 = "l16"
    """Little-endian, which is pcm itself."""
    L16_BIG_ENDIAN = "l16be"
    """As RTP has it (RFC 3551 §4.5.11)."""


# Old and new spellings seen in the providers' own pages; what follows a semicolon is cut off before.
_NAMES = {
    **dict.fromkeys(
        ("ulaw", "mulaw", "mu-law", "x-mulaw", "pcmu", "basic", "g711u", "g711_ulaw"), Encoding.ULAW
    ),
    **dict.fromkeys(("alaw", "a-law", "x-alaw", "pcma", "g711a", "g711_alaw"), Encoding.ALAW),
    # `base64` is what some of Exotel's start messages say where others say audio/x-raw [?].
    **dict.fromkeys(
        (
            "l16",
            "x-l16",
            "x-raw",
            "raw",
            "slin",
            "linear16",
            "pcm",
            "x-pcm",
            "pcm16",
            "s16le",
            "pcm_s16le",
            "base64",
        ),
        Encoding.L16,
    ),
    "l16be": Encoding.L16_BIG_ENDIAN,
}


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """Mono sound on a wire: its encoding, and its sample rate in Hz."""

    encoding: Encoding = Encoding.ULAW
    sample_rate: int = 8000

    @property
    def bytes_per_sample(self) -> int:
        return 1 if self.encoding in (Encoding.ULAW, Encoding.ALAW) else 2

    def bytes_in(self, duration_ms: int) -> int:
        """Bytes on the wire of so many milliseconds."""
        return self.sample_rate * duration_ms // 1000 * self.bytes_per_sample

    def __str__(self) -> str:
        return f"{self.encoding.value}/{self.sample_rate}"


ULAW_8K = MediaFormat()
L16_8K = MediaFormat(Encoding.L16, 8000)


def parse_encoding(name: str) -> Encoding:
    """`audio/x-mulaw`, `PCMU`, `audio/L16;rate=8000` and their like."""
    plain = name.partition(";")[0].strip().lower().removeprefix("audio/")
    try:
        return _NAMES[plain]
    except KeyError:
        raise ProtocolError(
            f"The stream announces the encoding {name[:40]!r}; botrun speaks µ-law (PCMU), A-law (PCMA) "
            "and L16. Ask the provider for one of these where the stream is set up."
        ) from None


def check_rate(sample_rate: int) -> int:
    if sample_rate not in SAMPLE_RATES:
        raise ProtocolError(
            f"The stream announces a sample rate of {sample_rate} Hz, which botrun does not know."
        )
    return sample_rate


def parse_media_format(told: Mapping[str, Any] | None, default: MediaFormat) -> MediaFormat:
    """The `mediaFormat` or `media_format` of a start message; what it leaves out is taken from `default`."""
    if told is None:
        return default
    if not isinstance(told, Mapping):
        raise ProtocolError("The media format is not an object.")
    name = told.get("encoding", default.encoding.value)
    if not isinstance(name, str):
        raise ProtocolError("The encoding is not a text.")
    rate = integer(told.get("sampleRate", told.get("sample_rate")) or _rate_in(name), "sample_rate")
    if integer(told.get("channels"), "channels") not in (None, 1):
        raise ProtocolError("The stream announces more than one channel; botrun takes mono.")
    return MediaFormat(parse_encoding(name), check_rate(rate or default.sample_rate))


def _rate_in(name: str) -> str | None:
    """The rate that `audio/x-l16;rate=16000` carries with it."""
    rate = name.partition("rate=")[2]
    return rate.strip() or None


def decoder_for(encoding: Encoding) -> Coder:
    """Wire bytes to pcm."""
    if encoding is Encoding.L16:
        return _whole_samples
    if encoding is Encoding.L16_BIG_ENDIAN:
        return _swapped
    return g711.ulaw_decode if encoding is Encoding.ULAW else g711.alaw_decode


def encoder_for(encoding: Encoding) -> Coder:
    """Pcm to wire bytes."""
    if encoding is Encoding.L16:
        return _whole_samples
    if encoding is Encoding.L16_BIG_ENDIAN:
        return _swapped
    return g711.ulaw_encode if encoding is Encoding.ULAW else g711.alaw_encode


def _whole_samples(pcm: bytes) -> bytes:
    if len(pcm) % 2:
        raise ProtocolError(f"{len(pcm)} bytes are not a whole number of 16-bit samples.")
    return pcm


def _swapped(pcm: bytes) -> bytes:
    _whole_samples(pcm)
    swapped = bytearray(len(pcm))
    swapped[0::2], swapped[1::2] = pcm[1::2], pcm[0::2]
    return bytes(swapped)
