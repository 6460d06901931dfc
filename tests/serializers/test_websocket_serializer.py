from __future__ import annotations

import json

import pytest

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
)
from runner.serializers.base import ClearFrame, MarkFrame, MarkReachedFrame
from runner.serializers.websocket import WebSocketFrameSerializer


def test_binary_messages_are_pcm_both_ways() -> None:
    serializer = WebSocketFrameSerializer(sample_rate=16000, output_sample_rate=24000)
    assert serializer.deserialize(b"\1\2\3\4") == [InputAudioRawFrame(b"\1\2\3\4", 16000)]
    assert serializer.deserialize(b"") == []
    assert serializer.serialize(OutputAudioRawFrame(b"\1\2", 24000)) == b"\1\2"
    assert serializer.serialize(OutputAudioRawFrame(b"", 24000)) is None
    with pytest.raises(ValueError, match="24000 Hz, not 16000 Hz"):
        serializer.serialize(OutputAudioRawFrame(b"\1\2", 16000))


def test_text_messages_are_application_messages_both_ways() -> None:
    serializer = WebSocketFrameSerializer()
    message = {"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"ü": [1, None, True]}}
    assert serializer.deserialize(json.dumps(message)) == [InputTransportMessageFrame(message)]
    for frame in (OutputTransportMessageFrame(message), OutputTransportMessageUrgentFrame(message)):
        sent = serializer.serialize(frame)
        assert isinstance(sent, str)
        assert json.loads(sent) == message


@pytest.mark.parametrize(
    "message", [b"\1", "", "[]", "{", '{"a":NaN}', '{"a":1e999}', '{"a":["\\ud800"]}', "{" * 9]
)
def test_malformed_messages_are_protocol_errors(message: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        WebSocketFrameSerializer().deserialize(message)


@pytest.mark.parametrize("frame", [ClearFrame(), InterruptionFrame()])
def test_an_interruption_clears_what_the_client_has_buffered(frame: Frame) -> None:
    assert WebSocketFrameSerializer().serialize(frame) == '{"label":"botrun","type":"clear"}'


def test_marks_are_for_clients_that_asked_for_them() -> None:
    assert WebSocketFrameSerializer().serialize(MarkFrame(name="m")) is None
    serializer = WebSocketFrameSerializer(marks=True)
    sent = serializer.serialize(MarkFrame(name="m"))
    assert isinstance(sent, str)
    assert serializer.deserialize(sent) == [MarkReachedFrame("m")]
    assert serializer.deserialize('{"label":"botrun","type":"new"}') == []
    assert serializer.serialize(TextFrame("x")) is None
