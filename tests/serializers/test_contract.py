"""What every provider's serializer must do, tested against the provider's end of the wire."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from provider_cases import CASES, ONE_EACH, Case, rounded, sine

from runner.callers.wires import BotBad, BotClear, BotMark, BotSound
from runner.errors import ProtocolError
from runner.frames import (
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InputDTMFFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputDTMFFrame,
    OutputTransportMessageFrame,
    StartFrame,
    TextFrame,
    TTSAudioRawFrame,
)
from runner.serializers.base import (
    ClearFrame,
    MarkFrame,
    MarkReachedFrame,
    MediaClearedFrame,
    StreamStoppedFrame,
)

every_format = pytest.mark.parametrize("case", CASES, ids=str)
every_provider = pytest.mark.parametrize("case", ONE_EACH, ids=str)


def sound(frames: list[Frame]) -> bytes:
    return b"".join(frame.audio for frame in frames if isinstance(frame, InputAudioRawFrame))


def pieces(pcm: bytes, size: int) -> list[bytes]:
    return [pcm[at : at + size] for at in range(0, len(pcm), size)]


# ------------------------------------------------------------------ handshake


@every_format
def test_the_handshake_gives_provider_ids_and_format(case: Case) -> None:
    result = case.answer(case.wire(stream_id="stream-1", call_id="call-1", account_id="account-1"))
    assert (result.provider, result.stream_id, result.call_id, result.account_id) == (
        case.provider, "stream-1", "call-1", "account-1",
    )  # fmt: skip
    assert result.sample_rate == case.sample_rate
    serializer = result.serializer()
    assert serializer.provider == case.provider
    assert (serializer.stream_id, serializer.call_id) == ("stream-1", "call-1")
    assert serializer.sample_rate == case.sample_rate


@every_provider
def test_the_callers_numbers_arrive_one_way_or_the_other(case: Case) -> None:
    parameters = {"from_number": "+14150000001", "to_number": "+14150000002", "plan": "a b"}
    wire = case.wire(from_number="+14150000001", to_number="+14150000002", custom_parameters=parameters)
    result = case.answer(wire)
    assert (result.from_number, result.to_number) == ("+14150000001", "+14150000002")
    assert result.custom_parameters == parameters


@every_provider
def test_neither_credentials_nor_numbers_are_shown(case: Case) -> None:
    result = case.answer(
        case.wire(from_number="+14150000001", custom_parameters={"from_number": "+14150000001"})
    )
    keys = dict.fromkeys(("auth_token", "api_key", "auth_id", "account_sid"), "canary")
    serializer = result.serializer(credentials=keys)
    for shown in (
        repr(serializer),
        str(serializer),
        repr(serializer.credentials),
        str(serializer.credentials),
    ):
        assert "canary" not in shown
    assert "canary" in serializer.credentials.values()
    assert "4150000001" not in repr(result)


# ------------------------------------------------------------------ inbound


@every_format
def test_every_sample_in_order_comes_through_at_once(case: Case) -> None:
    wire, serializer = case.call()
    for chunk in pieces(sine(1000, case.sample_rate), case.sample_rate * 2 * wire.ptime_ms // 1000):
        frames = serializer.deserialize(wire.media(chunk, now=1.7e9))
        assert [type(frame) for frame in frames] == [InputAudioRawFrame]
        assert frames[0].sample_rate == case.sample_rate  # type: ignore[attr-defined]
        assert sound(frames) == rounded(chunk, wire.media_format)
        assert not serializer.holding
    assert set(serializer.counters) == {"media"}


@every_provider
def test_disordered_doubled_and_missing_messages_are_put_right_and_counted(case: Case) -> None:
    wire, serializer = case.call()
    size = case.sample_rate * 2 * wire.ptime_ms // 1000
    chunks = pieces(sine(wire.ptime_ms * 12, case.sample_rate), size)
    sent = [wire.media(chunk, now=1.7e9) for chunk in chunks]
    heard: list[Frame] = []
    # 3 and 4 change places, 6 comes twice, 8 never.
    for index in (0, 1, 3, 2, 4, 5, 5, 6, 8, 9, 10, 11):
        heard += serializer.deserialize(sent[index])
    chunks[7] = bytes(size)
    assert sound(heard) == b"".join(rounded(chunk, wire.media_format) for chunk in chunks)
    assert serializer.counters == {
        "media": 12, "disordered": 1, "doubled": 1, "missing": 1, "silence_ms": wire.ptime_ms,
    }  # fmt: skip


@every_provider
def test_a_hold_ends_after_60_ms_by_the_transports_clock(case: Case) -> None:
    wire, serializer = case.call()
    size = case.sample_rate * 2 * wire.ptime_ms // 1000
    sent = [wire.media(bytes(size)) for _ in range(3)]
    serializer.deserialize(sent[0])
    assert serializer.deserialize(sent[2]) == []
    assert serializer.holding
    assert serializer.release(10.0) == []
    assert serializer.release(10.059) == []
    assert len(sound(serializer.release(10.061))) == 2 * size
    assert not serializer.holding
    # Too late: its place has been filled.
    assert serializer.deserialize(sent[1]) == []
    assert serializer.counters["late"] == 1


@every_provider
def test_a_key_press_is_delivered(case: Case) -> None:
    wire, serializer = case.call()
    for digit in "0123456789*#":
        assert serializer.deserialize(wire.dtmf(digit)) == [InputDTMFFrame(digit)]


@every_provider
def test_the_end_of_the_stream_comes_with_what_was_held(case: Case) -> None:
    wire, serializer = case.call()
    sent = [wire.media(bytes(320)) for _ in range(3)]
    serializer.deserialize(sent[0])
    serializer.deserialize(sent[2])
    stop = wire.stop("callended") or '{"event":"stop"}'
    frames = serializer.deserialize(stop)
    assert isinstance(frames[-1], StreamStoppedFrame)
    assert sound(frames)
    assert frames[-1].reason == ("callended" if case.provider == "exotel" else "")


@every_provider
def test_unknown_events_are_ignored_and_counted(case: Case) -> None:
    wire, serializer = case.call()
    assert serializer.deserialize('{"event":"something_new","x":1}') == []
    assert serializer.counters["unknown"] == 1
    for message in wire.opening():
        assert serializer.deserialize(message) == []


@every_provider
def test_numbers_may_be_numbers_or_texts_and_fields_may_be_added(case: Case) -> None:
    wire, serializer = case.call()
    for turn in range(4):
        data = json.loads(wire.media(bytes(320)))
        for key in ("chunk", "timestamp"):
            data["media"][key] = int(data["media"][key]) if turn % 2 else str(data["media"][key])
        data["media"]["added"] = {"later": [turn]}
        assert len(serializer.deserialize(json.dumps(data))) == 1


@every_provider
def test_media_without_any_position_come_through(case: Case) -> None:
    _, serializer = case.call()
    assert len(serializer.deserialize('{"event":"media","media":{"payload":"AAAAAA=="}}')) == 1


@every_provider
def test_the_bot_does_not_hear_itself(case: Case) -> None:
    wire, serializer = case.call()
    data = json.loads(wire.media(bytes(320)))
    data["media"]["track"] = "outbound"
    assert serializer.deserialize(json.dumps(data)) == []
    assert serializer.counters["other_track"] == 1


DEEP = "[" * 100_000
MALFORMED: dict[str, str | bytes] = {
    "empty": "",
    "no JSON": "hello",
    "a list": "[]",
    "a number": "1",
    "null": "null",
    "no event": "{}",
    "an event that is a number": '{"event":1}',
    "NaN": '{"event":"media","x":NaN}',
    "infinity": '{"event":"media","media":{"chunk":1e999,"payload":"AAAA"}}',
    "too deep": DEEP,
    "deep inside": '{"event":"media","media":' + DEEP,
    "a number of 5000 digits": '{"event":"media","x":' + "1" * 5000 + "}",
    "binary": b"\xff\xfe\x00",
    "too long": '{"event":"media","media":{"payload":"' + "A" * (256 * 1024) + '"}}',
    "media that is a list": '{"event":"media","media":[]}',
    "no payload": '{"event":"media","media":{}}',
    "a payload that is a number": '{"event":"media","media":{"payload":1}}',
    "bad base64": '{"event":"media","media":{"payload":"A*=="}}',
    "base64 without its end": '{"event":"media","media":{"payload":"AAA"}}',
    "base64 with a line break": '{"event":"media","media":{"payload":"AAAA\\nAAAA"}}',
    "a payload of ü": '{"event":"media","media":{"payload":"üüüü"}}',
    "a surrogate payload": '{"event":"media","media":{"payload":"\\ud800"}}',
    "a chunk that is a list": '{"event":"media","media":{"chunk":[],"payload":"AAAA"}}',
    "a chunk that is a word": '{"event":"media","media":{"chunk":"one","payload":"AAAA"}}',
    "a chunk that is true": '{"event":"media","media":{"chunk":true,"payload":"AAAA"}}',
    "a chunk below zero": '{"event":"media","media":{"chunk":-1,"payload":"AAAA"}}',
    "a chunk beyond all": '{"event":"media","media":{"chunk":' + "9" * 40 + ',"payload":"AAAA"}}',
    "a timestamp in Arabic digits": '{"event":"media","media":{"timestamp":"١٢","payload":"AAAA"}}',
    "a key that is none": '{"event":"dtmf","dtmf":{"digit":"12"}}',
    "a key that is a list": '{"event":"dtmf","dtmf":{"digit":["1"]}}',
    "no key": '{"event":"dtmf"}',
}


@every_provider
@pytest.mark.parametrize("message", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_message_is_a_protocol_error_and_harms_nothing(case: Case, message: str | bytes) -> None:
    wire, serializer = case.call()
    with pytest.raises(ProtocolError) as caught:
        serializer.deserialize(message)
    assert str(caught.value).endswith(".")
    assert len(serializer.deserialize(wire.media(bytes(320)))) == 1


# ------------------------------------------------------------------ outbound


def speak(case: Case, pcm: bytes, size: int) -> tuple[list[Any], bytes]:
    """What the provider makes of sound that the bot sends in pieces of `size` bytes."""
    wire, serializer = case.call()
    events: list[Any] = []
    for piece in pieces(pcm, size):
        message = serializer.serialize(TTSAudioRawFrame(piece, case.sample_rate))
        events += wire.receive(message) if message is not None else []
    while (message := serializer.flush()) is not None:
        events += wire.receive(message)
    return events, b"".join(event.pcm for event in events if isinstance(event, BotSound))


@every_format
@pytest.mark.parametrize("duration_ms", [20, 100, 230, 1000, 12_020])
@pytest.mark.parametrize("piece_ms", [20, 100, 7000])
def test_the_provider_takes_every_sample_and_finds_no_fault(
    case: Case, duration_ms: int, piece_ms: int
) -> None:
    pcm = sine(duration_ms, case.sample_rate)
    events, heard = speak(case, pcm, case.sample_rate * 2 * piece_ms // 1000)
    assert [event for event in events if isinstance(event, BotBad)] == []
    wanted = rounded(pcm, case.wire().media_format)
    assert heard[: len(wanted)] == wanted
    # Exotel and Telnyx have a shortest message: the last one may be filled with silence, by less than that.
    rest = heard[len(wanted) :]
    assert rest == rounded(bytes(len(rest)), case.wire().media_format)
    shortest = {"exotel": 3200 * 2, "telnyx": case.sample_rate * 2 * 20 // 1000}
    assert len(rest) < shortest.get(case.provider, 1)


@every_format
def test_chunk_ms_is_a_size_that_leaves_at_once(case: Case) -> None:
    _, serializer = case.call()
    size = serializer.output_sample_rate * serializer.chunk_ms // 1000 * 2
    message = serializer.serialize(OutputAudioRawFrame(bytes(size), serializer.output_sample_rate))
    assert message is not None
    assert serializer.flush() is None


@every_provider
@pytest.mark.parametrize("name", ["utt-7", 'a "quoted" \\ name', "größe ✓", "\x00\n", "{}"])
def test_a_mark_goes_out_and_comes_back_by_its_name(case: Case, name: str) -> None:
    wire, serializer = case.call()
    message = serializer.serialize(MarkFrame(name=name))
    assert message is not None
    assert wire.receive(message) == [BotMark(name)]
    assert serializer.deserialize(wire.mark_reached(name)) == [MarkReachedFrame(name)]


@every_provider
@pytest.mark.parametrize("frame", [ClearFrame(), InterruptionFrame()])
def test_a_clear_goes_out_and_takes_along_what_is_collected(case: Case, frame: Frame) -> None:
    wire, serializer = case.call()
    serializer.serialize(OutputAudioRawFrame(bytes(32), case.sample_rate))
    message = serializer.serialize(frame)
    assert message is not None
    assert wire.receive(message) == [BotClear()]
    assert serializer.flush() is None
    answer = wire.cleared()
    if answer is not None:
        assert serializer.deserialize(answer) == [MediaClearedFrame()]


@every_provider
@pytest.mark.parametrize(
    "frame", [StartFrame(), EndFrame(), TextFrame("hello"), OutputTransportMessageFrame({"label": "rtvi-ai"})]
)
def test_what_has_no_message_on_a_phone_line_is_none(case: Case, frame: Frame) -> None:
    assert case.call()[1].serialize(frame) is None


@every_provider
def test_empty_sound_is_no_message(case: Case) -> None:
    assert case.call()[1].serialize(OutputAudioRawFrame(b"", case.sample_rate)) is None


@every_provider
@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (OutputAudioRawFrame(bytes(480), 24000), "8000 Hz, not 24000 Hz"),
        (OutputAudioRawFrame(bytes(640), 8000, 2), "one channel, not 2"),
        (OutputAudioRawFrame(bytes(321), 8000), "321 bytes"),
        (OutputDTMFFrame("12"), "not a DTMF key"),
    ],
)
def test_our_own_mistakes_are_value_errors_in_words(case: Case, frame: Frame, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        case.call()[1].serialize(frame)


def test_importing_the_serializers_does_not_load_numpy() -> None:
    modules = "runner.serializers.handshake, runner.serializers.websocket"
    code = f"import sys, {modules}; print('numpy' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
