"""The pipe's messages: whatever the cuts, the same messages come out, and nonsense is refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.errors import ProtocolError
from runner.services.local.helpers import MAX_PAYLOAD_BYTES, Message, MessageReader, encode

MESSAGES = [Message({"feed": 7}, b"\x01\x02" * 320), Message({"text": "Grüße"}), Message({}, b"x")]


@given(st.lists(st.integers(1, 50), max_size=40))
def test_messages_come_out_whole_however_the_bytes_are_cut(cuts: list[int]) -> None:
    wire = b"".join(encode(message.header, message.payload) for message in MESSAGES)
    reader, found = MessageReader(), []
    for cut in cuts:
        found += reader.feed(wire[:cut])
        wire = wire[cut:]
    assert found + reader.feed(wire) == MESSAGES


@pytest.mark.parametrize(
    ("wire", "said"),
    [
        (struct.pack(">II", 1 << 30, 0), "too large"),
        (struct.pack(">II", 2, MAX_PAYLOAD_BYTES + 1), "too large"),
        (struct.pack(">II", 3, 0) + b"{x}", "not JSON"),
        (struct.pack(">II", 2, 0) + b"[]", "not an object"),
        (b"Traceback (most recent call last)", "too large"),
    ],
)
def test_what_is_no_message_is_refused_with_a_sentence(wire: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        MessageReader().feed(wire)


def test_a_message_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="too large"):
        encode({}, bytes(MAX_PAYLOAD_BYTES + 1))
