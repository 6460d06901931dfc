"""Parses untrusted input; malformed input raises `ProtocolError`. Also the encodings of sound."""

from __future__ import annotations

import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NoReturn

from runner.audio import g711
from runner.errors import ProtocolError

LARGEST_MESSAGE = 256 * 1024
"""Maximum size of a message, in characters or bytes. 20 ms of sound need 300, a `start` about 5,000."""

_MOST_DIGITS = 18
KEYS = frozenset("0123456789*#ABCD")


def _no_constant(name: str) -> NoReturn:
    raise ProtocolError(f"The message contains {name}, which is not JSON.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ProtocolError("The message contains a number that is too large.")
    return value


_decoder = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite)


def check_size(message: str | bytes) -> None:
    if len(message) > LARGEST_MESSAGE:
        raise ProtocolError(f"The message has {len(message)} bytes; at most {LARGEST_MESSAGE} are allowed.")


def text_of(message: str | bytes) -> str:
    """The message as text. Providers send only text messages; a binary one must be UTF-8."""
    check_size(message)
    if isinstance(message, str):
        return message
    try:
        return bytes(message).decode()
    except UnicodeDecodeError as error:
        raise ProtocolError("The binary message is not UTF-8 text.") from error


def parse_object(message: str | bytes) -> dict[str, Any]:
    """The message as a JSON object."""
    try:
        value = _decoder.decode(text_of(message))
    except ValueError as error:  # also raised for a number with too many digits
        raise ProtocolError("The message is not JSON.") from error
    except RecursionError as error:
        raise ProtocolError("The message is nested too deeply.") from error
    if not isinstance(value, dict):
        raise ProtocolError("The message is JSON, but not an object.")
    return value


def check_unicode(text: str) -> str:
    """`text`; raises `ProtocolError` for a lone surrogate, which cannot be logged or sent."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ProtocolError("The message contains half a character (a lone surrogate).") from error
    return text


def text_in(holder: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = holder.get(key, default)
    if not isinstance(value, str):
        raise ProtocolError(f"`{key}` is not a text.")
    return check_unicode(value)


def object_in(holder: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = holder.get(key)
    if not isinstance(value, dict):
        raise ProtocolError(f"`{key}` is not an object.")
    return value


def integer(value: object, key: str) -> int | None:
    """A number sent as `1` (Plivo) or as `"1"` (the others)."""
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MOST_DIGITS:
        return value
    raise ProtocolError(f"`{key}` is not a number from 0 to 10^{_MOST_DIGITS}.")


def integer_in(holder: Mapping[str, Any], key: str) -> int | None:
    return integer(holder.get(key), key)


def base64_bytes(text: str) -> bytes:
    """Decode base64, strictly: skipping a stray character would shift all samples after it."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise ProtocolError("The payload is not base64.") from error


def base64_text(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def digit_in(holder: Mapping[str, Any], key: str) -> str:
    """A DTMF key: 0-9 * # A-D."""
    value = holder.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value <= 9 else None
    if not isinstance(value, str) or value.upper() not in KEYS:
        raise ProtocolError(f"`{key}` is not a DTMF key (0-9 * # A-D).")
    return value.upper()


def texts_in(holder: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object of texts, such as custom parameters; numbers and booleans are converted."""
    value = holder.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ProtocolError(f"`{key}` is not an object.")
    return {check_unicode(name): _as_text(item, name) for name, item in value.items()}


def _as_text(value: object, key: str) -> str:
    if isinstance(value, str):
        return check_unicode(value)
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    try:
        return check_unicode(json.dumps(value, ensure_ascii=False))
    except (RecursionError, ValueError) as error:
        raise ProtocolError(f"`{key}` cannot be read as a text.") from error


Coder = Callable[[bytes], bytes]
SAMPLE_RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000)
"""Hz. Telnyx offers 8000 to 48000, Exotel 8000 to 24000, Plivo 8000 and 16000."""


class Encoding(StrEnum):
    """One mono sample on the wire: one byte in µ-law and A-law, two in L16."""

    ULAW = "ulaw"
    ALAW = "alaw"
    L16 = "l16"
    """Little-endian, the same as pcm."""
    L16_BIG_ENDIAN = "l16be"
    """As in RTP (RFC 3551 §4.5.11)."""


# Spellings in the providers' documentation, old and new, without the part after a semicolon.
_NAMES = {
    **dict.fromkeys(
        ("ulaw", "mulaw", "mu-law", "x-mulaw", "pcmu", "basic", "g711u", "g711_ulaw"), Encoding.ULAW
    ),
    **dict.fromkeys(("alaw", "a-law", "x-alaw", "pcma", "g711a", "g711_alaw"), Encoding.ALAW),
    # Some of Exotel's start messages say `base64` instead of audio/x-raw [?].
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
    """The encoding and sample rate (Hz) of mono sound on a wire."""

    encoding: Encoding = Encoding.ULAW
    sample_rate: int = 8000

    @property
    def bytes_per_sample(self) -> int:
        return 1 if self.encoding in (Encoding.ULAW, Encoding.ALAW) else 2

    def bytes_in(self, duration_ms: int) -> int:
        """The size on the wire of this duration."""
        return self.sample_rate * duration_ms // 1000 * self.bytes_per_sample

    def __str__(self) -> str:
        return f"{self.encoding.value}/{self.sample_rate}"


ULAW_8K = MediaFormat()
L16_8K = MediaFormat(Encoding.L16, 8000)


def parse_encoding(name: str) -> Encoding:
    """An encoding by its name: `audio/x-mulaw`, `PCMU`, `audio/L16;rate=8000`, …"""
    plain = name.partition(";")[0].strip().lower().removeprefix("audio/")
    try:
        return _NAMES[plain]
    except KeyError:
        raise ProtocolError(
            f"The stream's encoding is {name[:40]!r}; botrun supports µ-law (PCMU), A-law (PCMA) and L16. "
            "Set one of these where the stream is configured at the provider."
        ) from None


def check_rate(sample_rate: int) -> int:
    if sample_rate not in SAMPLE_RATES:
        raise ProtocolError(
            f"The stream's sample rate of {sample_rate} Hz is not supported: use one of "
            f"{', '.join(map(str, SAMPLE_RATES))} Hz."
        )
    return sample_rate


def parse_media_format(announced: Mapping[str, Any] | None, default: MediaFormat) -> MediaFormat:
    """The media format of a start message; `default` fills in what it omits."""
    if announced is None:
        return default
    if not isinstance(announced, Mapping):
        raise ProtocolError("The media format is not an object.")
    name = announced.get("encoding", default.encoding.value)
    if not isinstance(name, str):
        raise ProtocolError("The encoding is not a text.")
    rate = integer(announced.get("sampleRate", announced.get("sample_rate")) or _rate_in(name), "sample_rate")
    if integer(announced.get("channels"), "channels") not in (None, 1):
        raise ProtocolError("The stream has more than one channel; set it to mono at the provider.")
    return MediaFormat(parse_encoding(name), check_rate(rate or default.sample_rate))


def _rate_in(name: str) -> str | None:
    """The sample rate in `audio/x-l16;rate=16000`."""
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
