"""What the data channel's texts mean."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ProtocolError
from runner.transports.webrtc.signaling.messages import (
    AppMessage,
    PeerLeft,
    Ping,
    PlayoutReport,
    TrackStatus,
    encode,
    peer_left,
    read_message,
)


def signalling(**message: Any) -> str:
    return json.dumps({"type": "signalling", "message": message})


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("ping: 1234", Ping()),
        ("ping", Ping()),
        (signalling(type="peerLeft"), PeerLeft()),
        (signalling(type="trackStatus", receiver_index=0, enabled=False), TrackStatus(0, False)),
        (signalling(type="playout", jitter_buffer_ms=40, round_trip_ms=12.5), PlayoutReport(0.04, 0.0125)),
        (signalling(type="playout", jitter_buffer_ms=40), PlayoutReport(0.04)),
        (signalling(type="playout", jitter_buffer_ms=-1), None),
        (signalling(type="playout", jitter_buffer_ms=1e300), None),
        (signalling(type="playout", jitter_buffer_ms=True), None),
        (signalling(type="playout", jitter_buffer_ms="40"), None),
        (signalling(type="trackStatus", receiver_index="x", enabled=1), None),
        (signalling(type="somethingNew"), None),
        ('{"type": "signalling"}', None),
        (
            '{"label": "rtvi-ai", "type": "client-ready"}',
            AppMessage({"label": "rtvi-ai", "type": "client-ready"}),
        ),
        ("[1, 2]", AppMessage([1, 2])),
    ],
)
def test_a_text_has_one_meaning(text: str, meaning: object) -> None:
    assert read_message(text) == meaning


@pytest.mark.parametrize("text", ["", "hello", "{", "[" * 60000, '"' + "x" * 70000 + '"'])
def test_nonsense_is_a_protocol_error(text: str) -> None:
    with pytest.raises(ProtocolError):
        read_message(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        read_message(text)


@pytest.mark.parametrize("message", [object(), math.nan, {"x": "y" * 70000}, {1: {2: object()}}])
def test_what_the_channel_cannot_carry_is_a_protocol_error(message: Any) -> None:
    with pytest.raises(ProtocolError):
        encode(message)


def test_leaving_says_why_only_if_there_is_something_to_say() -> None:
    assert json.loads(peer_left()) == {"type": "signalling", "message": {"type": "peerLeft"}}
    result = json.loads(
        peer_left("the bot failed", {"message": "ValueError: x", "file": "bot.py", "line": 3})
    )
    assert result["message"]["reason"] == "the bot failed"
    assert result["message"]["error"] == {"message": "ValueError: x", "file": "bot.py", "line": 3}
