"""Cuts a stream of bytes into chunks of one size."""

from __future__ import annotations


class Chunker:
    """Collects sound until whole chunks of `chunk_bytes` are there. It holds less than one chunk."""

    def __init__(self, chunk_bytes: int) -> None:
        if chunk_bytes <= 0:
            raise ValueError(f"a chunk of {chunk_bytes} bytes cannot be cut")
        self.chunk_bytes = chunk_bytes
        self._rest = b""

    @property
    def pending(self) -> int:
        """Bytes that wait for the rest of their chunk."""
        return len(self._rest)

    def push(self, pcm: bytes) -> list[bytes]:
        """The chunks that are complete with `pcm`."""
        size = self.chunk_bytes
        if not self._rest and len(pcm) == size:
            return [pcm]
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % size
        self._rest = pcm[whole:]
        return [pcm[start : start + size] for start in range(0, whole, size)]

    def flush(self, pad: bool = True) -> bytes:
        """What is left: filled up with silence to a whole chunk if `pad`; b"" if nothing is left."""
        rest, self._rest = self._rest, b""
        return rest.ljust(self.chunk_bytes, b"\0") if pad and rest else rest

    def clear(self) -> None:
        """Forget what is left."""
        self._rest = b""
