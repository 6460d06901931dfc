"""The far ends say exactly what the providers say, and find the faults that the providers would find."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from runner.callers.call import new_wire
from runner.callers.wires import (
    WIRES,
    BotBad,
    BotClear,
    BotDTMF,
    BotMark,
    BotSound,
    ExotelWire,
    PlivoWire,
    TelnyxWire,
    TwilioWire,
    Wire,
    wire_for,
)
from runner.callers.wires.base import FROM_NUMBER, TO_NUMBER

SILENCE = bytes(320)
ULAW = base64.b64encode(b"\xff" * 160).decode()


def b64(size: int) -> str:
    return base64.b64encode(bytes(size)).decode()


def messages(wire: Wire) -> list[str]:
    """One of each, in the order in which a short call has them."""
    size = wire.sample_rate * 2 * wire.ptime_ms // 1000
    said = [
        *wire.opening(),
        wire.media(bytes(size), now=1705312200.0),
        wire.media(bytes(size), now=1705312200.02),
    ]
    return [
        *said,
        wire.dtmf("5"),
        wire.mark_reached("m1"),
        wire.cleared() or "",
        wire.stop("callended") or "",
    ]


def test_twilio_says_what_its_page_shows() -> None:
    wire = TwilioWire(
        stream_id="MZ01", call_id="CA01", account_id="AC01", custom_parameters={"from_number": "+14150000001"}
    )
    assert messages(wire) == [
        '{"event":"connected","protocol":"Call","version":"1.0.0"}',
        '{"event":"start","sequenceNumber":"1","streamSid":"MZ01","start":{"accountSid":"AC01",'
        '"streamSid":"MZ01","callSid":"CA01","tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw",'
        '"sampleRate":8000,"channels":1},"customParameters":{"from_number":"+14150000001"}}}',
        '{"event":"media","sequenceNumber":"2","streamSid":"MZ01","media":{"track":"inbound","chunk":"1",'
        f'"timestamp":"20","payload":"{ULAW}"}}}}',
        '{"event":"media","sequenceNumber":"3","streamSid":"MZ01","media":{"track":"inbound","chunk":"2",'
        f'"timestamp":"40","payload":"{ULAW}"}}}}',
        '{"event":"dtmf","sequenceNumber":"4","streamSid":"MZ01","dtmf":{"track":"inbound_track","digit":"5"}}',
        '{"event":"mark","sequenceNumber":"5","streamSid":"MZ01","mark":{"name":"m1"}}',
        "",
        '{"event":"stop","sequenceNumber":"6","streamSid":"MZ01","stop":{"accountSid":"AC01","callSid":"CA01"}}',
    ]


def test_telnyx_says_what_its_page_shows() -> None:
    wire = TelnyxWire(stream_id="32DE", call_id="v3:abc", account_id="u", from_number="+1", to_number="+2")
    assert messages(wire) == [
        '{"event":"connected","version":"1.0.0"}',
        '{"event":"start","sequence_number":"1","stream_id":"32DE","start":{"user_id":"u",'
        '"call_control_id":"v3:abc","call_session_id":"session-1","from":"+1","to":"+2","tags":[],'
        '"client_state":"","custom_parameters":{},"media_format":{"encoding":"PCMU","sample_rate":8000,'
        '"channels":1}}}',
        '{"event":"media","sequence_number":"2","stream_id":"32DE","media":{"track":"inbound","chunk":"1",'
        f'"timestamp":"20","payload":"{ULAW}"}}}}',
        '{"event":"media","sequence_number":"3","stream_id":"32DE","media":{"track":"inbound","chunk":"2",'
        f'"timestamp":"40","payload":"{ULAW}"}}}}',
        '{"event":"dtmf","sequence_number":"4","stream_id":"32DE","dtmf":{"digit":"5"}}',
        '{"event":"mark","sequence_number":"5","stream_id":"32DE","mark":{"name":"m1"}}',
        "",
        '{"event":"stop","sequence_number":"6","stream_id":"32DE","stop":{"user_id":"u","call_control_id":"v3:abc"}}',
    ]


def test_plivo_says_what_its_page_shows() -> None:
    wire = PlivoWire(
        stream_id="uuid2",
        call_id="uuid",
        account_id="MA",
        custom_parameters={"userId": "1", "sessionId": "a"},
    )
    assert messages(wire) == [
        '{"event":"start","sequenceNumber":1,"start":{"callId":"uuid","streamId":"uuid2","accountId":"MA",'
        '"tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000}},'
        '"extra_headers":"userId=1;sessionId=a"}',
        '{"event":"media","sequenceNumber":2,"streamId":"uuid2","media":{"track":"inbound",'
        f'"timestamp":"1705312200000","chunk":1,"payload":"{ULAW}"}},"extra_headers":"userId=1;sessionId=a"}}',
        '{"event":"media","sequenceNumber":3,"streamId":"uuid2","media":{"track":"inbound",'
        f'"timestamp":"1705312200020","chunk":2,"payload":"{ULAW}"}},"extra_headers":"userId=1;sessionId=a"}}',
        '{"event":"dtmf","streamId":"uuid2","dtmf":{"digit":"5"}}',
        '{"event":"playedStream","streamId":"uuid2","name":"m1"}',
        '{"event":"clearedAudio","streamId":"uuid2"}',
        "",
    ]


def test_exotel_says_what_its_page_shows() -> None:
    wire = ExotelWire(
        stream_id="MZx",
        call_id="CAx",
        account_id="ACx",
        from_number="+9198",
        to_number="+9180",
        custom_parameters={"key1": "v"},
    )
    pcm = b64(1600)
    assert messages(wire) == [
        '{"event":"connected"}',
        '{"event":"start","sequence_number":"1","stream_sid":"MZx","start":{"stream_sid":"MZx","call_sid":"CAx",'
        '"account_sid":"ACx","from":"+9198","to":"+9180","custom_parameters":{"key1":"v"},"media_format":'
        '{"encoding":"audio/x-raw","sample_rate":"8000","bit_rate":"16"}}}',
        f'{{"event":"media","sequence_number":"2","stream_sid":"MZx","media":{{"chunk":"1","timestamp":"100","payload":"{pcm}"}}}}',
        f'{{"event":"media","sequence_number":"3","stream_sid":"MZx","media":{{"chunk":"2","timestamp":"200","payload":"{pcm}"}}}}',
        '{"event":"dtmf","sequence_number":"4","stream_sid":"MZx","dtmf":{"digit":"5","duration":"100"}}',
        '{"event":"mark","sequence_number":"5","stream_sid":"MZx","mark":{"name":"m1"}}',
        "",
        '{"event":"stop","sequence_number":"6","stream_sid":"MZx","stop":{"call_sid":"CAx","account_sid":"ACx",'
        '"reason":"callended"}}',
    ]


TWILIO_ID = {"streamSid": TwilioWire().facts.stream_id}
EXOTEL_ID = {"stream_sid": ExotelWire().facts.stream_id}
PLIVO_ID = {"streamId": PlivoWire().facts.stream_id}


def play(**media: Any) -> dict[str, Any]:
    return {
        "event": "playAudio",
        "media": {"contentType": "audio/x-mulaw", "sampleRate": 8000, "payload": ULAW} | media,
    }


GOOD: list[tuple[str, dict[str, Any], Any]] = [
    ("twilio", {"event": "media", **TWILIO_ID, "media": {"payload": ULAW}}, BotSound(SILENCE)),
    ("twilio", {"event": "mark", **TWILIO_ID, "mark": {"name": "m"}}, BotMark("m")),
    ("twilio", {"event": "clear", **TWILIO_ID}, BotClear()),
    ("telnyx", {"event": "media", "media": {"payload": ULAW}}, BotSound(SILENCE)),
    ("telnyx", {"event": "media", "stream_id": "any", "media": {"payload": ULAW}}, BotSound(SILENCE)),
    ("telnyx", {"event": "mark", "mark": {"name": "m"}}, BotMark("m")),
    ("telnyx", {"event": "clear"}, BotClear()),
    ("plivo", play(), BotSound(SILENCE)),
    ("plivo", {"event": "checkpoint", **PLIVO_ID, "name": "m"}, BotMark("m")),
    ("plivo", {"event": "clearAudio", **PLIVO_ID}, BotClear()),
    ("plivo", {"event": "sendDTMF", **PLIVO_ID, "dtmf": "5"}, BotDTMF("5")),
    ("exotel", {"event": "media", **EXOTEL_ID, "media": {"payload": b64(3200)}}, BotSound(bytes(3200))),
    ("exotel", {"event": "media", **EXOTEL_ID, "media": {"payload": b64(99840)}}, BotSound(bytes(99840))),
    ("exotel", {"event": "mark", **EXOTEL_ID, "mark": {"name": "m"}}, BotMark("m")),
    ("exotel", {"event": "clear", **EXOTEL_ID}, BotClear()),
]


@pytest.mark.parametrize(("provider", "message", "event"), GOOD)
def test_what_keeps_the_rules_is_taken(provider: str, message: dict[str, Any], event: Any) -> None:
    assert wire_for(provider).receive(json.dumps(message)) == [event]


BAD: list[tuple[str, Any, str]] = [
    ("twilio", b"{}", "binary"),
    ("twilio", "{", "not JSON"),
    ("twilio", "[]", "not a JSON object"),
    ("twilio", {"event": "hello", **TWILIO_ID}, "31924"),
    ("twilio", {"event": "clear"}, "streamSid"),
    ("twilio", {"event": "clear", "streamSid": "another"}, "another `streamSid`"),
    ("twilio", {"event": "media", **TWILIO_ID, "media": {}}, "payload"),
    ("twilio", {"event": "media", **TWILIO_ID, "media": {"payload": "?"}}, "base64"),
    ("twilio", {"event": "media", **TWILIO_ID, "media": {"payload": ""}}, "without sound"),
    ("twilio", {"event": "media", **TWILIO_ID, "media": {"payload": "UklGRgAA"}}, "WAV header"),
    ("twilio", {"event": "mark", **TWILIO_ID, "mark": {}}, "name"),
    ("telnyx", {"event": "media", "media": {"payload": b64(159)}}, "19.875 ms"),
    ("telnyx", {"event": "media", "media": {"payload": b64(8 * 30_001)}}, "30001 ms"),
    ("telnyx", {"event": "playAudio"}, "unknown event"),
    ("plivo", {"event": "media", "media": {"payload": ULAW}}, "unknown event"),
    ("plivo", play(contentType="audio/wav"), "does not offer"),
    ("plivo", play(sampleRate=16000), "does not offer"),
    ("plivo", play(sampleRate="8000"), "does not offer"),
    ("plivo", play(contentType="audio/x-l16"), "on a stream of ulaw/8000"),
    ("plivo", {"event": "playAudio", "media": {"payload": ULAW}}, "contentType"),
    ("plivo", {"event": "checkpoint", "name": "m"}, "streamId"),
    ("plivo", {"event": "clearAudio", "streamId": "x"}, "another `streamId`"),
    ("exotel", {"event": "media", **EXOTEL_ID, "media": {"payload": b64(320)}}, "the least is 3200 bytes"),
    ("exotel", {"event": "media", **EXOTEL_ID, "media": {"payload": b64(3300)}}, "multiple of 320"),
    ("exotel", {"event": "media", **EXOTEL_ID, "media": {"payload": b64(100_160)}}, "100000 is the most"),
    ("exotel", {"event": "media", **EXOTEL_ID, "media": {"payload": b64(3201)}}, "whole number"),
    ("exotel", {"event": "media", "media": {"payload": b64(3200)}}, "stream_sid"),
]


@pytest.mark.parametrize(("provider", "message", "words"), BAD)
def test_what_breaks_the_rules_is_reported_in_a_sentence(provider: str, message: Any, words: str) -> None:
    text = message if isinstance(message, str | bytes) else json.dumps(message)
    bad = [event for event in wire_for(provider).receive(text) if isinstance(event, BotBad)]
    assert len(bad) == 1
    assert words in bad[0].reason
    assert bad[0].reason.startswith(f"{provider}: ")
    assert bad[0].reason.endswith(".")


@pytest.mark.parametrize("provider", ["telnyx", "exotel"])
def test_sound_of_the_wrong_size_is_heard_all_the_same(provider: str) -> None:
    wire = wire_for(provider)
    message = {"event": "media", **EXOTEL_ID, "media": {"payload": b64(32)}}
    events = wire.receive(json.dumps(message))
    assert isinstance(events[0], BotBad)
    assert isinstance(events[-1], BotSound)


def test_at_24_khz_exotel_wants_100_ms() -> None:
    wire = ExotelWire(sample_rate=24000)
    message = {"event": "media", **EXOTEL_ID, "media": {"payload": b64(3200)}}
    assert isinstance(wire.receive(json.dumps(message))[0], BotBad)
    message["media"] = {"payload": b64(4800)}
    assert wire.receive(json.dumps(message)) == [BotSound(bytes(4800))]


@pytest.mark.parametrize("provider", WIRES)
def test_odd_pieces_of_sound_keep_the_timestamps_true(provider: str) -> None:
    wire = wire_for(provider)
    wire.opening()
    for _ in range(3):
        last = json.loads(wire.media(bytes(2 * 55), now=0.0))["media"]
    assert str(last["chunk"]) == "3"
    assert last["timestamp"] == ("0" if provider == "plivo" else str(3 * 55 * 1000 // 8000))


def test_a_provider_that_we_do_not_know_is_named() -> None:
    with pytest.raises(ValueError, match="twilio, telnyx, plivo, exotel"):
        wire_for("nobody")


@pytest.mark.parametrize("provider", ["twilio", "telnyx", "plivo", "exotel"])
@pytest.mark.parametrize("numbers", [{}, {"from_number": "+4930123", "to_number": "+4930456"}])
def test_the_numbers_of_a_local_call_are_in_its_first_messages(
    provider: str, numbers: dict[str, str]
) -> None:
    opening = "".join(map(str, new_wire(provider, {"plan": "gold"}, **numbers).opening()))
    for number in numbers.values() or (FROM_NUMBER, TO_NUMBER):
        assert number in opening
    assert "gold" in opening
