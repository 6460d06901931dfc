"""`FrameSerializer`, and the frames exchanged only between a serializer and its transport."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from runner.frames import ControlFrame, Frame, OutputAudioRawFrame, SystemFrame
from runner.serializers.wire import KEYS

PTIME_MS = 20


@dataclass(frozen=True, slots=True)
class MarkFrame(ControlFrame):
    """To the wire: report, by this name, when all sound sent before has been played."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class ClearFrame(SystemFrame):
    """To the wire: drop all sound that has not been played."""


@dataclass(frozen=True, slots=True)
class MarkReachedFrame(SystemFrame):
    """From the wire: the mark was reached. After a `ClearFrame` this does not prove that sound was heard."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class MediaClearedFrame(SystemFrame):
    """From the wire: unplayed sound was dropped (only Plivo reports it)."""


@dataclass(frozen=True, slots=True)
class StreamStoppedFrame(SystemFrame):
    """From the wire: the provider has ended the stream. `reason`: as the provider gives it, or ""."""

    reason: str = ""


class Credentials(dict[str, str]):
    """Credentials for a provider's REST interface. Only passed on here; their `repr` hides the values."""

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self)})"

    __str__ = __repr__


class FrameSerializer(ABC):
    """Converts messages to frames and back. No I/O, no clock, no resampling.

    How a transport uses it:

        frames = serializer.deserialize(message)          # raises ProtocolError, and nothing else
        if serializer.holding:                            # a message is missing: later ones wait
            frames += serializer.release(now)             # ... for at most `hold_s`; call again by then
        message = serializer.serialize(frame)             # None: nothing to send (yet)
        message = serializer.serialize_sound(pcm)         # the same, for mono pcm at `output_sample_rate`
        message = serializer.flush()                      # at the end of speech: the rest of the sound

    Attributes:
        provider: "twilio", "telnyx", "plivo", "exotel" or "websocket".
        sample_rate: of inbound sound, Hz.
        output_sample_rate: of outbound sound, Hz.
        chunk_ms: the preferred length of outbound chunks.
        stream_id: the provider's id of this media stream.
        call_id: the provider's id of the call.
        credentials: as passed to the constructor; `providers` uses them to hang up.
        auto_hang_up: whether the session should hang up at the provider when the bot is done.
        counters: number of malformed or repaired inputs, by name.
    """

    provider: ClassVar[str] = ""
    sample_rate: int = 8000
    output_sample_rate: int = 8000
    chunk_ms: int = PTIME_MS
    hold_s: float = 0.060
    auto_hang_up: bool = True

    def __init__(
        self,
        *,
        stream_id: str = "",
        call_id: str | None = None,
        credentials: Mapping[str, str | None] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self.call_id = call_id or ""
        self.credentials = Credentials({key: value for key, value in (credentials or {}).items() if value})
        self.counters: Counter[str] = Counter()

    @abstractmethod
    def deserialize(self, message: str | bytes) -> list[Frame]:
        """The message's frames, possibly none. Raises `ProtocolError` if it is malformed."""

    @abstractmethod
    def serialize(self, frame: Frame) -> str | bytes | None:
        """The frame's message, or None.

        Raises ValueError for sound at another rate or with several channels; the transport must convert it.
        """

    def serialize_sound(self, pcm: bytes) -> str | bytes | None:
        """Like `serialize`, for mono pcm at `output_sample_rate`."""
        return self.serialize(OutputAudioRawFrame(pcm, self.output_sample_rate))

    def flush(self) -> str | bytes | None:
        """The rest of the collected sound, padded with silence to the provider's smallest message."""
        return None

    @property
    def holding(self) -> bool:
        """Whether inbound sound waits for an earlier message that is missing."""
        return False

    def release(self, now: float) -> list[Frame]:
        """The held sound, once it has waited for `hold_s`. The first call after a gap starts the wait."""
        return []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stream_id={self.stream_id!r}, call_id={self.call_id!r})"


def check_digit(digit: str) -> str:
    if digit.upper() not in KEYS:
        raise ValueError(f"{digit[:10]!r} is not a DTMF key: use one of 0-9 * # A-D.")
    return digit.upper()


def check_sound(frame: OutputAudioRawFrame, sample_rate: int) -> bytes:
    """The frame's pcm. Raises ValueError if it does not fit the wire format."""
    if frame.sample_rate != sample_rate:
        raise ValueError(f"Sound must be at {sample_rate} Hz, not {frame.sample_rate} Hz: resample it first.")
    if frame.num_channels != 1:
        raise ValueError(f"Sound must have one channel, not {frame.num_channels}.")
    if len(frame.audio) % 2:
        raise ValueError(f"{len(frame.audio)} bytes are not a whole number of 16-bit samples.")
    return frame.audio
