"""Outbound sound in the sizes that a provider takes."""

from __future__ import annotations


class Collector:
    """Collects pcm until it makes a message. All sizes in bytes of pcm.

    A piece is never shorter than `smallest`, never longer than `largest`, and always a whole number of
    `multiple`. `flush` pads the last piece with silence.
    """

    def __init__(self, *, smallest: int, multiple: int, largest: int) -> None:
        self._multiple = multiple
        self._smallest = -(-smallest // multiple) * multiple
        self._largest = largest // multiple * multiple
        self._pcm = bytearray()

    def __len__(self) -> int:
        return len(self._pcm)

    def add(self, pcm: bytes) -> bytes:
        """The piece that is ready, or nothing."""
        if not self._pcm and self._takes(len(pcm)):
            return pcm
        self._pcm += pcm
        return self._cut(len(self._pcm) // self._multiple * self._multiple)

    def flush(self) -> bytes:
        """What is left, padded. Longer rests than `largest` take several calls: until nothing comes."""
        if not self._pcm:
            return b""
        padded = max(self._smallest, -(-len(self._pcm) // self._multiple) * self._multiple)
        self._pcm += bytes(max(0, padded - len(self._pcm)))
        return self._cut(padded)

    def clear(self) -> None:
        self._pcm.clear()

    def _takes(self, size: int) -> bool:
        return self._smallest <= size <= self._largest and size % self._multiple == 0

    def _cut(self, size: int) -> bytes:
        if size < self._smallest:
            return b""
        size = min(size, self._largest)
        piece = bytes(self._pcm[:size])
        del self._pcm[:size]
        return piece
