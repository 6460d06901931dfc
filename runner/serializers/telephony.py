"""What the four phone providers have in common: JSON text messages with base64 sound.

Each provider's file has its event names, its order of keys and its exceptions.
"""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from runner.errors import ProtocolError
from runner.frames import (
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
)
from runner.serializers.base import (
    ClearFrame,
    FrameSerializer,
    MarkFrame,
    MarkReachedFrame,
    StreamStoppedFrame,
    check_digit,
    check_sound,
)
from runner.serializers.timeline import MediaTimeline
from runner.serializers.wire import (
    LARGEST_MESSAGE,
    Coder,
    MediaFormat,
    base64_bytes,
    base64_text,
    check_unicode,
    decoder_for,
    digit_in,
    encoder_for,
    integer_in,
    object_in,
    parse_object,
    text_in,
)


class Collector:
    """Collects pcm until there is enough for a message. All sizes are in bytes of pcm.

    A message has `smallest` to `largest` bytes, in multiples of `multiple`. `flush` pads the last one with
    silence.
    """

    def __init__(self, *, smallest: int, multiple: int, largest: int) -> None:
        self._multiple = multiple
        self._smallest = -(-smallest // multiple) * multiple
        self._largest = largest // multiple * multiple
        self._pcm = bytearray()

    def __len__(self) -> int:
        return len(self._pcm)

    def add(self, pcm: bytes) -> bytes:
        """The pcm of the next message, or b""."""
        if not self._pcm and self._takes(len(pcm)):
            return pcm
        self._pcm += pcm
        return self._cut(len(self._pcm) // self._multiple * self._multiple)

    def flush(self) -> bytes:
        """The rest, padded; at most `largest` bytes, so call it until it returns b""."""
        if not self._pcm:
            return b""
        padded = max(self._smallest, -(-len(self._pcm) // self._multiple) * self._multiple)
        self._pcm += bytes(max(0, padded - len(self._pcm)))
        return self._cut(padded)

    def clear(self) -> None:
        self._pcm.clear()

    def _takes(self, size: int) -> bool:
        return self._smallest <= size <= self._largest and size % self._multiple == 0

    def _cut(self, size: int) -> bytes:
        if size < self._smallest:
            return b""
        size = min(size, self._largest)
        piece = bytes(self._pcm[:size])
        del self._pcm[:size]
        return piece


def usual_media(before: str, after: str = "") -> re.Pattern[str]:
    """A pattern that reads a media message in its usual form without parsing JSON. Groups: number, time,
    payload.

    It is exact: it matches each character of the JSON text except the payload's, and base64 decoding refuses
    characters that JSON would escape.

    Args:
        before: the message up to its payload, with the groups `number` and `time`.
        after: the rest, after the object that ends with the payload.
    """
    return re.compile(rf'{before}"payload":"(?P<payload>[^"]*)"\}}{after}\}}')


@dataclass(frozen=True, slots=True, kw_only=True)
class SerializerParams:
    """Options of all providers. `auto_hang_up`: hang up at the provider when the bot is done."""

    auto_hang_up: bool = True


class TelephonySerializer(FrameSerializer):
    """The base class of the four serializers. `media_format`: as in the start message."""

    InputParams = SerializerParams

    _events: ClassVar[Mapping[str, str]] = {
        "media": "_on_media",
        "dtmf": "_on_dtmf",
        "mark": "_on_mark",
        "stop": "_on_stop",
        "connected": "_on_opening",
        "start": "_on_opening",
    }
    _usual_media: ClassVar[re.Pattern[str]]
    """A media message in its usual form (`usual_media`)."""
    _timestamps_are_media_time: ClassVar[bool] = True
    _first_number: ClassVar[int | None] = None
    """The number of the first message, for providers whose messages may come out of order."""

    def __init__(
        self,
        *,
        stream_id: str,
        call_id: str | None,
        credentials: Mapping[str, str | None],
        media_format: MediaFormat,
        output_format: MediaFormat | None = None,
        params: SerializerParams | None = None,
    ) -> None:
        super().__init__(stream_id=stream_id, call_id=call_id, credentials=credentials)
        self.media_format = media_format
        self.output_format = output_format or media_format
        self.sample_rate = self.media_format.sample_rate
        self.output_sample_rate = self.output_format.sample_rate
        self.auto_hang_up = params is None or params.auto_hang_up
        self._timeline = MediaTimeline(
            self.sample_rate,
            self.counters,
            media_time=self._timestamps_are_media_time,
            first_number=self._first_number,
            hold_s=self.hold_s,
        )
        self._decode: Coder | None = None
        self._encode: Coder | None = None
        self._media_before, self._media_after = self._media_template()
        self._collector = self._make_collector()

    # ---------------------------------------------------------------- defined by each provider

    @abstractmethod
    def _media_template(self) -> tuple[str, str]:
        """The outbound media message before and after its payload."""

    @abstractmethod
    def _mark_message(self, name: str) -> str:
        """The message that asks the provider to report when the sound before it has been played."""

    @abstractmethod
    def _clear_message(self) -> str:
        """The message that discards sound not played yet."""

    def _dtmf_message(self, digit: str) -> str | None:
        """The message that sends a DTMF key; None if the provider has none and the transport plays tones."""
        return None

    def _make_collector(self) -> Collector | None:
        """A collector; None if the provider accepts sound of any length."""
        return None

    # ---------------------------------------------------------------- inbound

    def deserialize(self, message: str | bytes) -> list[Frame]:
        if isinstance(message, str) and (usual := self._usual_media.fullmatch(message)) is not None:
            number, time, payload = usual.group("number", "time", "payload")
            if "\\" not in payload and len(message) <= LARGEST_MESSAGE:
                return self._sound_in(base64_bytes(payload), int(number), int(time))
        data = parse_object(message)
        event = data.get("event")
        if not isinstance(event, str):
            raise ProtocolError("The message has no `event`.")
        handler = self._events.get(event)
        if handler is None:
            self.counters["unknown"] += 1
            return []
        frames: list[Frame] = getattr(self, handler)(data)
        return frames

    def _on_media(self, data: Mapping[str, Any]) -> list[Frame]:
        media = object_in(data, "media")
        number, timestamp = integer_in(media, "chunk"), integer_in(media, "timestamp")
        payload = media.get("payload")
        if not isinstance(payload, str):
            raise ProtocolError("`payload` is not a text.")
        # With `both_tracks`, the provider sends the bot's own voice back, too.
        if media.get("track") in ("outbound", "outbound_track"):
            self.counters["other_track"] += 1
            return []
        return self._sound_in(base64_bytes(payload), number, timestamp)

    def _sound_in(self, sound: bytes, number: int | None, timestamp_ms: int | None) -> list[Frame]:
        decode = self._decode or self._load_decoder()
        pcm = decode(sound)
        self.counters["media"] += 1
        pieces = self._timeline.place(pcm, number, timestamp_ms)
        rate = self.sample_rate
        return [InputAudioRawFrame(piece, rate) for piece in pieces if piece]

    def _frames(self, pieces: list[bytes]) -> list[Frame]:
        return [InputAudioRawFrame(pcm, self.sample_rate) for pcm in pieces if pcm]

    def _load_decoder(self) -> Coder:
        self._decode = decoder_for(self.media_format.encoding)
        return self._decode

    def _on_dtmf(self, data: Mapping[str, Any]) -> list[Frame]:
        return [InputDTMFFrame(digit_in(object_in(data, "dtmf"), "digit"))]

    def _on_mark(self, data: Mapping[str, Any]) -> list[Frame]:
        return [MarkReachedFrame(text_in(object_in(data, "mark"), "name"))]

    def _on_stop(self, data: Mapping[str, Any]) -> list[Frame]:
        stop = data.get("stop")
        reason = stop.get("reason") if isinstance(stop, dict) else None
        reason = check_unicode(reason) if isinstance(reason, str) else ""
        return [*self._frames(self._timeline.release_all()), StreamStoppedFrame(reason)]

    def _on_opening(self, data: Mapping[str, Any]) -> list[Frame]:
        """Ignored: the handshake has read it already."""
        self.counters["opening"] += 1
        return []

    @property
    def holding(self) -> bool:
        return bool(self._timeline.held)

    def release(self, now: float) -> list[Frame]:
        return self._frames(self._timeline.release(now))

    # ---------------------------------------------------------------- outbound

    def serialize(self, frame: Frame) -> str | bytes | None:
        if isinstance(frame, OutputAudioRawFrame):
            return self.serialize_sound(check_sound(frame, self.output_sample_rate))
        if isinstance(frame, MarkFrame):
            return self._mark_message(frame.name)
        if isinstance(frame, ClearFrame | InterruptionFrame):
            if self._collector is not None:
                self._collector.clear()
            return self._clear_message()
        if isinstance(frame, OutputDTMFFrame):
            return self._dtmf_message(check_digit(frame.digit))
        return None

    def flush(self) -> str | bytes | None:
        return None if self._collector is None else self._media_message(self._collector.flush())

    def serialize_sound(self, pcm: bytes) -> str | None:
        return self._media_message(pcm if self._collector is None else self._collector.add(pcm))

    def _media_message(self, pcm: bytes) -> str | None:
        if not pcm:
            return None
        encode = self._encode or self._load_encoder()
        return self._media_before + base64_text(encode(pcm)) + self._media_after

    def _load_encoder(self) -> Coder:
        self._encode = encoder_for(self.output_format.encoding)
        return self._encode

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, media_format={self.media_format})"


def as_json(text: str) -> str:
    return json.dumps(text)
