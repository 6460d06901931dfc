from __future__ import annotations

import json
from typing import Any

import pytest

from runner.errors import ProtocolError
from runner.serializers.handshake import CallInfo, Handshake
from runner.serializers.telnyx import TelnyxFrameSerializer
from runner.serializers.wire import Encoding, MediaFormat, parse_encoding, parse_media_format


def detected(message: dict[str, Any]) -> CallInfo:
    result = Handshake().feed(json.dumps(message))
    assert result is not None
    return result


def plivo(**more: Any) -> dict[str, Any]:
    start = {"callId": "c", "streamId": "s", "accountId": "MA1"}
    return {"event": "start", "sequenceNumber": 1, "start": start, **more}


TWILIO = {
    "event": "start", "sequenceNumber": "1", "streamSid": "MZ01",
    "start": {
        "accountSid": "AC01", "streamSid": "MZ01", "callSid": "CA01", "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"from_number": "+14150000001"},
    },
}  # fmt: skip
TELNYX = {
    "event": "start", "sequence_number": "1", "stream_id": "32DE",
    "start": {
        "user_id": "u", "call_control_id": "v3:abc", "from": "+13120000001", "to": "+13120000002",
        "custom_parameters": {"customer_id": "c1"},
        "media_format": {"encoding": "PCMA", "sample_rate": "8000", "channels": 1},
    },
}  # fmt: skip
EXOTEL = {
    "event": "start", "sequence_number": "1", "stream_sid": "MZx",
    "start": {
        "stream_sid": "MZx", "call_sid": "CAx", "account_sid": "ACx", "from": "+9198", "to": "+9180",
        "custom_parameters": {"key1": "v"},
        "media_format": {"encoding": "audio/x-raw", "sample_rate": "8000", "bit_rate": "16"},
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (TWILIO, ("twilio", "MZ01", "CA01", "AC01", "+14150000001", None, {"from_number": "+14150000001"})),
        (TELNYX, ("telnyx", "32DE", "v3:abc", "u", "+13120000001", "+13120000002", {"customer_id": "c1"})),
        (
            plivo(extra_headers="userId=1;sessionId=a"),
            ("plivo", "s", "c", "MA1", None, None, {"userId": "1", "sessionId": "a"}),
        ),
        (EXOTEL, ("exotel", "MZx", "CAx", "ACx", "+9198", "+9180", {"key1": "v"})),
    ],
)
def test_the_fact_sheets_starts_are_read(message: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    got = detected(message)
    assert (
        got.provider, got.stream_id, got.call_id, got.account_id, got.from_number, got.to_number,
        got.custom_parameters,
    ) == wanted  # fmt: skip


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("audio/x-mulaw", Encoding.ULAW), ("PCMU", Encoding.ULAW), ("audio/PCMU", Encoding.ULAW),
        ("mulaw", Encoding.ULAW), ("audio/x-mulaw;rate=8000", Encoding.ULAW), ("audio/basic", Encoding.ULAW),
        ("audio/x-alaw", Encoding.ALAW), ("PCMA", Encoding.ALAW), ("pcma", Encoding.ALAW),
        ("audio/x-l16", Encoding.L16), ("L16", Encoding.L16), ("audio/L16;rate=16000", Encoding.L16),
        ("audio/x-raw", Encoding.L16), ("raw/slin".removeprefix("raw/"), Encoding.L16),
        ("base64", Encoding.L16), ("L16BE", Encoding.L16_BIG_ENDIAN),
    ],
)  # fmt: skip
def test_old_and_new_spellings_mean_the_same(name: str, encoding: Encoding) -> None:
    assert parse_encoding(name) is encoding


