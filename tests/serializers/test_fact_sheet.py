"""The messages of the providers' own pages, as the fact sheet has them, letter for letter."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from runner.errors import ProtocolError
from runner.frames import (
    ErrorFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
)
from runner.serializers.base import (
    ClearFrame,
    FrameSerializer,
    MarkFrame,
    MarkReachedFrame,
    MediaClearedFrame,
    StreamStoppedFrame,
)
from runner.serializers.exotel import ExotelFrameSerializer
from runner.serializers.plivo import PlivoFrameSerializer
from runner.serializers.telnyx import TelnyxFrameSerializer
from runner.serializers.twilio import TwilioFrameSerializer
from runner.serializers.wire import Encoding, MediaFormat

ULAW = base64.b64encode(b"\xff" * 160).decode()
PCM = base64.b64encode(bytes(1600)).decode()
QUIET = InputAudioRawFrame(bytes(320), 8000)


def twilio() -> FrameSerializer:
    return TwilioFrameSerializer("MZ01", "CA01", "AC01", "token")


def telnyx() -> FrameSerializer:
    return TelnyxFrameSerializer("32DE", "PCMU", "PCMU", "v3:abc", "key")


def plivo() -> FrameSerializer:
    return PlivoFrameSerializer("uuid2", "uuid", "MA", "token")


def exotel() -> FrameSerializer:
    return ExotelFrameSerializer("MZx", "CAx")


INBOUND: list[tuple[Any, str, list[Frame]]] = [
    (twilio, '{"event":"connected","protocol":"Call","version":"1.0.0"}', []),
    (
        twilio,
        '{"event":"media","sequenceNumber":"2","streamSid":"MZ01","media":{"track":"inbound","chunk":"1",'
        f'"timestamp":"20","payload":"{ULAW}"}}}}',
        [QUIET],
    ),
    (
        twilio,
        '{"event":"dtmf","sequenceNumber":"5","streamSid":"MZ01","dtmf":{"track":"inbound_track","digit":"1"}}',
        [InputDTMFFrame("1")],
    ),
    (
        twilio,
        '{"event":"mark","sequenceNumber":"9","streamSid":"MZ01","mark":{"name":"utt-7"}}',
        [MarkReachedFrame("utt-7")],
    ),
    (
        twilio,
        '{"event":"stop","sequenceNumber":"50","streamSid":"MZ01","stop":{"accountSid":"AC01","callSid":"CA01"}}',
        [StreamStoppedFrame()],
    ),
    (telnyx, '{"event":"connected","version":"1.0.0"}', []),
    (
        telnyx,
        '{"event":"media","sequence_number":"4","stream_id":"32DE","media":{"track":"inbound","chunk":"1",'
        f'"timestamp":"5","payload":"{ULAW}"}}}}',
        [QUIET],
    ),
    (
        telnyx,
        '{"event":"dtmf","sequence_number":"5","stream_id":"32DE","occurred_at":"...","dtmf":{"digit":"#"}}',
        [InputDTMFFrame("#")],
    ),
    (
        telnyx,
        '{"event":"mark","sequence_number":"6","stream_id":"32DE","mark":{"name":"m1"}}',
        [MarkReachedFrame("m1")],
    ),
    (
        telnyx,
        '{"event":"stop","sequence_number":"9","stream_id":"32DE","stop":{"user_id":"u","call_control_id":"v3:abc"}}',
        [StreamStoppedFrame()],
    ),
    (
        telnyx,
        '{"event":"error","stream_id":"32DE","payload":{"code":100003,"title":"malformed_frame","detail":"no"}}',
        [ErrorFrame("Telnyx reports an error: 100003 malformed_frame no", "telnyx")],
    ),
    (telnyx, '{"event":"error"}', [ErrorFrame("Telnyx reports an error: no details", "telnyx")]),
    (
        plivo,
        '{"event":"media","sequenceNumber":42,"streamId":"uuid2","media":{"track":"inbound",'
        f'"timestamp":"1705312200000","chunk":41,"payload":"{ULAW}"}},"extra_headers":"a=1"}}',
        [QUIET],
    ),
    (plivo, '{"event":"dtmf","streamId":"uuid2","dtmf":{"digit":"5"}}', [InputDTMFFrame("5")]),
    (plivo, '{"event":"dtmf","streamId":"uuid2","dtmf":{"digit":5}}', [InputDTMFFrame("5")]),
    (plivo, '{"event":"playedStream","streamId":"uuid2","name":"greeting"}', [MarkReachedFrame("greeting")]),
    (plivo, '{"event":"played","streamId":"uuid2","name":"greeting"}', [MarkReachedFrame("greeting")]),
    (plivo, '{"event":"clearedAudio","streamId":"uuid2"}', [MediaClearedFrame()]),
    (plivo, '{"event":"stop","streamId":"uuid2"}', [StreamStoppedFrame()]),
    (exotel, '{"event":"connected"}', []),
    (
        exotel,
        '{"event":"media","sequence_number":"3","stream_sid":"MZx","media":{"chunk":"2","timestamp":"200",'
        f'"payload":"{PCM}"}}}}',
        [InputAudioRawFrame(bytes(1600), 8000)],
    ),
    (
        exotel,
        '{"event":"dtmf","sequence_number":"7","stream_sid":"MZx","dtmf":{"digit":"5","duration":"100"}}',
        [InputDTMFFrame("5")],
    ),
    (
        exotel,
        '{"event":"mark","sequence_number":"15","stream_sid":"MZx","mark":{"name":"m"}}',
        [MarkReachedFrame("m")],
    ),
    (exotel, '{"event":"clear","stream_sid":"MZx"}', []),
    (
        exotel,
        '{"event":"stop","sequence_number":"20","stream_sid":"MZx","stop":{"call_sid":"CAx","account_sid":"ACx",'
        '"reason":"callended"}}',
        [StreamStoppedFrame("callended")],
    ),
]


@pytest.mark.parametrize(("make", "message", "frames"), INBOUND)
def test_each_documented_message_means_these_frames(make: Any, message: str, frames: list[Frame]) -> None:
    assert make().deserialize(message) == frames
    assert make().deserialize(message.encode()) == frames


QUIET_OUT = OutputAudioRawFrame(bytes(320), 8000)
OUTBOUND: list[tuple[Any, Frame, str]] = [
    (twilio, QUIET_OUT, f'{{"event":"media","streamSid":"MZ01","media":{{"payload":"{ULAW}"}}}}'),
    (twilio, MarkFrame(name="utt-7"), '{"event":"mark","streamSid":"MZ01","mark":{"name":"utt-7"}}'),
    (twilio, ClearFrame(), '{"event":"clear","streamSid":"MZ01"}'),
    (telnyx, QUIET_OUT, f'{{"event":"media","media":{{"payload":"{ULAW}"}}}}'),
    (telnyx, MarkFrame(name="m1"), '{"event":"mark","mark":{"name":"m1"}}'),
    (telnyx, ClearFrame(), '{"event":"clear"}'),
    (
        plivo,
        QUIET_OUT,
        '{"event":"playAudio","media":{"contentType":"audio/x-mulaw","sampleRate":8000,'
        f'"payload":"{ULAW}"}}}}',
    ),
    (plivo, MarkFrame(name="greeting"), '{"event":"checkpoint","streamId":"uuid2","name":"greeting"}'),
    (plivo, ClearFrame(), '{"event":"clearAudio","streamId":"uuid2"}'),
    (plivo, OutputDTMFFrame("5"), '{"event":"sendDTMF","streamId":"uuid2","dtmf":"5"}'),
    (
        exotel,
        OutputAudioRawFrame(bytes(3200), 8000),
        f'{{"event":"media","stream_sid":"MZx","media":{{"payload":"{base64.b64encode(bytes(3200)).decode()}"}}}}',
    ),
    (exotel, MarkFrame(name="m"), '{"event":"mark","stream_sid":"MZx","mark":{"name":"m"}}'),
    (exotel, ClearFrame(), '{"event":"clear","stream_sid":"MZx"}'),
]


@pytest.mark.parametrize(("make", "frame", "message"), OUTBOUND)
def test_each_frame_becomes_the_documented_message(make: Any, frame: Frame, message: str) -> None:
    assert make().serialize(frame) == message
    json.loads(message)


@pytest.mark.parametrize("make", [twilio, telnyx, exotel])
def test_a_key_has_no_message_where_tones_must_do(make: Any) -> None:
    assert make().serialize(OutputDTMFFrame("5")) is None


def test_an_id_with_quotes_cannot_break_out_of_its_message() -> None:
    message = TwilioFrameSerializer('a"b').serialize(ClearFrame())
    assert isinstance(message, str)
    assert json.loads(message) == {"event": "clear", "streamSid": 'a"b'}


def test_telnyx_hears_one_encoding_and_speaks_another() -> None:
    serializer = TelnyxFrameSerializer("s", "PCMA", "L16", sample_rate=8000, output_sample_rate=16000)
    heard = serializer.deserialize(
        json.dumps({"event": "media", "media": {"payload": base64.b64encode(b"\xd5" * 160).decode()}})
    )
    assert heard == [InputAudioRawFrame(b"\x08\x00" * 160, 8000)]
    message = serializer.serialize(OutputAudioRawFrame(b"\x01\x02" * 320, 16000))
    assert isinstance(message, str)
    assert base64.b64decode(json.loads(message)["media"]["payload"]) == b"\x01\x02" * 320


def test_telnyx_l16_can_be_set_to_network_order() -> None:
    serializer = TelnyxFrameSerializer("s", "L16BE", "L16BE", sample_rate=16000, output_sample_rate=16000)
    payload = base64.b64encode(b"\x01\x02" * 320).decode()
    heard = serializer.deserialize(json.dumps({"event": "media", "media": {"payload": payload}}))
    assert heard == [InputAudioRawFrame(b"\x02\x01" * 320, 16000)]
    message = serializer.serialize(OutputAudioRawFrame(b"\x02\x01" * 320, 16000))
    assert isinstance(message, str)
    assert json.loads(message)["media"]["payload"] == payload


def test_a_telnyx_stream_may_begin_in_disorder() -> None:
    serializer = telnyx()
    message = '{{"event":"media","media":{{"chunk":"{}","payload":"{}"}}}}'
    assert serializer.deserialize(message.format(2, ULAW)) == []
    assert len(serializer.deserialize(message.format(1, ULAW))) == 2
    assert serializer.counters["disordered"] == 1


@pytest.mark.parametrize(
    ("encoding", "sample_rate", "payload", "chunk_ms"),
    [
        (Encoding.L16, 8000, 3200, 200),
        (Encoding.L16, 16000, 3200, 100),
        (Encoding.L16, 24000, 4800, 100),
        (Encoding.ULAW, 8000, 3200, 400),
    ],
)
@pytest.mark.faults(5)
def test_exotels_smallest_message_keeps_both_its_bytes_and_its_100_ms(
    encoding: Encoding, sample_rate: int, payload: int, chunk_ms: int
) -> None:
    serializer = ExotelFrameSerializer("MZx", media_format=MediaFormat(encoding, sample_rate))
    assert serializer.chunk_ms == chunk_ms
    messages = [
        serializer.serialize(OutputAudioRawFrame(bytes(sample_rate // 50 * 2), sample_rate))
        for _ in range(chunk_ms // 20)
    ]
    assert messages[:-1] == [None] * (len(messages) - 1)
    assert isinstance(messages[-1], str)
    assert len(base64.b64decode(json.loads(messages[-1])["media"]["payload"])) == payload


def test_plivo_has_no_alaw() -> None:
    with pytest.raises(ProtocolError, match="no content type"):
        PlivoFrameSerializer("s", media_format=MediaFormat(Encoding.ALAW))
