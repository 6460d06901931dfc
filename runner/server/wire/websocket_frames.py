"""WebSocket frames of the server's side: websockets' sans-I/O protocol, bytes in, messages and bytes out.

websockets parses, checks and answers. Added here, as clauses of RFC 6455 ask or allow:

* Unfragmented data messages, which a call consists of, take a short cut: through the library alone the wire's
  work for a second of a phone call is four times as long (ARCHITECTURE.md has the figures).
* A Close inside a fragmented message is in order (5.4).
* Text that is not UTF-8 fails the connection as soon as the wrong byte is there, not when its message or its
  frame is complete (8.1).
* The number of fragments is bounded: a client could send empty ones for ever.
* A Pong is not queued behind output that the client does not read (5.5.3 allows to skip it).
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Generator

import websockets.frames
from websockets.exceptions import ProtocolError
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

Message = str | bytes

apply_mask = websockets.frames.apply_mask  # type: ignore[attr-defined]  # the C version where there is one

MAX_FRAGMENTS = 1024
"""Frames in one message, however small; more are allowed if they hold `MIN_FRAGMENT_BYTES` on average."""

MIN_FRAGMENT_BYTES = 16

MAX_REASON_BYTES = 123
"""A close frame holds 125 bytes, of which the code takes 2 (5.5)."""

_TEXT, _BINARY = 0x80 | Opcode.TEXT, 0x80 | Opcode.BINARY
_MASKED = 0x80

_new_decoder = codecs.getincrementaldecoder("utf-8")


class FrameProtocol(ServerProtocol):
    """One connection: its handshake, then its frames.

    After `feed`, write what `data_to_send` returns; `state` says whether the connection is closing.

    Args:
        on_message: is called with each message, in order; may be replaced at any time.
        max_bytes: the size of the largest message; a larger one fails the connection with 1009.

    Attributes:
        skip_pongs: whether Pings are left unanswered, because the client does not read what it is sent.
    """

    reader: _Reader

    def __init__(self, on_message: Callable[[Message], None], max_bytes: int) -> None:
        super().__init__(max_size=max_bytes)
        # Its trace would put what is said in a call, and tokens, into the log.
        self.debug = False
        self.on_message = on_message
        self.skip_pongs = False
        self._max_bytes = max_bytes
        self._max_fragments = max(MAX_FRAGMENTS, max_bytes // MIN_FRAGMENT_BYTES)
        self._fragments = 0
        self._payload = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self.reader = _Reader()
        self.parser = self.parse()
        next(self.parser)

    def read_request(self, data: bytes) -> Request | None:
        """Read the request that asks for the upgrade; None if it is refused or not yet complete."""
        self.receive_data(data)
        return next((event for event in self.events_received() if isinstance(event, Request)), None)

    def feed(self, data: bytes) -> None:
        """Read what the client sent after its request."""
        at = self._read_whole_messages(data) if self.reader.is_between_frames else 0
        if at < len(data):
            self.receive_data(data[at:] if at else data)
            if self.reader.payload_of is not None and not self.reader.is_between_frames:
                self._check_partial_text()

    def _read_whole_messages(self, data: bytes) -> int:
        """Hand over the unfragmented messages at the start of `data`; returns how many bytes they took.

        Everything else is left to websockets, whatever is wrong with it, too.
        """
        if self._state is not OPEN or self.current_size is not None:
            return 0
        at, end = 0, len(data)
        while end - at >= 6 and ((head := data[at]) == _TEXT or head == _BINARY):
            size = data[at + 1] - _MASKED
            begin = at + 6
            if size == 126:
                begin = at + 8
                size = int.from_bytes(data[at + 2 : at + 4], "big")
            elif not 0 <= size < 126:
                break
            stop = begin + size
            if stop > end or size > self._max_bytes:
                break
            payload = apply_mask(data[begin:stop], data[begin - 4 : begin])
            if head == _BINARY:
                self.on_message(payload)
            else:
                try:
                    text = payload.decode()
                except UnicodeDecodeError:
                    break
                self.on_message(text)
            at = stop
        return at

    def close(self, code: int, reason: str) -> None:
        """Send a close frame, unless one was sent; what the protocol does not allow in it is corrected."""
        if self._state is not OPEN:
            return
        if code == CloseCode.NO_STATUS_RCVD:
            self.send_close()
            return
        short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        try:
            self.send_close(code, short)
        except ProtocolError:  # no code that may be sent
            self.send_close(CloseCode.INTERNAL_ERROR, short)

    # ------------------------------------------------------------ what websockets calls

    def recv_frame(self, frame: Frame) -> None:
        """Process a frame that was parsed."""
        if frame.opcode is Opcode.PONG or (frame.opcode is Opcode.PING and self.skip_pongs):
            return
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None
        super().recv_frame(frame)
        self.events.clear()
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            self._add_fragment(frame)

    def _add_fragment(self, frame: Frame) -> None:
        self._fragments += 1
        if self._fragments > self._max_fragments:
            self.fail(CloseCode.MESSAGE_TOO_BIG, f"a message has at most {self._max_fragments} fragments")
            return
        is_text = frame.opcode is Opcode.TEXT or (frame.opcode is Opcode.CONT and self._decoder is not None)
        if is_text:
            self._check_text(frame.opcode, bytes(frame.data[self.reader.checked :]), final=frame.fin)
        self._payload += frame.data
        if frame.fin:
            whole: Message = self._payload.decode() if is_text else bytes(self._payload)
            self._fragments, self._payload, self._decoder = 0, bytearray(), None
            self.on_message(whole)

    def _check_text(self, opcode: Opcode, data: bytes, *, final: bool) -> None:
        if opcode is Opcode.TEXT and not self.reader.checked:
            self._decoder = _new_decoder()
        assert self._decoder is not None
        self._decoder.decode(data, final)

    def _check_partial_text(self) -> None:
        """Check what is there of a text frame that has not arrived completely."""
        header, mask = self.reader.payload_of or (0, b"")
        opcode = header & 0x0F
        if opcode == Opcode.TEXT:
            is_text = self.current_size is None
        else:
            is_text = opcode == Opcode.CONT and self._decoder is not None
        checked = self.reader.checked
        new = bytes(self.reader.buffer[checked:]) if is_text else b""
        if not new:
            return
        turned = mask[checked % 4 :] + mask[: checked % 4]
        try:
            self._check_text(Opcode(opcode), apply_mask(new, turned), final=False)
        except UnicodeDecodeError as error:
            self.fail(CloseCode.INVALID_DATA, f"{error.reason} in a text message")
        self.reader.checked = checked + len(new)


class _Reader(StreamReader):
    """websockets' reader, which also knows where within a frame it is.

    Attributes:
        is_between_frames: whether all that came has been processed, up to the end of a frame.
        payload_of: the first byte and the mask of the frame whose payload is being read; else None.
        checked: bytes of that payload that were decoded already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_between_frames = False
        self.payload_of: tuple[int, bytes] | None = None
        self.checked = 0
        self._header = b""
        self._reads = 0

    def at_eof(self) -> Generator[None, None, bool]:
        """See `StreamReader`; websockets asks before each frame."""
        self.is_between_frames = True
        self.payload_of, self._reads, self.checked = None, 0, 0
        ended = yield from super().at_eof()
        self.is_between_frames = False
        return ended

    def read_exact(self, n: int) -> Generator[None, None, bytes | bytearray]:  # type: ignore[override]
        """See `StreamReader`; a frame is read as header, perhaps extended length, mask, payload."""
        data: bytes | bytearray = yield from super().read_exact(n)
        self._reads += 1
        if self._reads == 1:
            self._header = bytes(data)
        elif self._reads == (3 if self._header[1] & 0x7F >= 126 else 2):
            self.payload_of = (self._header[0], bytes(data))
        return data


def data_frame(message: Message) -> bytes:
    """The frame of an unfragmented message, as a server sends it: not masked (5.1)."""
    if isinstance(message, str):
        head, payload = _TEXT, message.encode()
    else:
        head, payload = _BINARY, message
    size = len(payload)
    if size < 126:
        return bytes((head, size)) + payload
    if size < 1 << 16:
        return bytes((head, 126, size >> 8, size & 0xFF)) + payload
    return bytes((head, 127)) + size.to_bytes(8, "big") + payload
