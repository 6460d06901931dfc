"""WebSocket frames as a client sends them, byte for byte."""

from __future__ import annotations

from runner.server.wire.websocket_frames import apply_mask

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN = 0x80
MASK = b"mask"


def frame(head: int, payload: bytes = b"", mask: bytes = MASK, *, masked: bool = True) -> bytes:
    """One frame; `head` is FIN, reserved bits and opcode."""
    size, flag = len(payload), 0x80 if masked else 0
    if size < 126:
        length = bytes((flag | size,))
    elif size < 1 << 16:
        length = bytes((flag | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((flag | 127,)) + size.to_bytes(8, "big")
    return bytes((head,)) + length + (mask + apply_mask(payload, mask) if masked else payload)
