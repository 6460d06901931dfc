"""`Tape`: buffers everything sent and received on the wire of one call, for its record.

The transports append to it; a thread of `runner.records` empties it twice a second. Appending takes well
under a microsecond and never blocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from runner.audio.rtp import RtpPacket
    from runner.eventloop.clock import Clock

MOST_ITEMS = 2500
MOST_BYTES = 1 << 19
"""Maximum number of items and of bytes on a tape: 10 s of a phone call, and never more than 1 MB."""

MessageT = TypeVar("MessageT", bound="str | bytes | None")


class Kind(IntEnum):
    """The kind of an item."""

    MESSAGE = 0
    """One WebSocket message, text or bytes."""
    RTP = 1
    """One RTP packet."""
    PCM = 2
    """A chunk of s16le mono sound, for wires without packets."""
    APP = 3
    """A text message of an application, on a separate channel."""
    EVENT = 4
    """An event of the session."""


_MESSAGE = Kind.MESSAGE

FIELDS = 4
Item = tuple[float, Kind, bool, Any]
"""Time (s, of the call's clock), kind, whether it came in, and the content."""


class Tape:
    """Items of a call's wire that have not been taken yet.

    Args:
        clock: the clock of the call (s).

    Attributes:
        clock: the same.
        dropped: number of items dropped because the tape was full, since `take_dropped`.
        rates: of `pcm`, the sample rate (Hz) of each side, "inbound" and "outbound".
    """

    __slots__ = ("_bytes", "_fields", "clock", "dropped", "rates")

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.dropped = 0
        self.rates: dict[str, int] = {}
        self._bytes = 0
        # The fields of all items in one flat list: a tuple per item would burden the garbage collector.
        self._fields: deque[Any] = deque()

    def received(self, message: str | bytes) -> None:
        """A message came in."""
        row, size = self._fields, self._bytes
        if len(row) < MOST_ITEMS * FIELDS and size < MOST_BYTES:
            self._bytes = size + len(message)
            row.extend((self.clock(), _MESSAGE, True, message))
        else:
            self.dropped += 1

    def sent(self, message: MessageT) -> MessageT:
        """A message is sent; returns it. None is ignored."""
        if message is not None:
            row, size = self._fields, self._bytes
            if len(row) < MOST_ITEMS * FIELDS and size < MOST_BYTES:
                self._bytes = size + len(message)
                row.extend((self.clock(), _MESSAGE, False, message))
            else:
                self.dropped += 1
        return message

    def rtp(self, packet: RtpPacket, *, inbound: bool) -> None:
        """A packet with media came in or went out."""
        self.add(Kind.RTP, inbound, packet, size=len(packet.payload))

    def pcm(self, pcm: bytes, sample_rate: int, *, inbound: bool) -> None:
        """A chunk of sound at this rate (Hz) came in or went out."""
        self.rates["inbound" if inbound else "outbound"] = sample_rate
        self.add(Kind.PCM, inbound, pcm, size=len(pcm))

    def app(self, text: str, *, inbound: bool) -> None:
        """A message of an application came in or went out."""
        self.add(Kind.APP, inbound, text, size=len(text))

    def add(self, kind: Kind, inbound: bool, content: Any, *, size: int = 100) -> None:
        """Append an item of `size` bytes."""
        row = self._fields
        if len(row) < MOST_ITEMS * FIELDS and self._bytes < MOST_BYTES:
            self._bytes += size
            row.extend((self.clock(), kind, inbound, content))
        else:
            self.dropped += 1

    def close(self) -> None:
        """Stop keeping items: the record is closed."""
        self._bytes = MOST_BYTES
        self._fields.clear()

    def take(self) -> Iterator[Item]:
        """Remove all items and iterate over them. Thread-safe."""
        # Field by field, because the call appends meanwhile; each step is atomic.
        pop = self._fields.popleft
        self._bytes = 0
        fields = iter([pop() for _ in range(len(self._fields) // FIELDS * FIELDS)])
        return zip(fields, fields, fields, fields, strict=True)

    def take_dropped(self) -> int:
        """Number of items dropped since the last call of this method."""
        dropped, self.dropped = self.dropped, 0
        return dropped
