"""Pipecat's protobuf frames over a WebSocket (pipecat-ai 1.14.0, `frames/frames.proto`).

    Frame              one of: text = 1, audio = 2, transcription = 3, message = 4, interruption = 5
    text               id = 1, name = 2, text = 3
    audio              id = 1, name = 2, audio = 3 (pcm), sample_rate = 4, num_channels = 5, pts = 6
    transcription      id = 1, name = 2, text = 3, user_id = 4, timestamp = 5
    message            data = 1 (JSON, mostly RTVI's)
    interruption       id = 1, name = 2

The wire format (protobuf.dev/programming-guides/encoding) is implemented here because it is short, and the
protobuf package takes 20 ms to import and refuses code generated for another of its major versions.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from runner.errors import ProtocolError
from runner.frames import (
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
    TextFrame,
    TranscriptionFrame,
)
from runner.serializers.base import ClearFrame, FrameSerializer, check_sound
from runner.serializers.wire import check_rate, check_size, check_unicode

if TYPE_CHECKING:
    from runner.audio.resampler import Resampler

MOST_CHANNELS = 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

Value = int | bytes


class Kind(IntEnum):
    """What a `Frame` holds: its field number."""

    TEXT = 1
    AUDIO = 2
    TRANSCRIPTION = 3
    MESSAGE = 4
    INTERRUPTION = 5


SOUND_FIELD = 3
"""The field of an audio frame that holds its pcm."""


class ProtobufFrameSerializer(FrameSerializer):
    """For Pipecat's `@pipecat-ai/websocket-transport` and other clients with protobuf frames.

    Inbound sound may have any rate, mono or stereo, as each frame says; it is converted to mono at
    `sample_rate` (Hz). Outbound sound is at `output_sample_rate` (Hz); these clients expect 24000.
    """

    provider: ClassVar[str] = "websocket"

    def __init__(
        self, params: object = None, *, sample_rate: int = 16000, output_sample_rate: int = 24000
    ) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        self.output_sample_rate = output_sample_rate
        self._resampler: Resampler | None = None
        self._rate = sample_rate

    def deserialize(self, message: str | bytes) -> list[Frame]:
        if isinstance(message, str):
            raise ProtocolError("Received a text message; Pipecat's frames are binary.")
        check_size(message)
        kind, fields = parse_frame(message)
        match kind:
            case Kind.AUDIO:
                return self._sound(fields)
            case Kind.MESSAGE:
                return [_message(_text(fields, 1))]
            case Kind.TEXT:
                return [TextFrame(_text(fields, 3))]
            case Kind.TRANSCRIPTION:
                text, user, timestamp = (_text(fields, number) for number in (3, 4, 5))
                return [TranscriptionFrame(text, user, timestamp)]
            case _:
                self.counters["unknown"] += 1
                return []

    def _sound(self, fields: dict[int, Value]) -> list[Frame]:
        pcm, rate, channels = fields.get(SOUND_FIELD, b""), fields.get(4, 0), fields.get(5, 1)
        if not isinstance(pcm, bytes) or not isinstance(rate, int) or not isinstance(channels, int):
            raise ProtocolError("A field of an audio frame has the wrong type.")
        if not 1 <= channels <= MOST_CHANNELS:
            raise ProtocolError(f"Received sound with {channels} channels; 1 or 2 are allowed.")
        if len(pcm) % (2 * channels):
            raise ProtocolError(f"{len(pcm)} bytes are not a whole number of 16-bit samples.")
        self.counters["media"] += 1
        if channels == MOST_CHANNELS:
            from runner.audio.level import downmix

            pcm = downmix(pcm, channels)
        if rate != self.sample_rate:
            pcm = self._at_our_rate(pcm, check_rate(rate))
        return [InputAudioRawFrame(pcm, self.sample_rate)] if pcm else []

    def _at_our_rate(self, pcm: bytes, rate: int) -> bytes:
        if self._resampler is None or rate != self._rate:
            from runner.audio.resampler import Resampler

            self._resampler, self._rate = Resampler(rate, self.sample_rate), rate
        return self._resampler.process(pcm)

    def serialize(self, frame: Frame) -> bytes | None:
        match frame:
            case OutputAudioRawFrame():
                pcm = check_sound(frame, self.output_sample_rate)
                return _audio(pcm, self.output_sample_rate) if pcm else None
            case OutputTransportMessageFrame() | OutputTransportMessageUrgentFrame():
                text = json.dumps(frame.message, separators=(",", ":"), allow_nan=False)
                return _field(Kind.MESSAGE, _field(1, text.encode()))
            case InterruptionFrame() | ClearFrame():
                return _field(Kind.INTERRUPTION, _field(2, b"InterruptionFrame"))
            case _:
                return None


def is_frame(message: bytes) -> bool:
    """Whether a binary message is one of Pipecat's frames rather than pcm: its lengths must match exactly."""
    try:
        parse_frame(message)
    except ProtocolError:
        return False
    return True


def parse_frame(message: bytes) -> tuple[int, dict[int, Value]]:
    """The kind of a `Frame` and its fields by number.

    Raises:
        ProtocolError: it is not a `Frame`.
    """
    outer = _fields(message)
    if len(outer) != 1:
        raise ProtocolError(f"Received a frame with {len(outer)} contents; one is allowed.")
    ((kind, content),) = outer.items()
    if not isinstance(content, bytes):
        raise ProtocolError("Received a frame without content.")
    return kind, _fields(content)


# ------------------------------------------------------------------ wire format


def _fields(data: bytes) -> dict[int, Value]:
    """Numbers and byte strings by field number; if a field is repeated, the last one counts."""
    found: dict[int, Value] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if not number:
            raise ProtocolError("A protobuf field has number 0.")
        if kind == _VARINT:
            found[number], at = _varint(data, at)
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
        if kind == _BYTES:
            size, at = _varint(data, at)
        if size < 0 or at + size > len(data):
            raise ProtocolError("A protobuf field is cut off or of an unknown kind.")
        if kind == _BYTES:
            found[number] = data[at : at + size]
        at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ProtocolError("A protobuf number is cut off or too long.")


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _BYTES) + _number(len(content)) + content


def _audio(pcm: bytes, rate: int) -> bytes:
    head = _field(2, b"OutputAudioRawFrame") + _number(3 << 3 | _BYTES) + _number(len(pcm))
    tail = _number(4 << 3) + _number(rate) + _number(5 << 3) + b"\x01"
    return b"".join(
        (_number(Kind.AUDIO << 3 | _BYTES), _number(len(head) + len(pcm) + len(tail)), head, pcm, tail)
    )


def _text(fields: dict[int, Value], number: int) -> str:
    value = fields.get(number, b"")
    try:
        return check_unicode(value.decode()) if isinstance(value, bytes) else ""
    except UnicodeDecodeError:
        raise ProtocolError("A text is not UTF-8.") from None


def _message(text: str) -> InputTransportMessageFrame:
    try:
        return InputTransportMessageFrame(json.loads(text))
    except (ValueError, RecursionError):
        raise ProtocolError("A message is not JSON.") from None
