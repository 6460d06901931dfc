"""Nothing that a peer can send makes a serializer raise anything but `ProtocolError`."""

from __future__ import annotations

import base64
import json
import os
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_cases import ONE_EACH, Case

from runner.errors import ProtocolError
from runner.frames import Frame
from runner.serializers.base import FrameSerializer
from runner.serializers.handshake import Handshake
from runner.serializers.websocket import WebSocketFrameSerializer

FRAMES = int(os.environ.get("BOTRUN_FUZZ_FRAMES", "10000"))
SEED = 23

ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 7.5, 1e308, 10**17, 10**40, -(10**40), "", "1",
    "-1", "٣", "1e3", "NaN", "\0",
    "\ud800", "a" * 70_000, [], [[]], {}, {"a": {}}, "inbound", "outbound", "AAA", "AAAA", "====", "Å",
    "media",
]  # fmt: skip
RAW = [
    "", " ", "{", "}", "null", "NaN", "-Infinity", '"', "{}" * 3, "[" * 50_000, '{"a":' * 50_000, "\0" * 300,
    '{"event":"media","media":{"payload":"' + "A" * 300_000 + '"}}', '{"event":"\ud800"}', "x" * (1 << 20),
    '{"event":"media","event":"stop"}', '{"event": "media", "media": {"payload": "\\u0041AAA"}}',
    '{"event":"media","media":{"timestamp":NaN,"payload":"AAAA"}}',
    '{"event":"media","x":' + "7" * 5000 + "}",
]  # fmt: skip


def mutate(source: random.Random, value: Any) -> Any:
    """Change one thing, anywhere."""
    if isinstance(value, dict) and value and source.random() < 0.85:
        key = source.choice(list(value))
        change = source.random()
        if change < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if change < 0.2:
            return value | {str(source.choice(ODD_VALUES)): source.choice(ODD_VALUES)}
        return value | {key: mutate(source, value[key])}
    if isinstance(value, str) and value and source.random() < 0.3:
        at = source.randrange(len(value))
        return value[:at] + chr(source.choice((0, 34, 61, 92, 0xD800, 0x1F600, 65))) + value[at + 1 :]
    return source.choice(ODD_VALUES)


def raw_bytes(source: random.Random, message: str) -> str | bytes:
    """Change the text itself: cut it, double it, spoil a letter, send it as bytes."""
    at = source.randrange(len(message) + 1)
    return source.choice(
        (
            message[:at],
            message[:at] + source.choice('\\"\0{}[],:\ud800é') + message[at:],
            message + message,
            message.encode("utf-8", "surrogatepass"),
            source.randbytes(source.randrange(400)),
            message.encode("utf-16", "surrogatepass"),
            " " + message,
        )
    )


def stranger(source: random.Random, usual: list[Callable[[], str]]) -> str | bytes:
    """The next message from a misbehaving peer; one in three is valid."""
    message = source.choice(usual)()
    kind = source.random()
    if kind < 0.35:
        return message
    if kind < 0.75:
        data = mutate(source, json.loads(message))
        return json.dumps(
            data, ensure_ascii=source.random() < 0.5, separators=source.choice(((",", ":"), None))
        )
    if kind < 0.96:
        return raw_bytes(source, message)
    return source.choice(RAW)


def usual_messages(case: Case, source: random.Random) -> list[Callable[[], str]]:
    wire = case.wire()
    opening, said = wire.opening(), [wire.media(bytes(320))]

    def media() -> str:
        said.append(wire.media(source.randbytes(320), now=1.7e9))
        del said[:-50]
        return said[-1]

    return [
        media, media, media,
        lambda: source.choice(said),  # doubled or late
        lambda: source.choice(opening),
        lambda: wire.dtmf(source.choice("0123456789*#")),
        lambda: wire.mark_reached("m"),
        lambda: wire.stop() or wire.cleared() or "{}",
    ]  # fmt: skip


def take(serializer: FrameSerializer, message: str | bytes, outcomes: Counter[str]) -> None:
    try:
        frames = serializer.deserialize(message)
    except ProtocolError as error:
        outcomes["refused"] += 1
        str(error).encode()
    else:
        outcomes["taken"] += 1
        assert all(isinstance(frame, Frame) for frame in frames)


@pytest.mark.parametrize("case", ONE_EACH, ids=str)
@pytest.mark.faults(23)
def test_only_protocol_errors_escape_from_a_provider_gone_mad(case: Case) -> None:
    source = random.Random(SEED)
    usual = usual_messages(case, source)
    _, serializer = case.call()
    outcomes: Counter[str] = Counter()
    for number in range(FRAMES):
        take(serializer, stranger(source, usual), outcomes)
        if serializer.holding and number % 7 == 0:
            serializer.release(number * 0.02)
    assert outcomes["refused"] > FRAMES // 5
    assert outcomes["taken"] > FRAMES // 5
    assert len(serializer.counters) < 20
    # The call goes on: a second of ordinary speech is heard, whatever numbers were seen before.
    sane = case.wire()
    heard = sum(len(serializer.deserialize(sane.media(bytes(320)))) for _ in range(200))
    assert heard > 100