@pytest.mark.parametrize(
    ("media_format", "rate"),
    [
        ({"encoding": "L16", "sample_rate": "16000"}, 16000),
        ({"encoding": "L16", "sampleRate": 24000}, 24000),
        ({"encoding": "audio/L16;rate=16000"}, 16000),
        ({"encoding": "L16"}, 8000),
        ({}, 8000),
    ],
)
def test_the_rate_stands_in_several_places(media_format: dict[str, Any], rate: int) -> None:
    assert parse_media_format(media_format, MediaFormat()).sample_rate == rate


@pytest.mark.parametrize(
    ("media_format", "words"),
    [
        ({"encoding": "AMR-WB"}, "AMR-WB"),
        ({"encoding": "OPUS"}, "PCMU"),
        ({"encoding": 1}, "encoding"),
        ({"encoding": "L16", "sample_rate": 12345}, "12345"),
        ({"encoding": "L16", "sample_rate": "fast"}, "sample_rate"),
        ({"encoding": "PCMU", "channels": 2}, "channel"),
        ([], "not an object"),
    ],
)
def test_a_format_that_we_cannot_serve_is_refused_at_the_handshake(media_format: Any, words: str) -> None:
    message = json.loads(json.dumps(TELNYX))
    message["start"]["media_format"] = media_format
    with pytest.raises(ProtocolError, match=words):
        Handshake().feed(json.dumps(message))


def test_a_format_that_the_provider_does_not_offer_is_refused_at_the_handshake() -> None:
    message = plivo()
    message["start"]["mediaFormat"] = {"encoding": "PCMA", "sampleRate": 8000}
    with pytest.raises(ProtocolError, match="Plivo"):
        Handshake().feed(json.dumps(message))


@pytest.mark.parametrize(
    "headers",
    ["a=1;b=x y", "a=1,b=x y", "{a=1;b=x y}", "a: 1; b: x y", {"a": 1, "b": "x y"}, "a=1;b=x y;;nothing"],
)
def test_plivos_extra_headers_come_in_several_shapes(headers: Any) -> None:
    assert detected(plivo(extra_headers=headers)).custom_parameters == {"a": "1", "b": "x y"}


def test_plivo_without_a_format_speaks_what_the_answer_asked_for() -> None:
    assert detected(plivo()).media_format == MediaFormat(Encoding.ULAW, 8000)


def test_connected_waits_for_one_more() -> None:
    handshake = Handshake()
    assert handshake.feed('{"event":"connected"}') is None
    assert handshake.feed(json.dumps(EXOTEL)) is not None


def test_a_socket_that_never_starts_is_given_up() -> None:
    handshake = Handshake()
    for _ in range(9):
        assert handshake.feed('{"event":"connected"}') is None
    with pytest.raises(ProtocolError, match="first 10 messages"):
        handshake.feed('{"event":"connected"}')


@pytest.mark.parametrize(
    "message",
    [
        '{"event":"start","start":{}}',
        '{"event":"start","streamSid":"","start":{}}',
        '{"event":"start","streamSid":1,"start":{}}',
        '{"event":"start","streamSid":"\\ud800","start":{}}',
        '{"event":"start","streamSid":"s","start":{"callSid":null}}',
        '{"event":"start","streamSid":"s","start":{"customParameters":[]}}',
        '{"event":"start","streamSid":"s","start":{"customParameters":{"a":"\\udfff"}}}',
        '{"event":"start","start":{"streamId":"s"},"extra_headers":1}',
        b"\x00\xff",
    ],
)
def test_a_start_that_is_none_is_a_protocol_error(message: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        Handshake().feed(message)


def test_telnyx_speaks_pcmu_unless_the_answer_asked_for_more() -> None:
    got = detected(TELNYX)
    plain = got.serializer(credentials={"api_key": "k"})
    assert isinstance(plain, TelnyxFrameSerializer)
    assert (plain.outbound_encoding, plain.inbound_encoding) == ("PCMA", "PCMU")
    assert plain.credentials == {"api_key": "k"}
    wide = got.serializer(output_format=MediaFormat(Encoding.L16, 16000))
    assert (wide.sample_rate, wide.output_sample_rate) == (8000, 16000)
