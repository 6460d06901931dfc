"""What every serializer is, and the frames that only wire and transport exchange."""

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
    """To the wire: tell us, by this name, when all sound sent before has been played."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class ClearFrame(SystemFrame):
    """To the wire: throw away all sound that waits to be played."""


@dataclass(frozen=True, slots=True)
class MarkReachedFrame(SystemFrame):
    """From the wire: the mark's turn came. After a `ClearFrame` it does not prove that it was heard."""

    name: str = ""


@dataclass(frozen=True, slots=True)
class MediaClearedFrame(SystemFrame):
    """From the wire: waiting sound was thrown away (only Plivo tells)."""


@dataclass(frozen=True, slots=True)
class StreamStoppedFrame(SystemFrame):
    """From the wire: the provider has ended the stream. `reason` is its word, if it gave one."""

    reason: str = ""


class Credentials(dict[str, str]):
    """What a provider's REST interface will want. Handed on, never used here, and never shown."""

    def __repr__(self) -> str:
        return f"Credentials({', '.join(self)})"

    __str__ = __repr__


class FrameSerializer(ABC):
    """Turns one side's messages into the other side's frames. No I/O, no clock, no resampling.

    How a transport uses it:

        frames = serializer.deserialize(message)          # raises ProtocolError, and nothing else
        if serializer.holding:                            # a message is missing: what came after it waits
            frames += serializer.release(now)             # ... for at most `hold_s`; call again by then
        message = serializer.serialize(frame)             # None: not for the wire, or being collected
        message = serializer.serialize_sound(pcm)         # the same, for mono pcm at `output_sample_rate`
        message = serializer.flush()                      # at the end of speech: what is still collected

    Attributes:
        provider: "twilio", "telnyx", "plivo", "exotel" or "websocket".
        sample_rate: of inbound sound, Hz.
        output_sample_rate: of outbound sound, Hz.
        chunk_ms: the length in which outbound sound is best cut.
        stream_id: the provider's id of this media stream.
        call_id: the provider's id of the call.
        credentials: what the constructor was given for the hang-up; `providers` uses it.
        auto_hang_up: whether the session should hang up at the provider when the bot is done.
        counters: what was seen and put right, by name.
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
        """The frames that the message means, possibly none. Raises `ProtocolError` if it is malformed."""

    @abstractmethod
    def serialize(self, frame: Frame) -> str | bytes | None:
        """The message that the frame means, or None.

        Raises ValueError for sound of another rate or of several channels: that is our own mistake.
        """

    def serialize_sound(self, pcm: bytes) -> str | bytes | None:
        """As `serialize`, for sound: mono pcm at `output_sample_rate`."""
        return self.serialize(OutputAudioRawFrame(pcm, self.output_sample_rate))

    def flush(self) -> str | bytes | None:
        """The sound that is still being collected, padded with silence to what the provider takes."""
        return None

    @property
    def holding(self) -> bool:
        """Whether inbound sound waits for a message that should have come before it."""
        return False

    def release(self, now: float) -> list[Frame]:
        """The held sound, once it has waited `hold_s` seconds. The first call after a gap starts the wait."""
        return []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(stream_id={self.stream_id!r}, call_id={self.call_id!r})"


def check_digit(digit: str) -> str:
    if digit.upper() not in KEYS:
        raise ValueError(f"{digit[:10]!r} is not a key of a phone: one of 0-9 * # A-D.")
    return digit.upper()


def check_sound(frame: OutputAudioRawFrame, sample_rate: int) -> bytes:
    """The frame's pcm, if it is what the wire takes."""
    if frame.sample_rate != sample_rate:
        raise ValueError(
            f"The wire takes sound at {sample_rate} Hz, not {frame.sample_rate} Hz: resample it before."
        )
    if frame.num_channels != 1:
        raise ValueError(f"The wire takes one channel, not {frame.num_channels}.")
    if len(frame.audio) % 2:
        raise ValueError(f"{len(frame.audio)} bytes are not a whole number of 16-bit samples.")
    return frame.audio