@pytest.mark.parametrize("case", ONE_EACH, ids=str)
def test_only_protocol_errors_escape_from_the_handshake(case: Case) -> None:
    source = random.Random(SEED)
    opening = [*case.wire(custom_parameters={"a": "1", "b": "ü"}).opening()]
    for _ in range(FRAMES):
        handshake = Handshake()
        try:
            for _ in range(3):
                result = handshake.feed(stranger(source, [lambda: source.choice(opening)]))
                if result is not None:
                    repr(result.serializer()).encode("utf-8", "backslashreplace")
                    break
        except ProtocolError:
            pass


def test_only_protocol_errors_escape_from_a_plain_client() -> None:
    source = random.Random(SEED)
    serializer = WebSocketFrameSerializer()
    usual = [
        '{"label":"rtvi-ai","type":"client-ready","id":"1","data":{"about":{}}}',
        '{"label":"botrun","type":"mark","name":"m"}',
    ]
    outcomes: Counter[str] = Counter()
    for _ in range(FRAMES):
        take(serializer, stranger(source, [lambda: source.choice(usual)]), outcomes)
    assert min(outcomes.values()) > FRAMES // 10


@pytest.mark.parametrize("case", ONE_EACH, ids=str)
def test_the_provider_survives_a_bot_that_sends_garbage(case: Case) -> None:
    source = random.Random(SEED)
    wire = case.wire()
    payload = base64.b64encode(bytes(3200)).decode()
    ids = {
        "streamSid": wire.facts.stream_id,
        "stream_sid": wire.facts.stream_id,
        "streamId": wire.facts.stream_id,
    }
    media = {"payload": payload, "contentType": "audio/x-mulaw", "sampleRate": 8000}
    usual = [
        json.dumps({"event": event, **ids, "media": media, "mark": {"name": "m"}, "name": "m", "dtmf": "1"})
        for event in ("media", "mark", "clear", "playAudio", "checkpoint", "clearAudio", "sendDTMF")
    ]
    for _ in range(FRAMES // 4):
        wire.receive(stranger(source, [lambda: source.choice(usual)]))


payload_text = st.binary(max_size=400).map(lambda data: base64.b64encode(data).decode()) | st.text(
    max_size=40
)


@pytest.mark.long
@pytest.mark.parametrize("case", ONE_EACH, ids=str)
@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    places=st.lists(st.tuples(st.integers(0, 30) | st.integers(0, 10**17), payload_text), max_size=12),
    spoil=st.tuples(
        st.integers(0, 11), st.integers(0, 200), st.sampled_from(["", '"', "\\", "x", "}", "\n", "é"])
    ),
    stream=st.text("abcMZ0189-_", max_size=12) | st.text(max_size=6),
)
def test_the_short_cut_for_media_equals_reading_them_as_json(
    case: Case, places: list[tuple[int, str]], spoil: tuple[int, int, str], stream: str
) -> None:
    wire = case.wire()
    by_short_cut, by_json = case.answer(wire).serializer(), case.answer(wire).serializer()
    template = wire.media(b"\1\2" * 80, now=1.7e9)
    usual = json.loads(template)["media"]["payload"]
    id_there = json.dumps(wire.facts.stream_id)
    for index, (number, payload) in enumerate(places):
        message = template.replace(usual, payload).replace(id_there, json.dumps(stream))
        for old in ('"chunk":"1"', '"chunk":1,'):
            message = message.replace(old, old.replace("1", str(number)))
        if index == spoil[0]:
            message = message[: spoil[1]] + spoil[2] + message[spoil[1] :]
        outcomes = []
        # A space before it is no usual shape any more, and the same JSON.
        for serializer, text in ((by_short_cut, message), (by_json, " " + message)):
            try:
                outcomes.append([repr(frame) for frame in serializer.deserialize(text)])
            except ProtocolError:
                outcomes.append(["refused"])
        assert outcomes[0] == outcomes[1]
    assert by_short_cut.counters == by_json.counters


@pytest.mark.parametrize("case", ONE_EACH, ids=str)
def test_a_usual_media_message_takes_the_short_cut(case: Case) -> None:
    wire, serializer = case.call(custom_parameters={"userId": "1"})
    assert serializer._usual_media.fullmatch(wire.media(bytes(320), now=1.7e9)) is not None
    assert serializer._usual_media.fullmatch(" " + wire.media(bytes(320), now=1.7e9)) is None
