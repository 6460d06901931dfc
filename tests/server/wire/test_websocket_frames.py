"""Frames in, messages out, as RFC 6455 asks: a table of cases, each also byte by byte, and a fuzz test."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from websocket_bytes import BINARY, CLOSE, CONT, FIN, MASK, PING, PONG, TEXT, frame
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, SERVER, Protocol
from websockets.uri import parse_uri

from runner.server.wire.websocket_frames import MAX_FRAGMENTS, FrameProtocol, data_frame

REQUEST = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def text(message: str) -> bytes:
    return frame(FIN | TEXT, message.encode())


def close(code: int, reason: bytes = b"") -> bytes:
    return frame(FIN | CLOSE, code.to_bytes(2, "big") + reason)


@dataclass
class Outcome:
    messages: list[str | bytes] = field(default_factory=list)
    sent: list[tuple[int, bytes]] = field(default_factory=list)
    code: int | None = None
    """The code in the server's close frame; None while the connection is open."""


def connected(max_bytes: int = 1 << 20) -> tuple[FrameProtocol, list[str | bytes]]:
    """A connection after its handshake, and the messages that it hands over."""
    messages: list[str | bytes] = []
    protocol = FrameProtocol(messages.append, max_bytes)
    request = protocol.read_request(REQUEST)
    assert request is not None
    protocol.send_response(protocol.accept(request))
    assert protocol.data_to_send()[0].startswith(b"HTTP/1.1 101 ")
    return protocol, messages


def serve(pieces: Iterable[bytes], max_bytes: int = 1 << 20) -> Outcome:
    """What comes of these bytes; as in the server, nothing is handed over once the connection closes."""
    protocol, messages = connected(max_bytes)
    sent = b""
    for piece in pieces:
        protocol.feed(piece)
        if protocol.state is not OPEN:
            protocol.on_message = lambda message: None
        sent += b"".join(protocol.data_to_send())
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
    client.receive_data(sent)
    frames = [event for event in client.events_received() if isinstance(event, Frame)]
    code = protocol.close_sent.code if protocol.close_sent else None
    return Outcome(messages, [(int(each.opcode), bytes(each.data)) for each in frames], code)


