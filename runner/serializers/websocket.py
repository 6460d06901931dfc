"""A plain WebSocket client: pcm in binary messages, RTVI (or any other) JSON in text messages.

If a client's first binary message is one of Pipecat's protobuf frames, the connection uses protobuf from then
on.

botrun adds two messages for clients that buffer sound:

    to the client     {"label":"botrun","type":"clear"}               drop all unplayed sound
                      {"label":"botrun","type":"mark","name":"…"}     only with `marks=True`
    from the client   {"label":"botrun","type":"mark","name":"…"}     the sound before this mark was played
"""

from __future__ import annotations

import json
from typing import ClassVar

from runner.errors import ProtocolError
from runner.frames import (
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from runner.serializers.base import ClearFrame, FrameSerializer, MarkFrame, MarkReachedFrame, check_sound
from runner.serializers.protobuf import ProtobufFrameSerializer, is_frame
from runner.serializers.wire import check_size, check_unicode, parse_object, text_in

LABEL = "botrun"


class WebSocketFrameSerializer(FrameSerializer):
    """Receives pcm at `sample_rate` and sends it at `output_sample_rate` (Hz). `marks`: the client answers
    marks."""

    provider: ClassVar[str] = "websocket"

    def __init__(
        self,
        *,
        sample_rate: int = 16000,
        output_sample_rate: int = 24000,
        marks: bool = False,
        stream_id: str = "",
    ) -> None:
        super().__init__(stream_id=stream_id)
        self.sample_rate = sample_rate
        self.output_sample_rate = output_sample_rate
        self._marks = marks
        self._is_first = True
        self._frames: ProtobufFrameSerializer | None = None

    def deserialize(self, message: str | bytes) -> list[Frame]:
        if self._is_first and isinstance(message, bytes):
            self._is_first = False
            if is_frame(message):
                self._frames = ProtobufFrameSerializer(
                    sample_rate=self.sample_rate, output_sample_rate=self.output_sample_rate
                )
                self._frames.counters = self.counters
        if self._frames is not None:
            return self._frames.deserialize(message)
        return self._text_in(message) if isinstance(message, str) else self._sound_in(message)

    def _sound_in(self, pcm: bytes) -> list[Frame]:
        check_size(pcm)
        if len(pcm) % 2:
            raise ProtocolError(f"{len(pcm)} bytes are not a whole number of 16-bit samples.")
        self.counters["media"] += 1
        return [InputAudioRawFrame(pcm, self.sample_rate)] if pcm else []

    def _text_in(self, text: str) -> list[Frame]:
        data = parse_object(text)
        if data.get("label") != LABEL:
            _check_all_unicode(text, data)
            return [InputTransportMessageFrame(data)]
        if data.get("type") == "mark":
            return [MarkReachedFrame(text_in(data, "name"))]
        self.counters["unknown"] += 1
        return []

    def serialize(self, frame: Frame) -> str | bytes | None:
        if self._frames is not None:
            return self._frames.serialize(frame)
        if isinstance(frame, OutputAudioRawFrame):
            return check_sound(frame, self.output_sample_rate) or None
        if isinstance(frame, MarkFrame):
            return _own("mark", name=frame.name) if self._marks else None
        if isinstance(frame, ClearFrame | InterruptionFrame):
            return _own("clear")
        if isinstance(frame, OutputTransportMessageFrame | OutputTransportMessageUrgentFrame):
            return json.dumps(frame.message, separators=(",", ":"), allow_nan=False)
        return None


def _own(kind: str, **rest: str) -> str:
    return json.dumps({"label": LABEL, "type": kind, **rest}, separators=(",", ":"))


def _check_all_unicode(text: str, value: object) -> None:
    """Refuse lone surrogates, which only texts with `\\u` escapes or non-ASCII characters can contain."""
    if "\\u" in text or not text.isascii():
        try:
            check_unicode(json.dumps(value, ensure_ascii=False))
        except RecursionError as error:
            raise ProtocolError("The message is nested too deeply.") from error
