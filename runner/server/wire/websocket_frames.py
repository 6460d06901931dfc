"""WebSocket frames as a server reads and writes them: bytes in, messages out. Pure; no extensions.

Clauses are those of RFC 6455.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from websockets.frames import apply_mask  # type: ignore[attr-defined]  # its C version where there is one

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
"""Opcodes, 5.2."""

FIN, MASKED = 0x80, 0x80
_WHOLE_TEXT = FIN | TEXT
LONGEST_CONTROL = 125

NORMAL, NO_STATUS, ABNORMAL = 1000, 1005, 1006
PROTOCOL_ERROR, INVALID_DATA, TOO_BIG, INTERNAL_ERROR, RESTART = 1002, 1007, 1009, 1011, 1012
"""Close codes, 7.4.1; 1012 is of IANA's registry."""

_SENDABLE_CODES = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})

Message = str | bytes


class FrameError(Exception):
    """The far end has broken the protocol: the connection fails with this close code (7.1.7)."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Control:
    """A control frame: `CLOSE`, `PING` or `PONG`, with its payload."""

    opcode: int
    payload: bytes


MOST_FRAGMENTS = 1024
"""Maximum number of frames in one message: empty fragments take memory although they have no bytes."""


class FrameReader:
    """Cuts what a client sends into messages.

    Args:
        on_message: is given each message, in order; may be replaced at any time.
        on_control: is given each control frame, in its place among them.
        most_bytes: the longest message; a longer one fails the connection.
    """

    def __init__(
        self, on_message: Callable[[Message], None], on_control: Callable[[Control], None], most_bytes: int
    ) -> None:
        self.on_message = on_message
        self._on_control = on_control
        self._most_bytes = most_bytes
        self._rest = bytearray()
        self._needed = 0
        self._parts: list[bytes] = []
        self._parts_opcode = 0
        self._parts_bytes = 0

    def feed(self, data: bytes) -> None:
        """Take in bytes as they came.

        Raises:
            FrameError: the far end has broken the protocol; nothing further is to be fed.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data, self._rest = bytes(self._rest), bytearray()
        at, end, needed = 0, len(data), 2
        while end - at >= 2:
            head, second = data[at], data[at + 1]
            if head != _WHOLE_TEXT or not second & MASKED or self._parts_opcode:
                self._check_head(head, second)
            size = second & 0x7F
            begin = at + (6 if size < 126 else 8 if size == 126 else 14)
            needed = begin - at
            if begin > end:
                break
            if size >= 126:
                size = int.from_bytes(data[at + 2 : begin - 4], "big")
            if size > self._most_bytes or self._parts_opcode:
                self._check_size(head, size)
            stop = begin + size
            needed = stop - at
            if stop > end:
                break
            payload = apply_mask(data[begin:stop], data[begin - 4 : begin])
            if head == _WHOLE_TEXT:
                self.on_message(_message(TEXT, payload))
            else:
                self._complete(head, payload)
            at, needed = stop, 2
        if at < end:
            self._rest += data[at:]
            self._needed = needed

    def _check_size(self, head: int, size: int) -> None:
        if not head & 0x08 and self._parts_bytes + size > self._most_bytes:
            raise FrameError(TOO_BIG, f"a message has at most {self._most_bytes} bytes")

    def _check_head(self, head: int, second: int) -> None:
        opcode = head & 0x0F
        if head & 0x70:
            raise FrameError(PROTOCOL_ERROR, "reserved bits must be 0")
        if not second & MASKED:
            raise FrameError(PROTOCOL_ERROR, "a client's frames must be masked")
        if opcode in (TEXT, BINARY):
            if self._parts_opcode:
                raise FrameError(PROTOCOL_ERROR, "a message began within another")
        elif opcode == CONTINUATION:
            if not self._parts_opcode:
                raise FrameError(PROTOCOL_ERROR, "nothing is there to be continued")
        elif opcode not in (CLOSE, PING, PONG):
            raise FrameError(PROTOCOL_ERROR, "unknown opcode")
        elif second & 0x7F > LONGEST_CONTROL or not head & FIN:
            raise FrameError(PROTOCOL_ERROR, "a control frame is short and whole")
        elif opcode == CLOSE and self._parts_opcode:
            raise FrameError(PROTOCOL_ERROR, "closed within a message")

    def _complete(self, head: int, payload: bytes) -> None:
        opcode = head & 0x0F
        if opcode & 0x08:
            self._on_control(Control(opcode, payload))
        elif head & FIN and not self._parts_opcode:
            self.on_message(_message(opcode, payload))
        else:
            self._parts_opcode = self._parts_opcode or opcode
            if len(self._parts) == MOST_FRAGMENTS:
                raise FrameError(TOO_BIG, f"a message has at most {MOST_FRAGMENTS} fragments")
            self._parts.append(payload)
            self._parts_bytes += len(payload)
            if head & FIN:
                opcode, whole = self._parts_opcode, b"".join(self._parts)
                self._parts, self._parts_opcode, self._parts_bytes = [], 0, 0
                self.on_message(_message(opcode, whole))


def _message(opcode: int, payload: bytes) -> Message:
    if opcode == BINARY:
        return payload
    try:
        return payload.decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "a text is not UTF-8") from None


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame of the server's: not masked (5.1)."""
    size = len(payload)
    if size < 126:
        return bytes((FIN | opcode, size)) + payload
    if size < 1 << 16:
        return bytes((FIN | opcode, 126, size >> 8, size & 0xFF)) + payload
    return bytes((FIN | opcode, 127)) + size.to_bytes(8, "big") + payload


def close_payload(code: int, reason: str) -> bytes:
    """The payload of a close frame: at most 125 bytes, of whole characters; nothing for 1005 (7.4.1)."""
    if code == NO_STATUS:
        return b""
    return code.to_bytes(2, "big") + reason.encode()[: LONGEST_CONTROL - 2].decode(errors="ignore").encode()


def read_close(payload: bytes) -> tuple[int, str]:
    """Code and reason of a close frame.

    Raises:
        FrameError: they are none.
    """
    if not payload:
        return NO_STATUS, ""
    if len(payload) == 1:
        raise FrameError(PROTOCOL_ERROR, "half a close code")
    try:
        code, reason = int.from_bytes(payload[:2], "big"), payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(INVALID_DATA, "the reason is not UTF-8") from None
    if code not in _SENDABLE_CODES and not 3000 <= code < 5000:
        raise FrameError(PROTOCOL_ERROR, "no such close code")
    return code, reason