A = "κόσμε"
CASES: dict[str, tuple[bytes, list[str | bytes], int | None]] = {
    # 5.2, 5.6: sizes at which the length is written differently
    **{
        f"text of {size} bytes": (text("x" * size), ["x" * size], None)
        for size in (0, 1, 125, 126, 127, 65535, 65536)
    },
    **{
        f"binary of {size} bytes": (frame(FIN | BINARY, b"\xfe" * size), [b"\xfe" * size], None)
        for size in (0, 125, 126, 65535, 65536)
    },
    # 5.2: what a client may not send
    "reserved bit 1": (text("before") + frame(FIN | 0x40 | TEXT, b"x") + text("after"), ["before"], 1002),
    "reserved bit 2": (frame(FIN | 0x20 | BINARY, b"x"), [], 1002),
    "reserved bit 3 of a ping": (frame(FIN | 0x10 | PING), [], 1002),
    **{f"opcode {code}": (frame(FIN | code, b"x"), [], 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "no mask (5.1)": (frame(FIN | TEXT, b"x", masked=False), [], 1002),
    # 5.4: fragments
    "three fragments": (frame(TEXT, b"a") + frame(CONT, b"b") + frame(FIN | CONT, b"c"), ["abc"], None),
    "binary fragments": (frame(BINARY, b"a") + frame(FIN | CONT, b"b"), [b"ab"], None),
    "empty fragments": (frame(TEXT) + frame(CONT) + frame(FIN | CONT), [""], None),
    "a ping between fragments": (
        frame(TEXT, b"a") + frame(FIN | PING, b"p") + frame(FIN | CONT, b"b"),
        ["ab"],
        None,
    ),
    "a continuation of nothing": (frame(FIN | CONT, b"x"), [], 1002),
    "a message within another": (frame(TEXT, b"a") + text("b"), [], 1002),
    "fragments, then a continuation": (
        frame(TEXT, b"a") + frame(FIN | CONT, b"b") + frame(CONT, b"c"),
        ["ab"],
        1002,
    ),
    "a close within a message": (frame(TEXT, b"a") + close(1000), [], 1000),
    "a close within a message, which goes on": (
        frame(TEXT, b"a") + close(1000) + frame(FIN | CONT, b"b"),
        [],
        1000,
    ),
    # 5.5: control frames
    "a fragmented ping": (frame(PING, b"x"), [], 1002),
    "a fragmented close": (frame(CLOSE), [], 1002),
    "a ping of 126 bytes": (frame(FIN | PING, b"x" * 126), [], 1002),
    "an unasked pong": (frame(FIN | PONG, b"x") + text("go on"), ["go on"], None),
    # 5.5.1, 7.4: closing
    "close": (close(1000) + text("late"), [], 1000),
    "close without a code": (frame(FIN | CLOSE), [], 1005),
    "close with half a code": (frame(FIN | CLOSE, b"\x03"), [], 1002),
    "close with the longest reason": (close(1000, b"x" * 123), [], 1000),
    "close with too long a reason": (close(1000, b"x" * 124), [], 1002),
    "close whose reason is not UTF-8": (
        close(1000, b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed"),
        [],
        1007,
    ),
    **{
        f"close with {code}": (close(code), [], code)
        for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
    },
    **{
        f"close with {code}": (close(code), [], 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    # 8.1: UTF-8
    "utf-8": (text(A), [A], None),
    "utf-8 cut between fragments": (
        b"".join(frame(CONT if n else TEXT, bytes((byte,))) for n, byte in enumerate(A.encode()))
        + frame(FIN | CONT),
        [A],
        None,
    ),
    "a surrogate": (frame(FIN | TEXT, b"\xed\xa0\x80"), [], 1007),
    "an overlong slash": (frame(FIN | TEXT, b"\xc0\xaf"), [], 1007),
    "beyond U+10FFFF": (frame(FIN | TEXT, b"\xf4\x90\x80\x80"), [], 1007),
    "the last code point": (text("\U0010ffff"), ["\U0010ffff"], None),
    "U+FFFE": (text("\ufffe"), ["\ufffe"], None),
    "a character that ends too soon": (frame(FIN | TEXT, b"\xe2\x82"), [], 1007),
    "the same, fragmented": (frame(TEXT, b"\xe2\x82") + frame(FIN | CONT), [], 1007),
    "binary is no text": (frame(BINARY, b"\xc0") + frame(FIN | CONT, b"\xaf"), [b"\xc0\xaf"], None),
}


@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("case", CASES)
def test_what_comes_of_these_frames(case: str, in_pieces: bool) -> None:
    data, messages, code = CASES[case]
    outcome = serve([bytes((byte,)) for byte in data] if in_pieces else [data])
    assert outcome.messages == messages
    assert outcome.code == code
    closes = [payload for opcode, payload in outcome.sent if opcode == CLOSE]
    assert len(closes) == (code is not None)


@pytest.mark.parametrize("payload", [b"", b"x" * 125, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"])
def test_a_ping_is_answered_with_its_payload(payload: bytes) -> None:
    assert serve([frame(FIN | PING, payload) * 10]).sent == [(PONG, payload)] * 10


def test_pings_of_a_client_that_does_not_read_are_not_answered() -> None:
    protocol, messages = connected()
    protocol.skip_pongs = True
    protocol.feed(frame(FIN | PING) * 10 + text("x"))
    assert protocol.data_to_send() == []
    assert messages == ["x"]


GOOD, BAD = A.encode(), b"\xf4\x90\x80\x80"


@pytest.mark.parametrize("in_one_frame", [False, True], ids=["fragments", "parts of one frame"])
def test_bad_utf_8_fails_as_soon_as_it_is_there(in_one_frame: bool) -> None:
    """Autobahn 6.4.*: the connection fails before the message, or the frame, is complete."""
    protocol, _ = connected()
    if in_one_frame:
        whole = frame(FIN | TEXT, GOOD + BAD + b"more")
        first, second = whole[: 6 + len(GOOD)], whole[6 + len(GOOD) : 6 + len(GOOD) + 2]
    else:
        first, second = frame(TEXT, GOOD), frame(CONT, BAD[:2])
    protocol.feed(first)
    assert protocol.state is OPEN
    protocol.feed(second)
    assert protocol.close_sent is not None
    assert protocol.close_sent.code == 1007


@pytest.mark.parametrize("size", [301, 65_535, 1 << 40])
def test_a_message_that_is_too_big_is_refused_by_its_head(size: int) -> None:
    length = b"\xfe" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xff" + size.to_bytes(8, "big")
    assert serve([b"\x81" + length + MASK], 300).code == 1009


def test_fragments_that_are_together_too_big_are_refused() -> None:
    assert serve([frame(TEXT, b"x" * 200), frame(FIN | CONT, b"x" * 101)], 300).code == 1009
    assert serve([frame(TEXT, b"x" * 200), frame(FIN | CONT, b"x" * 100)], 300).messages == ["x" * 300]


def test_a_message_of_endless_empty_fragments_is_refused() -> None:
    most = frame(TEXT) + frame(CONT) * (MAX_FRAGMENTS - 2)
    assert serve([most, frame(FIN | CONT)], 1024).messages == [""]
    assert serve([most, frame(CONT), frame(CONT)], 1024).code == 1009


@pytest.mark.long
def test_a_large_message_may_have_many_small_fragments() -> None:
    """Autobahn 9.3.1: 4 MiB in fragments of 64 bytes."""
    part = b"x" * 64
    pieces = [frame(TEXT, part), *[frame(CONT, part)] * 65_534, frame(FIN | CONT, part)]
    assert serve(pieces, 4 << 20).messages == ["x" * (4 << 20)]


def test_a_large_message_in_small_pieces_arrives_whole() -> None:
    payload = os.urandom(1 << 18)
    wire = frame(FIN | BINARY, payload)
    assert serve(wire[at : at + 7] for at in range(0, len(wire), 7)).messages == [payload]
    letters = "ü" * (1 << 17)
    wire = frame(FIN | TEXT, letters.encode())
    assert serve(wire[at : at + 7] for at in range(0, len(wire), 7)).messages == [letters]


@pytest.mark.parametrize("code", [1004, 1006, 1015, 2999, 70_000])
def test_a_code_that_may_not_be_sent_becomes_1011(code: int) -> None:
    protocol, _ = connected()
    protocol.close(code, "ü" * 100)
    assert protocol.close_sent is not None
    assert (protocol.close_sent.code, protocol.close_sent.reason) == (1011, "ü" * 61)


@given(st.one_of(st.text(), st.binary()), st.sampled_from((0, 125, 126, 65_535, 65_536)))
def test_a_client_reads_what_is_sent(payload: str | bytes, more: int) -> None:
    client = ClientProtocol(parse_uri("ws://localhost/"), state=OPEN, max_size=None)
    message = payload + "x" * more if isinstance(payload, str) else payload + bytes(more)
    client.receive_data(data_frame(message))
    (got,) = client.events_received()
    assert isinstance(got, Frame)
    assert got.opcode is (Opcode.TEXT if isinstance(message, str) else Opcode.BINARY)
    assert bytes(got.data) == (message.encode() if isinstance(message, str) else message)


# ------------------------------------------------------------ beside websockets' own protocol


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
    return frame(head, payload, draw(st.binary(min_size=4, max_size=4)), masked=not draw(rarely))


def by_websockets(data: bytes) -> tuple[list[str | bytes], int | None]:
    """What websockets makes of these bytes, with text decoded when its message is complete."""
    protocol = Protocol(SERVER, state=OPEN, max_size=2**20)
    protocol.receive_data(data)
    messages: list[str | bytes] = []
    parts: list[bytes] = []
    kind = Opcode.TEXT
    for event in protocol.events_received():
        assert isinstance(event, Frame)
        if event.opcode in (Opcode.CLOSE, Opcode.PING, Opcode.PONG):
            continue
        kind = kind if event.opcode is Opcode.CONT else event.opcode
        parts.append(bytes(event.data))
        if event.fin:
            whole, parts = b"".join(parts), []
            try:
                messages.append(whole if kind is Opcode.BINARY else whole.decode())
            except UnicodeDecodeError:
                return messages, 1007
    return messages, protocol.close_sent.code if protocol.close_sent else None


@pytest.mark.long
@settings(max_examples=400, deadline=None)
@given(st.lists(frames(), max_size=8), st.randoms(use_true_random=False))
def test_however_the_bytes_are_cut_websockets_sees_the_same(sent: list[bytes], random) -> None:  # type: ignore[no-untyped-def]
    data = b"".join(sent)
    expected, failed = by_websockets(data)
    whole = serve([data])
    assert whole.messages == expected[: len(whole.messages)]
    # Here bad UTF-8 fails at once, and a close within a message is in order: the code may be another.
    assert whole.code == failed or whole.code == 1007 or any(each[0] & 0x0F == CLOSE for each in sent)
    if whole.code == failed:
        assert whole.messages == expected
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(4))
    for pieces in (
        [bytes((byte,)) for byte in data],
        [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)],
    ):
        outcome = serve(pieces)
        assert outcome.messages == whole.messages
        assert outcome.code == whole.code or {outcome.code, whole.code} <= {1002, 1007}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
@example(b"\x00\xff\x00\x00\x00\x00\x00\x10\x00\x01")  # announces more bytes than a message may have
def test_bytes_that_are_no_frames_are_refused_as_websockets_does(data: bytes) -> None:
    expected, failed = by_websockets(data)
    outcome = serve([data])
    assert outcome.messages == expected[: len(outcome.messages)]
    assert outcome.code == failed or outcome.code == 1007
