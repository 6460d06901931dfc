"""Server-side WebSocket frames: websockets' sans-I/O protocol, bytes in, messages and bytes out.

websockets parses, validates and responds. This file adds what RFC 6455 requires or allows:

* A fast path for unfragmented data messages, which make up a call: without it, the wire takes four times the
  CPU per second of a phone call (figures in ARCHITECTURE.md).
* A Close inside a fragmented message is allowed (5.4).
* Text that is not UTF-8 fails the connection at the first wrong byte, not when its message or frame is
  complete (8.1).
* The number of fragments is limited, because a client could send empty ones forever.
* No Pong is queued behind output that the client does not read (5.5.3 allows skipping it).
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

apply_mask = websockets.frames.apply_mask  # type: ignore[attr-defined]  # the C version if there is one

MAX_FRAGMENTS = 1024
"""Maximum number of frames in one message; more are allowed if they average `MIN_FRAGMENT_BYTES`."""

MIN_FRAGMENT_BYTES = 16

MAX_REASON_BYTES = 123
"""Maximum length of a close reason: a close frame has 125 bytes, of which the code takes 2 (5.5)."""

_TEXT, _BINARY = 0x80 | Opcode.TEXT, 0x80 | Opcode.BINARY
_MASKED = 0x80

_new_decoder = codecs.getincrementaldecoder("utf-8")


class FrameProtocol(ServerProtocol):
    """One connection: its handshake, then its frames.

    After `feed`, write what `data_to_send` returns; `state` says whether the connection is closing.

    Args:
        on_message: called with each message, in order; can be replaced at any time.
        max_bytes: maximum size of a message; a larger one fails the connection with 1009.

    Attributes:
        skip_pongs: whether to leave Pings unanswered, because the client does not read.
    """

    reader: _Reader

    def __init__(self, on_message: Callable[[Message], None], max_bytes: int) -> None:
        super().__init__(max_size=max_bytes)
        # Its trace would log tokens and what is said in calls.
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
        """Read the upgrade request; None if it is refused or incomplete."""
        self.receive_data(data)
        return next((event for event in self.events_received() if isinstance(event, Request)), None)

    def feed(self, data: bytes) -> None:
        """Process data that the client sent after its request."""
        at = self._read_whole_messages(data) if self.reader.is_between_frames else 0
        if at < len(data):
            self.receive_data(data[at:] if at else data)
            if self.reader.payload_of is not None and not self.reader.is_between_frames:
                self._check_partial_text()

    def _read_whole_messages(self, data: bytes) -> int:
        """Pass on the unfragmented messages at the start of `data`; returns their total size.

        Everything else, including errors, is left to websockets.
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
        """Send a close frame, unless one was sent. Invalid codes and too long reasons are corrected."""
        if self._state is not OPEN:
            return
        if code == CloseCode.NO_STATUS_RCVD:
            self.send_close()
            return
        short = reason.encode()[:MAX_REASON_BYTES].decode(errors="ignore")
        try:
            self.send_close(code, short)
        except ProtocolError:  # a code that must not be sent
            self.send_close(CloseCode.INTERNAL_ERROR, short)

    # ------------------------------------------------------------ called by websockets

    def recv_frame(self, frame: Frame) -> None:
        """Process a parsed frame."""
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
        """Check the received part of an incomplete text frame."""
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
    """websockets' reader, which also tracks its position within a frame.

    Attributes:
        is_between_frames: whether all data has been processed, up to the end of a frame.
        payload_of: the first byte and the mask of the frame whose payload is being read; else None.
        checked: number of payload bytes decoded already.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_between_frames = False
        self.payload_of: tuple[int, bytes] | None = None
        self.checked = 0
        self._header = b""
        self._reads = 0

    def at_eof(self) -> Generator[None, None, bool]:
        """See `StreamReader`; websockets calls it before each frame."""
        self.is_between_frames = True
        self.payload_of, self._reads, self.checked = None, 0, 0
        ended = yield from super().at_eof()
        self.is_between_frames = False
        return ended

    def read_exact(self, n: int) -> Generator[None, None, bytes | bytearray]:  # type: ignore[override]
        """See `StreamReader`; a frame is read as header, optional extended length, mask, payload."""
        data: bytes | bytearray = yield from super().read_exact(n)
        self._reads += 1
        if self._reads == 1:
            self._header = bytes(data)
        elif self._reads == (3 if self._header[1] & 0x7F >= 126 else 2):
            self.payload_of = (self._header[0], bytes(data))
        return data


def data_frame(message: Message) -> bytes:
    """The server's (unmasked, 5.1) frame of an unfragmented message."""
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
