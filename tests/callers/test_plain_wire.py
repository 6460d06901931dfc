"""The plain client's end, against the serializer at ours."""

from __future__ import annotations

from runner.callers.wires import BotBad, BotClear, BotMark, BotSound, wire_for
from runner.callers.wires.base import PlainWire
from runner.frames import InputAudioRawFrame, OutputAudioRawFrame
from runner.serializers.base import ClearFrame, MarkFrame, MarkReachedFrame
from runner.serializers.websocket import WebSocketFrameSerializer

PCM = bytes(range(160)) * 2


def test_the_plain_wire_and_the_serializer_understand_each_other() -> None:
    wire = wire_for("websocket", sample_rate=16000)
    serializer = WebSocketFrameSerializer(output_sample_rate=16000, marks=True)
    heard = serializer.deserialize(wire.media(PCM))[0]
    assert isinstance(heard, InputAudioRawFrame)
    assert heard.audio == PCM
    assert serializer.deserialize(wire.mark_reached("a")) == [MarkReachedFrame("a")]
    for frame, event in (
        (OutputAudioRawFrame(PCM, 16000), BotSound(PCM)),
        (MarkFrame("a"), BotMark("a")),
        (ClearFrame(), BotClear()),
    ):
        message = serializer.serialize(frame)
        assert message is not None
        assert wire.receive(message) == [event]


def test_what_a_plain_client_does_not_know_is_reported() -> None:
    wire = wire_for("websocket", sample_rate=8000)
    assert isinstance(wire, PlainWire)
    assert wire.query == "sample_rate=8000&output_sample_rate=8000&marks=1"
    assert wire.receive('{"label":"botrun","type":"session","token":"x"}') == []
    assert wire.receive('{"label":"rtvi-ai","type":"bot-ready"}') == []
    assert isinstance(wire.receive('{"label":"botrun","type":"surprise"}')[0], BotBad)
