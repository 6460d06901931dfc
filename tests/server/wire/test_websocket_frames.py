"""Our WebSocket frames beside those of the package websockets: whatever a client sends, both see the same."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import CLIENT, OPEN, SERVER, Protocol
from websockets.uri import parse_uri

from runner.server.wire import websocket_frames as ws
from runner.server.wire.websocket_frames import Control, FrameError, FrameReader

MOST_BYTES = 300

TEXTS = st.one_of(st.text(max_size=70).map(str.encode), st.binary(max_size=40))
PAYLOADS = st.one_of(TEXTS, st.sampled_from((125, 126, 127, 300)).map(lambda size: b"x" * size))
CLOSES = st.builds(
    lambda code, reason: code.to_bytes(2, "big") + reason,
    st.sampled_from((0, 999, 1000, 1004, 1005, 1006, 1011, 1014, 1015, 2999, 3000, 4999, 5000)),
    st.one_of(st.just(b""), st.just(b"bye"), st.just(b"\xff")),
)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """One frame, mostly right."""
    rarely = st.integers(0, 15).map(lambda n: n == 0)
    opcode = draw(st.sampled_from((0, 0, 0, 1, 1, 1, 1, 2, 2, 8, 9, 9, 10, 10, draw(st.integers(0, 15)))))
    payload = draw(CLOSES if opcode == 8 and not draw(rarely) else PAYLOADS)
    head = opcode | (0x80 if draw(st.booleans()) or (opcode >= 8 and not draw(rarely)) else 0)
    head |= 0x10 * draw(st.integers(1, 7)) if draw(rarely) else 0
    return _on_wire(head, payload, draw(st.binary(min_size=4, max_size=4)), masked=not draw(rarely))


def _on_wire(head: int, payload: bytes, mask: bytes, *, masked: bool = True) -> bytes:
    size, flag = len(payload), 0x80 if masked else 0
    length = bytes((flag | size,)) if size < 126 else bytes((flag | 126,)) + size.to_bytes(2, "big")
    return bytes((head,)) + length + mask * masked + (ws.apply_mask(payload, mask) if masked else payload)


def ours(pieces: list[bytes], most_bytes: int = 1 << 20) -> tuple[list[object], int | None]:
    """What comes out, and the close code with which the connection failed."""
    seen: list[object] = []

    def take(item: object) -> None:
        seen.append(item)
        if isinstance(item, Control) and item.opcode == ws.CLOSE:
            ws.read_close(item.payload)
            raise StopIteration

    reader = FrameReader(take, take, most_bytes)
    try:
        for piece in pieces:
            reader.feed(piece)
    except StopIteration:
        return seen, None
    except FrameError as error:
        return [
            item for item in seen if not (isinstance(item, Control) and item.opcode == ws.CLOSE)
        ], error.code
    return seen, None


def theirs(data: bytes) -> tuple[list[object], int | None]:
    """The same of the package's parser; a text that is not UTF-8 fails with 1007, as uvicorn has it."""
    protocol = Protocol(SERVER, state=OPEN, max_size=None)
    protocol.receive_data(data)
    failed = protocol.close_sent.code if protocol.parser_exc and protocol.close_sent else None
    seen: list[object] = []
    parts: list[bytes] = []
    kind = Opcode.TEXT
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            seen.append(Control(int(event.opcode), bytes(event.data)))
            continue
        kind = kind if event.opcode is Opcode.CONT else event.opcode
        parts.append(bytes(event.data))
        if event.fin:
            whole, parts = b"".join(parts), []
            try:
                seen.append(whole if kind is Opcode.BINARY else whole.decode())
            except UnicodeDecodeError:
                return seen, ws.INVALID_DATA
    return seen, failed


@settings(max_examples=400, deadline=None)
@given(st.lists(frames(), max_size=8), st.randoms(use_true_random=False))
def test_both_parsers_see_the_same_messages_and_fail_with_the_same_code(sent: list[bytes], random) -> None:  # type: ignore[no-untyped-def]
    data = b"".join(sent)
    seen, failed = expected = ours([data])
    seen_there, failed_there = theirs(data)
    assert seen == seen_there
    assert (failed is None) == (failed_there is None)
    # A close frame may be wrong in two ways, and come at a wrong time: any of these may be said.
    assert failed == failed_there or any(frame[0] & 0x0F == ws.CLOSE for frame in sent)
    assert ours([bytes((byte,)) for byte in data]) == expected
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(4))
    assert ours([data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]) == expected


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_that_are_no_frames_fail_as_they_do_there(data: bytes) -> None:
    seen, failed = ours([data])
    expected, expected_failed = theirs(data)
    assert seen == expected
    # A control frame that is too long fails here by its head, there when all of it has come.
    assert failed == expected_failed or expected_failed is None


@given(st.one_of(st.text(), st.binary()), st.sampled_from((0, 125, 126, 65_535, 65_536)))
def test_the_packages_client_reads_what_we_write(payload: str | bytes, more: int) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
    assert client.side is CLIENT
    whole = payload.encode() + b"x" * more if isinstance(payload, str) else payload + bytes(more)
    client.receive_data(ws.frame(ws.TEXT if isinstance(payload, str) else ws.BINARY, whole))
    client.receive_data(ws.frame(ws.CLOSE, ws.close_payload(1011, "ü" * 100)))
    message, close = client.events_received()
    assert isinstance(message, Frame)
    assert message.data == whole
    assert isinstance(close, Frame)
    assert client.close_rcvd is not None
    assert client.close_rcvd.code == 1011
    assert client.close_rcvd.reason == "ü" * 61


def test_a_message_that_is_too_big_is_refused_by_its_head() -> None:
    for size in (
        bytes((0xFE,)) + (MOST_BYTES + 1).to_bytes(2, "big"),
        b"\xff" + (1 << 40).to_bytes(8, "big"),
    ):
        assert ours([b"\x81" + size + b"mask"], MOST_BYTES) == ([], ws.TOO_BIG)
    part = _on_wire(0x01, b"x" * 200, b"mask")
    assert ours([part, _on_wire(0x80, b"x" * 101, b"mask")], MOST_BYTES) == ([], ws.TOO_BIG)


def test_a_large_message_in_small_pieces_takes_linear_time() -> None:
    seen: list[object] = []
    payload = os.urandom(1 << 18)
    wire = bytes((0x82, 0xFF)) + len(payload).to_bytes(8, "big") + b"mask" + ws.apply_mask(payload, b"mask")
    reader = FrameReader(seen.append, seen.append, 1 << 18)
    for at in range(0, len(wire), 7):
        reader.feed(wire[at : at + 7])
    assert seen == [payload]


def test_a_message_of_endless_empty_fragments_is_refused() -> None:
    from runner.server.wire.websocket_frames import MOST_FRAGMENTS, TOO_BIG, FrameError, FrameReader

    reader = FrameReader(lambda message: None, lambda control: None, 1 << 20)
    reader.feed(b"\x01\x80\0\0\0\0" + b"\x00\x80\0\0\0\0" * (MOST_FRAGMENTS - 1))
    with pytest.raises(FrameError) as refused:
        reader.feed(b"\x00\x80\0\0\0\0")
    assert refused.value.code == TOO_BIG
